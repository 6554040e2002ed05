import { Card } from "./card.js";
import { Reading } from "./reading.js";

const SHOWN = 5;
const body = document.querySelector("#export tbody");
const progress = document.querySelector("#export progress");
const speed = document.querySelector("#speed");

fetch("/characters")
  .then((response) => response.json())
  .then(({ count }) => (progress.max = count));

export const rows = new Card("export", {
  open: () => new Reading("/export.ndjson"),
  consume: async (reading, card) => {
    let count = 0;
    progress.value = 0;
    body.replaceChildren();
    const wait = pacer();
    for await (const lines of batches(reading.text())) {
      count += lines.length;
      progress.value = count;
      card.took(lines.length);
      show(lines.slice(-SHOWN).map((line) => JSON.parse(line)));
      await wait(lines.length);
    }
  },
});

/** Whole lines, as many as have come. */
async function* batches(pieces) {
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    if (lines.length) yield lines;
  }
}

/** A function that waits as long as so many rows take at the chosen speed. */
function pacer() {
  let due = performance.now();
  return (count) => {
    due = Math.max(due, performance.now() - 250) + (1000 * count) / Number(speed.value);
    const wait = due - performance.now();
    return wait > 4 ? new Promise((done) => setTimeout(done, wait)) : undefined;
  };
}

function show(latest) {
  body.replaceChildren(...latest.map(row));
}

function row({ character, code_point, name, category }) {
  const line = document.createElement("tr");
  const point = `U+${code_point.toString(16).toUpperCase().padStart(4, "0")}`;
  const visible = /^(C|Z|M)/.test(category) ? "·" : character;
  for (const words of [visible, point, name, category]) {
    line.append(Object.assign(document.createElement("td"), { textContent: words }));
  }
  return line;
}
