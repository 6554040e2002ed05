// The clients that run in Node, one process for all. What each saw is printed as JSON, to be judged by test_node.py.
//
//     node node.mjs http://127.0.0.1:8000 run-id
//
// Each client has some of the stories of app.py, and the ways in which it leaves an endless one. After leaving it waits
// for the server's ledger, so that it is not this process's end that closes the connection.

import { AbstractChat, DefaultChatTransport } from "ai";
import { HttpAgent } from "@ag-ui/client";
import Anthropic from "@anthropic-ai/sdk";
import { EventSource } from "eventsource";
import OpenAI from "openai";

const [base, run] = process.argv.slice(2);
const PATIENCE = 10_000; // ms: bounds only what goes wrong
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ------------------------------------------------------------------------------------------- the server's side

const headers = (story, tag) => ({ "x-story": story, "x-tag": tag });

async function ledger(tag) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    // A kept-alive connection may be closed by the server at the very moment.
    const { records } = await fetch(`${base}/ledger?tag=${tag}`).then((said) => said.json()).catch(() => ({ records: [] }));
    // One that ended or raised by itself may be left in the middle of its own `finally`, which is then not done.
    const over = records.length > 0 && records.every((r) => (r.done || r.left !== "CancelledError") && r.endings.length);
    if (over || Date.now() > deadline) return records;
    await sleep(20);
  }
}

// ------------------------------------------------------------------------------------------- what is written down

// AG-UI's client rejects a second promise, which nobody has, when a body is cut.
process.on("unhandledRejection", (error) => {
  if (error?.message !== "terminated") throw error;
});

const seen = (error) => ({
  name: error?.name,
  kind: error?.constructor?.name,
  message: error?.message ?? String(error),
  code: error?.code ?? null,
  type: error?.type ?? null,
  body: error?.error ?? null,
});

// Reads all that `iterate` gives; an error is part of what was seen.
async function read(iterate) {
  const items = [];
  try {
    for await (const item of await iterate()) items.push(item);
    return { items, error: null };
  } catch (error) {
    return { items, error: seen(error) };
  }
}

// ------------------------------------------------------------------------------------------- OpenAI and Anthropic

const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: base, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];

const APIS = {
  "openai-chat": (story, tag, signal) =>
    openai.chat.completions.create({ model: "m", messages, stream: true }, { headers: headers(story, tag), signal }),
  "openai-responses": (story, tag, signal) =>
    openai.responses.create({ model: "m", input: "hi", stream: true }, { headers: headers(story, tag), signal }),
  anthropic: (story, tag, signal) =>
    anthropic.messages.create(
      { model: "m", max_tokens: 9, messages, stream: true },
      { headers: headers(story, tag), signal },
    ),
};

const LEAVES = {
  async break(ask, tag) {
    for await (const _ of await ask("endless", tag)) break;
  },
  async abort(ask, tag) {
    const stream = await ask("endless", tag);
    for await (const _ of stream) stream.controller.abort();
  },
  async signal(ask, tag) {
    const leaving = new AbortController();
    for await (const _ of await ask("endless", tag, leaving.signal)) leaving.abort();
  },
};

// ------------------------------------------------------------------------------------------- the AI SDK

class Chat extends AbstractChat {
  constructor(story, tag, events) {
    const transport = new DefaultChatTransport({ api: `${base}/ai-sdk`, headers: headers(story, tag) });
    const state = {
      status: "ready",
      error: undefined,
      messages: [],
      pushMessage: (message) => void state.messages.push(message),
      popMessage: () => void state.messages.pop(),
      replaceMessage: (index, message) => void (state.messages[index] = message),
      snapshot: (thing) => structuredClone(thing),
    };
    super({ state, transport, ...events });
  }

  text() {
    const answer = this.messages.find((message) => message.role === "assistant");
    return (answer?.parts ?? []).map((part) => part.text ?? "").join("");
  }
}

async function chat(story, tag) {
  const errors = [];
  const finished = [];
  const chat = new Chat(story, tag, {
    onError: (error) => errors.push(seen(error)),
    onFinish: ({ isError, isAbort, isDisconnect }) => finished.push({ isError, isAbort, isDisconnect }),
  });
  await chat.sendMessage({ text: "hi" });
  return { text: chat.text(), status: chat.status, errors, finished };
}

async function leaveChat(_, tag) {
  const chat = new Chat("endless", tag, {});
  const sent = chat.sendMessage({ text: "hi" });
  while (!chat.text()) await sleep(5);
  await chat.stop();
  await sent;
}

// ------------------------------------------------------------------------------------------- AG-UI

function agent(story, tag) {
  return new HttpAgent({ url: `${base}/ag-ui`, headers: headers(story, tag), threadId: "t1" });
}

async function runAgent(story, tag) {
  const events = [];
  const failures = [];
  const runErrors = [];
  let result = "resolved";
  const subscriber = {
    onEvent: ({ event }) => void events.push(event),
    onRunErrorEvent: ({ event }) => void runErrors.push(event),
    onRunFailed: ({ error }) => void failures.push(seen(error)),
  };
  try {
    await agent(story, tag).runAgent({ runId: "r1" }, subscriber);
  } catch (error) {
    result = seen(error);
  }
  return { events, runErrors, failures, result };
}

async function leaveAgent(_, tag) {
  const leaving = agent("endless", tag);
  const onTextMessageContentEvent = () => leaving.abortRun();
  await leaving.runAgent({ runId: "r1" }, { onTextMessageContentEvent }).catch(() => {});
}

// ------------------------------------------------------------------------------------------- EventSource

const address = (story, tag) => `${base}/events?story=${story}&tag=${tag}`;

function listen(source, seen) {
  for (const type of ["message", "error", "end"]) {
    source.addEventListener(type, (event) => {
      seen.push({ type, data: event.data ?? null, id: event.lastEventId ?? null, state: source.readyState });
    });
  }
}

// Until it gives up by itself, or has come back for more (`opened` twice), which it is kept from by closing it.
async function listenToTheEnd(story, tag) {
  const seen = [];
  const source = new EventSource(address(story, tag));
  let opened = 0;
  source.addEventListener("open", () => opened++);
  listen(source, seen);
  const deadline = Date.now() + PATIENCE;
  while (source.readyState !== EventSource.CLOSED && opened < 2 && Date.now() < deadline) await sleep(10);
  const closed = source.readyState === EventSource.CLOSED;
  source.close();
  return { seen, opened, closed };
}

async function leaveEventSource(_, tag) {
  const source = new EventSource(address("endless", tag));
  await new Promise((resolve) => source.addEventListener("message", resolve, { once: true }));
  source.close();
}

// ------------------------------------------------------------------------------------------- all of them

const cases = {};

function add(client, story, see) {
  cases[`${client} ${story}`] = (tag) => see(story.split(" ")[0], tag);
}

for (const [client, ask] of Object.entries(APIS)) {
  for (const story of ["whole", "fails", "tells", "fails-torn"]) add(client, story, (story, tag) => read(() => ask(story, tag)));
  for (const [way, leave] of Object.entries(LEAVES)) add(client, `leaves by ${way}`, (_, tag) => leave(ask, tag));
}
for (const story of ["whole", "fails", "tells", "fails-torn", "refuses"]) add("ai-sdk", story, chat);
add("ai-sdk", "leaves by stop", leaveChat);
for (const story of ["whole", "fails", "tells", "fails-torn"]) add("ag-ui", story, runAgent);
add("ag-ui", "leaves by abortRun", leaveAgent);
for (const story of ["whole", "fails", "fails-torn", "busy", "plain-resumed", "fails-resumed"]) add("eventsource", story, listenToTheEnd);
add("eventsource", "leaves by close", leaveEventSource);

async function play([name, see], index) {
  const tag = `${run}-${index}`;
  const within = sleep(2 * PATIENCE).then(() => ({ stuck: true }));
  const saw = await Promise.race([see(tag), within]).catch((error) => ({ threw: seen(error) }));
  return [name, { ...saw, records: await ledger(tag) }];
}

const played = await Promise.all(Object.entries(cases).map(play));
console.log(JSON.stringify(Object.fromEntries(played)));
process.exit(0);
