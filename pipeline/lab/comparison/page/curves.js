// Curves: which variants, which quantity, which axes; values at a step under the pointer or by the arrow keys.
for (const figure of document.querySelectorAll("[data-curves]")) {
  const { columns, steps, lines } = data.curves;
  const { light, dark } = data.colors;
  const find = (name) => figure.querySelector(name);
  const [stage, chips, said, select, logY, logX] = [".stage", ".chips", "[data-said]", "[data-column]", "[data-log-y]", "[data-log-x]"].map(find);
  const DASHES = ["", "7 4", "2 4"]; // beyond the colours, the stroke tells variants apart
  const AT_ONCE = light.length * DASHES.length;
  const there = [...new Set(lines.map((line) => line.variant))].sort((a, b) => a - b); // the best first
  const slots = new Map(); // of the variants that are on: their colour and stroke
  let at = -1;
  let shown = [];

  const style = (variant) => color(light[slots.get(variant) % light.length], dark[slots.get(variant) % light.length]);
  const dash = (variant) => DASHES[Math.floor(slots.get(variant) / light.length) % DASHES.length];
  const swap = (variant, on) => {
    if (!on) slots.delete(variant);
    else if (!slots.has(variant)) {
      // Its own colour if nobody has it, else the first that is free.
      const taken = new Set(slots.values());
      const home = there.indexOf(variant) % AT_ONCE;
      slots.set(variant, !taken.has(home) ? home : Math.max(0, [...Array(AT_ONCE).keys()].findIndex((slot) => !taken.has(slot))));
    }
  };

  const draw = () => {
    at = -1;
    const drawn = lines.filter((line) => line.column === select.value && slots.has(line.variant));
    const [byX, byY] = [logX.checked, logY.checked];
    // On a logarithmic axis what is not above 0 has no place.
    shown = drawn.map((line) => {
      const kept = steps[line.steps].map((step, place) => ({ step, mean: line.mean[place], low: (line.low || line.mean)[place], high: (line.high || line.mean)[place] }));
      return { ...line, points: kept.filter((point) => (!byX || point.step > 0) && (!byY || point.low > 0)) };
    }).filter((line) => line.points.length);
    const points = shown.flatMap((line) => line.points);
    if (!points.length) {
      stage.replaceChildren();
      add("p", stage, { class: "quiet" }, slots.size ? "There is nothing to draw on these axes." : "Switch a variant on below.");
      return;
    }
    const width = stage.clientWidth;
    const height = Math.max(260, Math.min(420, width * 0.45));
    const longest = Math.max(...shown.map((line) => data.variants[line.variant].brief.length));
    const labelled = width > 640 && shown.length <= 14;
    const box = { left: 56, right: labelled ? Math.min(0.3 * width, longest * 7.4 + 16) : 12, top: 24, bottom: 40 };
    const across = reach(points.map((point) => point.step), byX);
    if (!byX) [across.low, across.high] = [Math.min(...points.map((p) => p.step)), Math.max(...points.map((p) => p.step))];
    const up = reach(points.flatMap((point) => [point.low, point.high]), byY);
    const x = placed(across, box.left, width - box.right);
    const y = placed(up, height - box.bottom, box.top);
    const svg = drawing(stage, height, box,
      ticks(across.low, across.high, byX).map((tick) => [x(tick), written(tick)]),
      ticks(up.low, up.high, byY).map((tick) => [y(tick), written(tick)]));
    add("text", svg, { class: "name", x: 0, y: HEIGHT }, select.value.replaceAll("_", " "));
    add("text", svg, { class: "name", x: (box.left + width - box.right) / 2, y: height - 4, "text-anchor": "middle" }, "step");
    const spot = (point, value) => `${x(point.step).toFixed(1)} ${y(value).toFixed(1)}`;
    for (const line of shown) {
      if (line.low) {
        const edge = [...line.points.map((point) => spot(point, point.high)), ...line.points.map((point) => spot(point, point.low)).reverse()];
        add("path", svg, { class: "band tone", style: style(line.variant), d: `M${edge.join("L")}Z` });
      }
    }
    for (const line of shown) {
      add("path", svg, { class: "curve tone", style: style(line.variant), "stroke-dasharray": dash(line.variant), "data-variant": line.variant, d: `M${line.points.map((point) => spot(point, point.mean)).join("L")}` });
    }
    if (labelled) {
      // Names at the ends, as near to their lines as they may be without lying on each other.
      const ends = shown.map((line) => ({ line, y: y(line.points.at(-1).mean) })).sort((a, b) => a.y - b.y);
      const room = Math.floor((box.right - 10) / 7.3); // letters
      let least = box.top;
      for (const end of ends) {
        end.y = Math.max(end.y, least);
        least = end.y + HEIGHT + 3;
      }
      let most = height - box.bottom;
      for (const end of ends.reverse()) {
        end.y = Math.min(end.y, most);
        most = end.y - HEIGHT - 3;
        const { brief } = data.variants[end.line.variant];
        add("text", svg, { class: "end tone", style: style(end.line.variant), x: width - box.right + 8, y: end.y + HEIGHT / 3 }, brief.length > room ? `${brief.slice(0, room - 1)}…` : brief);
      }
    }
    const places = [...new Set(points.map((point) => point.step))].sort((a, b) => a - b);
    stage.read = { x, y, svg, box, height, places };
  };

  const clear = () => stage.querySelectorAll(".tip, .cross-line").forEach((element) => element.remove());
  const read = (index) => {
    const { x, svg, box, height, places } = stage.read;
    clear();
    at = Math.max(0, Math.min(places.length - 1, index));
    const step = places[at];
    add("path", svg, { class: "cross-line", d: `M${x(step)} ${box.top}V${height - box.bottom}` });
    const rows = [];
    for (const line of shown) {
      const near = line.points.reduce((best, point) => (Math.abs(point.step - step) < Math.abs(best.step - step) ? point : best));
      if (Math.abs(x(near.step) - x(step)) > 12) continue; // it has no value near here
      const range = line.low ? ` (${written(near.low)} to ${written(near.high)})` : "";
      rows.push([near.mean, style(line.variant), `${written(near.mean)}${range}  ${data.variants[line.variant].brief}`]);
    }
    rows.sort((a, b) => (data.minimizes ? a[0] - b[0] : b[0] - a[0]));
    tip(stage, x(step), `step ${written(step)}`, rows.slice(0, 14).map((row) => row.slice(1)));
    return `step ${written(step)}: ${rows.map((row) => row[2]).join(", ")}`;
  };

  stage.addEventListener("pointermove", (event) => {
    if (!shown.length) return;
    const { x, places } = stage.read;
    const left = event.clientX - stage.getBoundingClientRect().left;
    read(places.reduce((best, step, place) => (Math.abs(x(step) - left) < Math.abs(x(places[best]) - left) ? place : best), 0));
  });
  stage.addEventListener("pointerleave", clear);
  stage.addEventListener("blur", clear);
  stage.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    if (!shown.length) return;
    const far = Math.max(1, Math.round(stage.read.places.length / 50));
    const go = { ArrowLeft: at < 0 ? Infinity : at - far, ArrowRight: at + far, Home: 0, End: Infinity }[event.key];
    if (go === undefined) return;
    event.preventDefault();
    said.textContent = read(go);
  });

  const chipOf = new Map();
  const press = () => {
    for (const [variant, chip] of chipOf) {
      const on = slots.has(variant);
      chip.setAttribute("aria-pressed", String(on));
      chip.setAttribute("style", on ? style(variant) : "");
      chip.querySelector("path").setAttribute("stroke-dasharray", on ? dash(variant) : "");
    }
    draw();
  };
  for (const variant of there) {
    const { name, brief } = data.variants[variant];
    const chip = add("button", chips, { type: "button", class: "tone", title: name });
    add("path", add("svg", chip, { viewBox: "0 0 27 11", "aria-hidden": "true" }), { class: "curve", d: "M1 5.5H26" });
    add("span", chip, {}, brief);
    chip.addEventListener("click", () => { swap(variant, !slots.has(variant)); press(); });
    chipOf.set(variant, chip);
  }
  const choose = (variants) => { slots.clear(); variants.forEach((variant) => swap(variant, true)); press(); };
  find("[data-best]").addEventListener("click", () => choose(there.slice(0, light.length)));
  find("[data-none]").addEventListener("click", () => choose([]));
  for (const column of columns) add("option", select, { value: column }, column.replaceAll("_", " "));
  for (const control of [select, logX, logY]) control.addEventListener("change", draw);
  for (const element of [stage, chips, find(".choices")]) element.hidden = false;
  choose(there.slice(0, light.length));
  keepDrawn(stage, draw);
}
