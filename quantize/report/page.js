for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent || "#";
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.replace("\u2212", "-").replace("identical", "200");
      const order = (one, other) => {
        const [a, b] = [value(one), value(other)], difference = parseFloat(a) - parseFloat(b);
        return Number.isNaN(difference) ? a.localeCompare(b) : difference;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * order(a, b)));
    });
    head.replaceChildren(button);
  });
}
