// The score over each knob: dots of variants and of their seeds, coloured by another knob; one variant is marked in all panels.
for (const choices of document.querySelectorAll("[data-knob-choices]")) {
  const { variants, knobs, minimizes, metric } = data;
  const find = (name) => document.querySelector(name);
  const [over, by, log, whole] = ["[data-over]", "[data-color]", "[data-log]", "[data-whole]"].map((name) => choices.querySelector(name));
  const [legend, said] = [find("[data-legend]"), find("[data-knob-said]")];
  const panels = [...document.querySelectorAll("[data-panel]")];

  // The colour of a variant, by the knob that the reader chose; without a value it is grey.
  const plain = "--light:var(--accent);--dark:var(--accent)";
  const style = (variant) => {
    if (by.value === "") return plain;
    const knob = knobs[by.value];
    const value = knob.values[variant];
    return value === null ? "--light:var(--quiet);--dark:var(--quiet)" : color(knob.light[value], knob.dark[value]);
  };

  // The axis of the scores. The worst fifth may leave it, where it would squeeze the others together.
  const axis = () => {
    const means = variants.filter((one) => one.mean !== null).map((one) => one.mean).sort((a, b) => (minimizes ? a - b : b - a));
    const scores = variants.flatMap((one) => [...one.scores, ...(one.mean === null ? [] : [one.mean])]);
    const usable = log.checked ? scores.filter((score) => score > 0) : scores;
    if (!usable.length) return null;
    const found = reach(usable, log.checked);
    if (whole.checked || means.length < 5) return found;
    const edge = means[0] + 2.2 * (means[Math.floor(0.8 * (means.length - 1))] - means[0]);
    const within = usable.filter((score) => (minimizes ? score <= edge : score >= edge));
    return within.length > usable.length / 2 ? reach(within, log.checked) : found;
  };

  // Chains of variants that differ in one knob alone.
  const chains = (knob) => {
    const found = new Map();
    variants.forEach((one, place) => {
      if (one.mean === null || knobs[knob].places[place] === null) return;
      const others = knobs.map((other, at) => (at === knob ? "" : other.values[place])).join();
      found.set(others, [...(found.get(others) || []), place]);
    });
    return [...found.values()].filter((chain) => chain.length > 1).map((chain) => chain.sort((a, b) => knobs[knob].places[a] - knobs[knob].places[b]));
  };

  const draw = (panel) => {
    const number = Number(panel.dataset.panel);
    const [knob, stage, up] = [knobs[number], panel.querySelector(".stage"), axis()];
    if (!stage.clientWidth || !up) return;
    const width = stage.clientWidth;
    const height = over.value === "" ? 230 : Math.max(260, Math.min(440, width * 0.5));
    const box = { left: 52, right: 10, top: 22, bottom: 26 };
    const x = (share) => box.left + share * (width - box.left - box.right);
    const y = placed(up, height - box.bottom, box.top + 6);
    const svg = drawing(stage, height, box, knob.ticks.map(([share, label]) => [x(share), label]), ticks(up.low, up.high, up.log).map((tick) => [y(tick), written(tick)]));
    add("text", svg, { class: "name", x: 0, y: HEIGHT }, metric);
    const [top, bottom] = [box.top + 6, height - box.bottom];
    const inside = (value) => value !== null && (!up.log || value > 0) && y(value) >= top - 1 && y(value) <= bottom + 1;
    const held = (value) => Math.max(top, Math.min(bottom, y(value)));
    // Variants of one value stand side by side, in the order of the colour, as far as there is room.
    const same = new Map();
    const order = variants.map((_, place) => place).filter((place) => knob.places[place] !== null);
    order.sort((a, b) => (by.value === "" ? 0 : knobs[by.value].values[a] - knobs[by.value].values[b]) || a - b);
    for (const place of order) same.set(knob.places[place], [...(same.get(knob.places[place]) || []), place]);
    const columns = [...same.keys()].sort((a, b) => a - b);
    const gap = Math.min(...columns.slice(1).map((share, place) => x(share) - x(columns[place])), 140);
    const left = new Map();
    for (const [share, places] of same) places.forEach((place, index) => left.set(place, x(share) + (places.length > 1 ? (index / (places.length - 1) - 0.5) * Math.min(0.55 * gap, 7 * places.length) : 0)));

    const spots = [];
    for (const chain of chains(number)) {
      const d = chain.map((place) => `${left.get(place).toFixed(1)} ${held(variants[place].mean).toFixed(1)}`).join("L");
      // A chain has one colour where the chosen knob is the same along it.
      add("path", svg, { class: "joined tone", style: by.value === String(number) ? plain : style(chain[0]), d: `M${d}` });
    }
    for (const [place, at] of left) {
      const one = variants[place];
      const give = { style: style(place) };
      const seeds = one.scores.filter(inside);
      if (seeds.length) add("path", svg, { ...give, class: "seed tone", d: seeds.map((score) => `M${at.toFixed(1)} ${y(score).toFixed(1)}h0`).join("") });
      const edge = minimizes ? top : bottom;
      if (one.mean === null) {
        if (!one.diverged) continue;
        add("path", svg, { ...give, class: "lost tone", d: `M${at - 4} ${edge - 4}l8 8m0 -8l-8 8` });
        spots.push({ place, x: at, y: edge });
      } else if (!inside(one.mean)) {
        const side = y(one.mean) < top ? -1 : 1;
        add("path", svg, { ...give, class: "beyond tone", d: `M${at - 4} ${held(one.mean)}h8l-4 ${7 * side}z` });
        spots.push({ place, x: at, y: held(one.mean) });
      } else {
        if (one.low !== null && one.high !== null) add("path", svg, { ...give, class: "reach tone", d: `M${at.toFixed(1)} ${held(one.low).toFixed(1)}V${held(one.high).toFixed(1)}` });
        add("circle", svg, { ...give, class: "middle tone", "data-variant": place, cx: at.toFixed(1), cy: y(one.mean).toFixed(1), r: variants.length > 60 ? 3.6 : 4.6 });
        spots.push({ place, x: at, y: y(one.mean) });
      }
    }
    stage.read = spots.sort((a, b) => a.x - b.x || a.y - b.y);
    stage.at = -1;
  };

  const clear = () => {
    document.querySelectorAll("#knobs .tip").forEach((element) => element.remove());
    document.querySelectorAll("#knobs .at").forEach((element) => element.classList.remove("at"));
  };
  const read = (stage, index) => {
    clear();
    if (!stage.read || !stage.read.length) return "";
    stage.at = Math.max(0, Math.min(stage.read.length - 1, index));
    const { place, x } = stage.read[stage.at];
    const one = variants[place];
    for (const mark of document.querySelectorAll(`#knobs [data-variant="${place}"]`)) {
      mark.classList.add("at");
      mark.parentNode.append(mark); // above the others
    }
    const range = one.low === null ? "" : ` (${written(one.low)} to ${written(one.high)})`;
    const score = one.mean === null ? `${one.diverged} of ${one.seeds} diverged` : `${metric} ${written(one.mean)}${range}, ${one.seeds} seed${one.seeds === 1 ? "" : "s"}`;
    const values = knobs.filter((knob) => knob.values[place] !== null).map((knob) => `${knob.short} ${knob.labels[knob.values[place]]}`);
    tip(stage, x, one.name, [[style(place), score], ...values.map((text) => ["", text])]);
    return [one.name, score, ...values].join(", ");
  };

  const paint = () => {
    legend.replaceChildren();
    if (by.value !== "") {
      const knob = knobs[by.value];
      add("b", legend, {}, knob.name);
      if (knob.labels.length <= 8) {
        knob.labels.forEach((label, value) => {
          const entry = add("span", legend);
          add("span", entry, { class: "swatch tone", style: color(knob.light[value], knob.dark[value]) });
          entry.append(label);
        });
      } else {
        add("span", legend, {}, knob.labels[0]);
        for (const night of ["light", "dark"]) add("i", legend, { class: `ramp on-${night}`, style: `background:linear-gradient(to right,${knob[night].join()})` });
        add("span", legend, {}, knob.labels.at(-1));
      }
    }
    document.querySelector(".panels").classList.toggle("one", over.value !== "");
    for (const panel of panels) panel.hidden = over.value !== "" && over.value !== panel.dataset.panel;
    panels.filter((panel) => !panel.hidden).forEach(draw);
  };

  for (const panel of panels) {
    const stage = panel.querySelector(".stage");
    stage.addEventListener("pointermove", (event) => {
      const box = stage.getBoundingClientRect();
      const far = (spot) => (spot.x - (event.clientX - box.left)) ** 2 + (spot.y - (event.clientY - box.top)) ** 2;
      if (stage.read && stage.read.length) read(stage, stage.read.reduce((best, spot, index) => (far(spot) < far(stage.read[best]) ? index : best), 0));
    });
    stage.addEventListener("pointerleave", clear);
    stage.addEventListener("blur", clear);
    stage.addEventListener("keydown", (event) => {
      if (event.key === "Escape") clear();
      const go = { ArrowLeft: stage.at - 1, ArrowRight: stage.at + 1, Home: 0, End: Infinity }[event.key];
      if (go === undefined) return;
      event.preventDefault();
      said.textContent = read(stage, go);
    });
    panel.hidden = false;
    keepDrawn(stage, () => draw(panel));
  }
  for (const control of [over, by, log, whole]) control.addEventListener("change", paint);
  choices.hidden = false;
  // The second knob colours the first one's picture, and all others.
  if (knobs.length > 1 && by.value === "") by.value = knobs[1].labels.length <= 8 || knobs[0].labels.length > 8 ? "1" : "0";
  paint();
}
