import { Card } from "./card.js";
import { Reading } from "./reading.js";
import { events } from "./sse.js";

const answer = document.querySelector("#chat .answer");
const question = document.querySelector("#question");

export const chat = new Card("chat", {
  open: () =>
    new Reading("/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: question.value }),
    }),
  consume: async (reading, card) => {
    answer.replaceChildren();
    for await (const { name, data } of events(reading.text())) {
      const told = JSON.parse(data);
      if (name === "error") throw new Error(`${told.message} (${told.ref})`);
      append(told.token);
      card.took(1);
    }
  },
});

function append(token) {
  const atEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 40;
  answer.append(token);
  if (atEnd) answer.scrollTop = answer.scrollHeight;
}
