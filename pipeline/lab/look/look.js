"use strict";
// Follow a token, choose a head, read a probability. Without this script the page shows the last token and one head.
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = data.words.length;
  const maps = data.maps && new Uint16Array(Uint8Array.from(atob(data.maps), (character) => character.charCodeAt(0)).buffer);
  const heads = document.getElementById("heads");
  const plot = heads.querySelector(".large .plot");
  const output = heads.querySelector("output");
  let [layer, head, token, y, x] = [1, 1, count - 1, -1, -1];

  const said = (value) => {
    if (value === null) return "–";
    const size = Math.abs(value);
    return size && size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
  };
  const share = (p) => (p === null ? "–" : p >= 1e-3 || p === 0 ? p.toFixed(3) : p.toExponential(0));
  const make = (name, text, parent, give = {}) => {
    const element = document.createElement(name);
    if (text !== null) element.textContent = text;
    for (const [key, value] of Object.entries(give)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const cell = (parent, word, rest, p) => {
    const td = make("td", null, parent);
    td.style.setProperty("--p", p || 0);
    make("code", word, td);
    td.append(` ${rest}`);
  };

  // ------------------------------------------------------------------------------------------------- follow a token
  const next = () => {
    const prediction = data.predictions[token];
    document.querySelector("[data-word]").textContent = data.words[token];
    document.querySelector("[data-place]").textContent = `(token ${token})`;
    document.querySelector("[data-entropy]").textContent = prediction.entropy === null
      ? "The probabilities are NaN."
      : `Entropy ${said(prediction.entropy)} nats: 0 is certain, ${said(data.uniform)} is uniform guessing.`;
    const body = document.querySelector("#choices tbody");
    body.replaceChildren();
    for (const one of prediction.top) {
      const row = make("tr", null, body);
      make("td", one.rank, row);
      make("code", one.word, make("th", null, row, { scope: "row" }));
      make("td", one.id, row);
      const bar = make("td", null, row, { class: "bar" });
      make("i", null, bar).style.width = `${100 * (one.p || 0)}%`;
      make("span", share(one.p), bar);
      make("td", said(one.logit), row);
    }
    const actual = document.querySelector("[data-actual]");
    actual.replaceChildren(prediction.actual ? "The next token of the text is " : "The text ends here.");
    if (prediction.actual) {
      make("code", prediction.actual.word, actual);
      actual.append(`: rank ${prediction.actual.rank}, probability ${share(prediction.actual.p)}.`);
    }
    const forming = document.querySelector("#forming tbody");
    forming.replaceChildren();
    for (const { after, line } of data.lens) {
      const row = make("tr", null, forming);
      make("th", after, row, { scope: "row" });
      for (const one of line[token].top) cell(row, one.word, share(one.p), one.p);
    }
  };
  const follow = (place) => {
    token = Math.max(0, Math.min(count - 1, place));
    root.style.setProperty("--at", token);
    for (const input of document.getElementsByName("token")) input.checked = Number(input.value) === token;
    for (const element of document.querySelectorAll("#layers [data-token]")) element.classList.toggle("at", Number(element.dataset.token) === token);
    const [column, box] = [document.querySelector("#layers th.at"), document.querySelector("#lens .scroll")];
    box.scrollLeft = column.offsetLeft + column.offsetWidth / 2 - box.clientWidth / 2;
    next();
    if (y < 0) read();
  };
  document.getElementById("tokens").addEventListener("change", (event) => follow(Number(event.target.value)));
  document.getElementById("layers").addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-token]");
    if (chosen) follow(Number(chosen.dataset.token));
  });

  // ------------------------------------------------------------------------------------------------- choose a head
  const weight = (query, key) => maps[(((layer - 1) * data.heads + head - 1) * count + query) * count + key] / 65535;
  const named = (place) => `‘${data.words[place]}’ (${place})`;
  const read = () => {
    plot.querySelectorAll(".cell").forEach((element) => element.remove());
    if (!maps) {
      output.textContent = y < 0 ? "" : `${named(y)} → ${named(x)}`;
      return;
    }
    if (y < 0) {
      const strongest = data.words.map((_, key) => [weight(token, key), key]).sort((one, other) => other[0] - one[0]).slice(0, 4);
      output.textContent = `${named(token)} attends to ${strongest.filter(([p]) => p > 0).map(([p, key]) => `${named(key)} ${p.toFixed(3)}`).join(", ")}`;
      return;
    }
    const mark = make("div", null, plot, { class: "cell" });
    mark.style.cssText = `left:${(100 * x) / count}%;top:${(100 * y) / count}%;width:${100 / count}%;height:${100 / count}%`;
    output.textContent = `${layer}.${head}: ${named(y)} → ${named(x)} = ${x > y ? "masked" : weight(y, x).toFixed(4)}`;
  };
  const choose = (input) => {
    [layer, head] = input.value.split(".").map(Number);
    const image = input.nextElementSibling;
    plot.querySelector("img").src = image.src;
    heads.querySelector("[data-head]").textContent = `head ${input.value}`;
    heads.querySelector("[data-summary]").textContent = image.alt.split(": ")[1];
    read();
  };
  heads.addEventListener("change", (event) => choose(event.target));

  // ------------------------------------------------------------------------------------------------- read a cell
  const point = (down, across) => {
    [y, x] = [Math.max(0, Math.min(count - 1, down)), Math.max(0, Math.min(count - 1, across))];
    read();
  };
  const place = (event) => {
    const box = plot.getBoundingClientRect();
    return [Math.floor(((event.clientY - box.top) / box.height) * count), Math.floor(((event.clientX - box.left) / box.width) * count)];
  };
  plot.addEventListener("pointermove", (event) => point(...place(event)));
  plot.addEventListener("pointerleave", () => { y = x = -1; read(); });
  plot.addEventListener("blur", () => { y = x = -1; read(); });
  plot.addEventListener("click", (event) => follow(place(event)[0]));
  plot.addEventListener("keydown", (event) => {
    const go = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter" && y >= 0) follow(y);
    if (event.key === "Escape") { y = x = -1; read(); }
    if (!go) return;
    event.preventDefault();
    if (y < 0) point(token, token);
    else point(y + go[0], x + go[1]);
  });

  // The tokens stay in view, so the target of a link must be scrolled to a position below them.
  const strip = document.getElementById("tokens");
  new ResizeObserver(() => { root.style.scrollPaddingTop = `${strip.offsetHeight + 8}px`; }).observe(strip);

  // A browser may restore earlier choices.
  choose(heads.querySelector("input:checked"));
  follow(Number(document.querySelector("[name=token]:checked").value));
})();
