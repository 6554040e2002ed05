import { chat } from "./chat.js";
import { rows } from "./export.js";
import { feed } from "./feed.js";
import { follow } from "./panel.js";

follow();
addEventListener("pagehide", () => [chat, rows, feed].forEach((card) => card.leave()));
