/** The events in a stream of server-sent event text, by the rules of the HTML standard. */
export async function* events(pieces) {
  let rest = "";
  let event = { name: "message", data: [] };
  for await (const piece of pieces) {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line !== "") {
        takeField(event, line);
        continue;
      }
      if (event.data.length) yield { name: event.name, data: event.data.join("\n") };
      event = { name: "message", data: [] };
    }
  }
}

function takeField(event, line) {
  const [, field, value] = /^([^:]*)(?:: ?)?([^]*)$/.exec(line);
  if (field === "data") event.data.push(value);
  if (field === "event") event.name = value;
}
