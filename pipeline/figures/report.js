"use strict";
// The page can be read without this script, which adds values under the pointer, larger maps, and a dark mode switch.
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  const make = (name, parent, text) => {
    const element = document.createElement(name === "i" || name === "b" ? name : "div");
    if (name !== "i" && name !== "b") element.className = name;
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const formatted = (value) => {
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("e+", "e");
    return Number(value.toPrecision(size >= 1000 ? 7 : 4)).toLocaleString("en");
  };

  const share = (value, [low, high], logarithmic) =>
    logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);

  // Lines: a cross at the nearest place on the x axis, and the value of every line there.
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const plot = figure.querySelector(".plot");
    const paths = [...figure.querySelectorAll("path.line")];
    const drawn = data.lines.filter((line) => line.points.length).map((line, place) => ({ ...line, path: paths[place] }));
    const places = [...new Set(drawn.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
    let at = -1;

    const clear = () => plot.querySelectorAll(".cross, .tip, .mark").forEach((element) => element.remove());
    const show = (index) => {
      clear();
      at = Math.max(0, Math.min(places.length - 1, index));
      const x = places[at];
      const left = 100 * share(x, data.x, false);
      make("cross", plot).style.left = `${left}%`;
      const tip = make("tip", plot);
      make("b", tip, data.words.length ? data.words[x] : `${data.name} ${formatted(x)}`);
      const reach = (data.x[1] - data.x[0]) / 50;
      for (const line of drawn) {
        const near = line.points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
        if (Math.abs(near[0] - x) > reach) continue;
        const mark = make("mark", plot);
        mark.style.cssText = line.path.style.cssText;
        mark.style.left = `${100 * share(near[0], data.x, false)}%`;
        mark.style.top = `${100 - 100 * share(near[1], data.y, data.logarithmic)}%`;
        const row = document.createElement("div");
        const dot = make("i", row);
        dot.className = "dot";
        dot.style.cssText = line.path.style.cssText;
        row.append(drawn.length > 1 ? `${line.name}  ${formatted(near[1])}` : formatted(near[1]));
        tip.append(row);
      }
      const room = plot.clientWidth - tip.offsetWidth;
      const beside = (left / 100) * plot.clientWidth;
      tip.style.left = `${Math.max(0, Math.min(room, beside > plot.clientWidth / 2 ? beside - tip.offsetWidth - 12 : beside + 12))}px`;
    };

    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const x = data.x[0] + ((event.clientX - box.left) / box.width) * (data.x[1] - data.x[0]);
      if (places.length) show(places.reduce((best, place, index) => (Math.abs(place - x) < Math.abs(places[best] - x) ? index : best), 0));
    });
    plot.addEventListener("pointerleave", clear);
    plot.addEventListener("blur", clear);
    plot.addEventListener("keydown", (event) => {
      const far = Math.max(1, Math.round(places.length / 50));
      const go = { ArrowLeft: at - far, ArrowRight: at + far, Home: 0, End: places.length - 1 }[event.key];
      if (event.key === "Escape") clear();
      if (go === undefined || !places.length) return;
      event.preventDefault();
      show(go);
      plot.setAttribute("aria-label", plot.querySelector(".tip").innerText.replaceAll("\n", ", "));
    });
  }

  // Colour maps: choose one of many, and read the number under the pointer.
  for (const figure of document.querySelectorAll("[data-grid]")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const plot = figure.querySelector(".large .plot");
    const output = figure.querySelector("output");
    const [height, width] = [data.down.ticks.length, data.across.ticks.length];
    const maps = data.cells && data.cells.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
    let [chosen, y, x] = [0, -1, -1];

    const value = (place) => {
      if (place === 255) return "no number";
      const part = place / 254;
      return formatted(data.logarithmic ? data.low * (data.high / data.low) ** part : data.low + part * (data.high - data.low));
    };
    const named = (axis, place) => axis.name + (axis.words ? ` ‘${axis.ticks[place]}’ (${place})` : ` ${axis.ticks[place]}`);
    const show = () => {
      plot.querySelectorAll(".cell").forEach((element) => element.remove());
      const map = data.cells && data.cells.length > 1
        ? `${data.rows.name} ${data.rows.ticks[Math.floor(chosen / data.columns.ticks.length)]}, ${data.columns.name} ${data.columns.ticks[chosen % data.columns.ticks.length]}`
        : "";
      if (y < 0) {
        output.textContent = map;
        return;
      }
      const cell = make("cell", plot);
      cell.style.cssText = `left:${(100 * x) / width}%;top:${(100 * y) / height}%;width:${100 / width}%;height:${100 / height}%`;
      const where = `${named(data.down, y)} → ${named(data.across, x)}`;
      output.textContent = `${map ? map + ": " : ""}${where}${maps ? ` = ${value(maps[chosen][y * width + x])}` : ""}`;
    };
    const point = (down, across) => {
      [y, x] = [Math.max(0, Math.min(height - 1, down)), Math.max(0, Math.min(width - 1, across))];
      show();
    };

    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      point(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
    });
    plot.addEventListener("pointerleave", () => { y = x = -1; show(); });
    plot.addEventListener("keydown", (event) => {
      const go = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!go) return;
      event.preventDefault();
      point(y + go[0], x + go[1]);
    });
    figure.addEventListener("change", (event) => {
      chosen = Number(event.target.value);
      plot.querySelector("img").src = event.target.nextElementSibling.src;
      show();
    });
    const checked = figure.querySelector("input:checked"); // a browser may bring back the choice of last time
    if (checked && Number(checked.value)) checked.dispatchEvent(new Event("change", { bubbles: true }));
    show();
  }

  // Paper cannot be unfolded.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((element) => { element.open = true; }));

  // Light or dark: the choice of the system until the reader makes another.
  const button = document.getElementById("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; button.ariaLabel = `${button.textContent} colours`; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
})();
