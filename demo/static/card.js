import { chip, milliseconds, number } from "./words.js";
import { leave } from "./reading.js";

const TICK = 250;
const BUSY = ["opening", "reading", "paused", "lost"];
const SAID = {
  opening: "waiting for the first chunk",
  reading: "reading",
  paused: "connected, not reading",
  lost: "the server ended it; the browser reconnects",
  left: "you left",
  complete: "complete",
  ended: "the server ended it",
  cut: "failed",
};

/** One stream's card: its buttons, its state, its figures, and the server's verdict. */
export class Card {
  #reading = null;
  #count = 0;
  #recent = [];

  /** `open()` makes a reading, `consume(reading, card)` shows it, and resolves when the body is complete. */
  constructor(id, { open, consume, canPause = true }) {
    this.root = document.getElementById(id);
    this.canPause = canPause;
    this.#find("form").addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#run(open, consume);
    });
    this.#find(".pause").addEventListener("click", () => this.#togglePause());
    this.#find(".leave").addEventListener("click", () => this.leave());
    document.addEventListener("ending", ({ detail }) => this.#hear(detail));
    setInterval(() => this.#tick(), TICK);
  }

  /** Count chunks that were shown; the first one makes "opening" into "reading". */
  took(chunks) {
    if (this.phase === "opening" || this.phase === "lost") this.#enter("reading");
    this.#count += chunks;
  }

  /** The browser lost the server and looks for it. */
  lost() {
    if (this.isBusy) this.#enter("lost");
  }

  leave() {
    if (!this.isBusy) return;
    this.#enter("left");
    leave(this.#reading);
  }

  get isBusy() {
    return BUSY.includes(this.phase);
  }

  get phase() {
    return this.root.dataset.phase;
  }

  async #run(open, consume) {
    if (this.isBusy) return;
    this.#count = 0;
    const reading = (this.#reading = open());
    this.#find(".verdict").hidden = true;
    this.#enter("opening");
    try {
      await consume(reading, this);
      this.#finish(reading, "complete");
    } catch (error) {
      this.#finish(reading, "cut", error.message);
    }
  }

  #finish(reading, phase, message = "") {
    if (reading === this.#reading && this.isBusy) this.#enter(phase, message);
  }

  #togglePause() {
    const paused = this.phase !== "paused";
    if (paused) this.#reading.pause();
    else this.#reading.resume();
    this.#enter(paused ? "paused" : "reading");
  }

  #enter(phase, message = "") {
    this.root.dataset.phase = phase;
    this.#find(".status").textContent = message || SAID[phase];
    this.#find(".start").disabled = this.isBusy;
    this.#find(".leave").disabled = !this.isBusy;
    this.#find(".pause").disabled = !this.canPause || !["reading", "paused"].includes(phase);
    this.#find(".pause").textContent = phase === "paused" ? "Go on reading" : "Stop reading";
    this.#find(".rate").textContent = "";
    this.#recent = [];
    this.#showCount();
  }

  /** The rate is that of the last three seconds. */
  #tick() {
    if (this.phase !== "reading") return;
    this.#recent = [...this.#recent.slice(-12), this.#count];
    const rate = ((this.#recent.at(-1) - this.#recent[0]) * 1000) / ((this.#recent.length - 1) * TICK || 1);
    this.#find(".rate").textContent = rate > 0 ? `· ${number(rate, rate < 100 ? 1 : 0)} a second` : "";
    this.#showCount();
  }

  #showCount() {
    this.#find(".count").textContent = number(this.#count);
  }

  #hear(ending) {
    if (ending.visit !== this.#reading?.visit) return;
    if (this.phase === "paused") {
      this.#enter("ended");
      this.#reading.leave();
    }
    const verdict = this.#find(".verdict");
    verdict.replaceChildren("The server: ", chip(ending.outcome), ` after ${number(ending.chunks)} ${ending.chunks === 1 ? "chunk" : "chunks"}`, stoppedAfter(ending));
    verdict.hidden = false;
  }

  #find(selector) {
    return this.root.querySelector(selector);
  }
}

function stoppedAfter(ending) {
  if (ending.outcome !== "client_gone" || ending.stopped_ms === null) return "";
  return `, work stopped ${milliseconds(ending.stopped_ms)} after ${ending.since === "left" ? "you left" : "it noticed"}`;
}
