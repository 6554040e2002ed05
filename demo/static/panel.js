import { bytes, chip, milliseconds, nameOf, number, seconds } from "./words.js";

const SHOWN = 40;
const byId = (id) => document.getElementById(id);
const endings = new Map();

/** Follow what the server knows: live streams, and each ending as it happens. */
export function follow() {
  const source = new EventSource("/observe");
  source.onopen = () => {
    endings.clear();
    byId("endings").replaceChildren();
    link("connected", "up");
  };
  source.onerror = () => {
    link("the server is gone; looking for it", "down");
    showLive([]);
  };
  source.addEventListener("live", ({ data }) => showLive(JSON.parse(data)));
  source.addEventListener("ending", ({ data }) => showEnding(JSON.parse(data)));
  addEventListener("pagehide", () => source.close());
}

function link(words, state) {
  byId("link").textContent = words;
  byId("link").dataset.state = state;
}

function showLive(streams) {
  const rows = new Map([...byId("live").children].map((row) => [row.dataset.id, row]));
  byId("live").replaceChildren(...streams.map((stream) => fillRow(rows.get(stream.id) ?? newRow(stream), stream)));
  byId("live-count").textContent = streams.length;
}

function newRow(stream) {
  const row = byId("live-row").content.firstElementChild.cloneNode(true);
  row.dataset.id = stream.id;
  row.querySelector("th").textContent = nameOf(stream.route);
  row.querySelector("th").title = stream.id;
  const stop = row.querySelector("button");
  stop.setAttribute("aria-label", `Stop ${nameOf(stream.route)} from the server's side`);
  stop.addEventListener("click", () => fetch(`/streams/${stream.id}/stop`, { method: "POST" }));
  return row;
}

function fillRow(row, stream) {
  row.querySelector(".state").textContent = stream.state.replace("_", " ");
  row.querySelector(".age").textContent = seconds(stream.seconds);
  row.querySelector(".chunks").textContent = number(stream.chunks);
  row.querySelector(".size").textContent = bytes(stream.bytes);
  return row;
}

function showEnding(ending) {
  const isNew = !endings.has(ending.id);
  const item = endings.get(ending.id) ?? byId("ending-item").content.firstElementChild.cloneNode(true);
  endings.set(ending.id, item);
  fill(item, ending);
  if (isNew) add(item, ending);
  document.dispatchEvent(new CustomEvent("ending", { detail: ending }));
}

function add(item, ending) {
  byId("endings").prepend(item);
  while (byId("endings").children.length > SHOWN) byId("endings").lastElementChild.remove();
  byId("ending-count").textContent = endings.size;
  byId("announcement").textContent = `${nameOf(ending.route)} ended: ${ending.outcome.replace("_", " ")}`;
}

function fill(item, ending) {
  item.dataset.outcome = ending.outcome;
  item.querySelector(".chip").replaceWith(chip(ending.outcome));
  item.querySelector(".route").textContent = nameOf(ending.route);
  item.querySelector("time").textContent = new Date(ending.ended_at * 1000).toLocaleTimeString("en-GB");
  const size = `${number(ending.chunks)} chunk${ending.chunks === 1 ? "" : "s"}, ${bytes(ending.bytes)}`;
  item.querySelector(".sum").textContent = `${size} in ${seconds(ending.seconds)}${ending.reason ? ` · ${ending.reason}` : ""}`;
  item.querySelector(".since").textContent = sinceWhat(ending);
  showMoments(item, ending);
}

function sinceWhat(ending) {
  if (ending.since === "left") return "after you left, by the browser's clock";
  return ending.outcome === "client_gone" ? "after endwell noticed" : "after the end began";
}

function showMoments(item, ending) {
  const moments = {
    stopped: [ending.stopped_ms, "never began"],
    upstream: [ending.upstream_ms, upstreamSays(ending.upstream)],
    cleaned: [ending.cleaned_ms, ""],
  };
  const known = Object.values(moments).map(([ms]) => ms ?? 0);
  const scale = 10 ** Math.ceil(Math.log10(Math.max(...known, 1)));
  item.querySelector(".timeline span").textContent = milliseconds(scale);
  for (const [name, [ms, otherwise]] of Object.entries(moments)) {
    const dot = item.querySelector(`.timeline .${name}`);
    dot.hidden = ms === null;
    dot.style.setProperty("--at", (ms ?? 0) / scale);
    item.querySelector(`.moments .${name}`).hidden = ms === null && !otherwise;
    item.querySelector(`.moments .${name} dd`).textContent = ms === null ? otherwise : milliseconds(ms);
  }
  item.querySelector(".moments .upstream dt").textContent =
    ending.upstream === "finished" ? "upstream finished" : "upstream closed";
}

function upstreamSays(seen) {
  return { open: "not yet", unknown: "cannot say" }[seen] ?? "";
}
