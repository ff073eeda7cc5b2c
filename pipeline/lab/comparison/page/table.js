// The table sorts by any column and is filtered by words; commands are copied by a button.
for (const table of document.querySelectorAll("[data-table]")) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const key = (row, column) => (column ? row.cells[column].dataset.by : row.cells[0].textContent);
  const numbers = heads.map((_, column) => rows.every((row) => key(row, column) === "" || !Number.isNaN(Number(key(row, column)))));

  // What has no value comes last in either direction.
  const sort = (column, direction) => {
    const compare = (one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      if (a === "" || b === "") return (a === "") - (b === "");
      if (a === b) return 0;
      return direction * (numbers[column] ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    };
    heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : direction > 0 ? "ascending" : "descending"));
    table.tBodies[0].append(...[...rows].sort(compare));
  };
  heads.forEach((head, column) => {
    const button = add("button", head, { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1));
  });

  const [filter, count] = ["[data-filter]", "[data-count]"].map((name) => document.querySelector(name));
  const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, place) => { row.hidden = !words.every((word) => texts[place].includes(word)); });
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  };
  filter.addEventListener("input", narrow);
  document.querySelector("[data-filter-box]").hidden = false;
  narrow(); // a browser may bring back the words of last time
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const command = button.parentNode.querySelector("pre");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command); // the browser does not allow it: the reader copies what is selected
      button.textContent = "Selected";
    }
  });
}
