import { Card } from "./card.js";
import { Following } from "./reading.js";

const SHOWN = 60;
const HEIGHT = 24;

export const feed = new Card("feed", {
  canPause: false,
  open: () => new Following("/feed"),
  consume: (following, card) => {
    const cpu = gauge(".cpu");
    const memory = gauge(".memory");
    return following.follow(
      (reading) => {
        card.took(1);
        cpu(reading.cpu, `${reading.cpu.toFixed(0)} %`);
        memory(reading.memory, memoryWords(reading));
      },
      () => card.lost(),
    );
  },
});

function memoryWords({ memory, used_gib, total_gib }) {
  return memory === null ? "not told here" : `${used_gib.toFixed(1)} of ${total_gib.toFixed(0)} GiB`;
}

/** A function that adds a value in percent, with its words, to a gauge's line. */
function gauge(name) {
  const root = document.querySelector(`#feed ${name}`);
  const values = [];
  return (percent, words) => {
    root.querySelector("output").textContent = words;
    values.push(percent ?? 0);
    if (values.length > SHOWN) values.shift();
    const line = outline(values);
    root.querySelector(".line").setAttribute("d", `M${line}`);
    root.querySelector(".area").setAttribute("d", `M${SHOWN - values.length},${HEIGHT} L${line} L${SHOWN - 1},${HEIGHT} Z`);
  };
}

function outline(values) {
  const first = SHOWN - values.length;
  return values.map((value, i) => `${first + i},${(HEIGHT - 1 - (value / 100) * (HEIGHT - 2)).toFixed(2)}`).join(" L");
}
