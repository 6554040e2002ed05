/** One request whose body this page reads, and may stop reading without leaving. */
export class Reading {
  #abort = new AbortController();
  #gate = Promise.resolve();
  #open = () => {};

  constructor(path, options = {}) {
    this.visit = newVisit();
    this.url = `${path}?visit=${this.visit}`;
    this.options = { ...options, signal: this.#abort.signal };
  }

  /** The body's text, piece by piece; throws when the server refuses, or when the body is cut. */
  async *text() {
    const response = await fetch(this.url, this.options);
    if (!response.ok) throw new Error(await refusal(response));
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      await this.#gate;
      const { done, value } = await reader.read();
      if (done) return;
      await this.#gate;
      yield decoder.decode(value, { stream: true });
    }
  }

  /** Take nothing more from the connection, and keep it. */
  pause() {
    this.#gate = new Promise((open) => (this.#open = open));
  }

  resume() {
    this.#open();
  }

  leave() {
    this.#abort.abort();
    this.resume();
  }
}

/** A request that the browser itself reads, and opens again when the server ends it. */
export class Following {
  #end = () => {};

  constructor(path) {
    this.visit = newVisit();
    this.url = `${path}?visit=${this.visit}`;
  }

  /** Call `take` with each message's data until this page leaves; `lost` when the browser has to reconnect. */
  follow(take, lost) {
    return new Promise((_, reject) => {
      const source = new EventSource(this.url);
      source.onmessage = (message) => take(JSON.parse(message.data));
      source.onerror = () => (source.readyState === EventSource.CLOSED ? reject(new Error("refused")) : lost());
      this.#end = () => {
        source.close();
        reject(new Error("left"));
      };
    });
  }

  leave() {
    this.#end();
  }
}

/** Tell the server at what moment this page left: the clock is read before anything else is done. */
export function leave(reading) {
  const at = Date.now();
  reading.leave();
  fetch(`/left/${reading.visit}`, {
    method: "POST",
    keepalive: true,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ at }),
  }).catch(() => {});
}

function newVisit() {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

async function refusal(response) {
  const { detail } = await response.json().catch(() => ({}));
  return `${response.status}: ${typeof detail === "string" ? detail : response.statusText}`;
}
