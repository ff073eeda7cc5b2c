"use strict";
// What the charts of this page share: elements, numbers, axes, and the box with values. The answer, the table and the
// differences can be read without any script.
const data = JSON.parse(document.getElementById("data").textContent);
const HEIGHT = 12; // of letters in charts, in pixels

// An element of HTML, or of SVG where the parent is one.
const add = (name, parent, give = {}, text = "") => {
  const inSvg = name === "svg" || parent.namespaceURI === "http://www.w3.org/2000/svg";
  const element = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(give)) element.setAttribute(key, value);
  if (text !== "") element.textContent = text;
  parent.append(element);
  return element;
};

const written = (value) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e\+?/, "e");
  return Number(value.toPrecision(size >= 1000 ? 7 : 4)).toLocaleString("en");
};

const color = (light, dark) => `--light:${light};--dark:${dark}`;

// Round numbers between two ends.
const ticks = (low, high, log) => {
  const decades = Math.log10(high / low);
  if (log && decades >= 0.7) {
    const heads = decades > 2.5 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      found.push(...heads.map((head) => head * 10 ** power).filter((tick) => tick >= low && tick <= high));
    }
    const every = Math.ceil(found.length / 7);
    return found.filter((_, place) => place % every === 0);
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((head) => head * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
};

// A function from values to pixels.
const placed = ({ low, high, log }, from, to) => {
  const [a, b] = log ? [Math.log(low), Math.log(high)] : [low, high];
  return (value) => from + (((log ? Math.log(value) : value) - a) / (b - a || 1)) * (to - from);
};

// The ends of an axis that holds these values, with a little room.
const reach = (values, log) => {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (log) return low === high ? { low: low / 2, high: high * 2, log } : { low: low / (high / low) ** 0.04, high: high * (high / low) ** 0.04, log };
  const room = (high - low) * 0.05 || Math.abs(low) * 0.1 || 1;
  return { low: low - room, high: high + room, log };
};

// An empty drawing with its grid; `across` and `up` are lists of [pixel, label].
const drawing = (stage, height, box, across, up) => {
  stage.replaceChildren();
  const width = stage.clientWidth;
  const svg = add("svg", stage, { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const [y, label] of up) {
    add("path", svg, { class: "grid-line", d: `M${box.left} ${y}H${width - box.right}` });
    add("text", svg, { x: box.left - 7, y: y + HEIGHT / 3, "text-anchor": "end" }, label);
  }
  let last = -Infinity;
  for (const [x, label] of across) {
    add("path", svg, { class: "grid-line", d: `M${x} ${box.top}V${height - box.bottom}` });
    const half = Math.min(60, label.length * 3.6);
    if (x - half < last + 6) continue; // labels never lie on each other
    last = x + half;
    add("text", svg, { x: Math.max(half, Math.min(width - half, x)), y: height - box.bottom + HEIGHT + 6, "text-anchor": "middle" }, label);
  }
  return svg;
};

// The box with values beside a place; rows are [style, text].
const tip = (stage, x, title, rows) => {
  stage.querySelectorAll(".tip").forEach((element) => element.remove());
  const box = add("div", stage, { class: "tip" });
  add("b", box, {}, title);
  for (const [style, text] of rows) {
    const row = add("div", box);
    if (style) add("span", row, { class: "swatch tone", style });
    row.append(text);
  }
  const room = stage.clientWidth - box.offsetWidth;
  box.style.left = `${Math.max(0, Math.min(room, x > stage.clientWidth / 2 ? x - box.offsetWidth - 14 : x + 14))}px`;
};

// Draw now, and again whenever the width changes.
const keepDrawn = (element, draw) => {
  let width = 0;
  new ResizeObserver(() => {
    if (element.clientWidth && element.clientWidth !== width) {
      width = element.clientWidth;
      draw();
    }
  }).observe(element);
};
