/** A number for reading, with thin grouping. */
export function number(value, decimals = 0) {
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export function bytes(value) {
  const [unit, name] = value < 1e3 ? [1, "B"] : value < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
  return `${number(value / unit, unit > 1 && value / unit < 100 ? 1 : 0)} ${name}`;
}

/** A time in whole milliseconds: the browser's clock knows no smaller ones. */
export function milliseconds(value) {
  if (value < 1) return "< 1 ms";
  return value < 1000 ? `${number(value)} ms` : seconds(value / 1000);
}

export function seconds(value) {
  return value < 60 ? `${number(value, 1)} s` : `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
}

/** An outcome as a coloured chip. */
export function chip(outcome) {
  const mark = document.createElement("span");
  mark.className = `chip ${outcome}`;
  mark.textContent = outcome.replace("_", " ");
  return mark;
}

/** What a route is called on this page. */
export function nameOf(route) {
  return { "/chat": "Chat", "/export.ndjson": "Export", "/feed": "Feed" }[route] ?? route;
}
