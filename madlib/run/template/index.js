// Filter and sort the list of runs.
(() => {
  const table = document.querySelector(".runs"), filter = document.querySelector("#filter"), count = document.querySelector("#count");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach(r => { r.hidden = !words.every(w => r.textContent.toLowerCase().includes(w)); });
    const n = rows.filter(r => !r.hidden).length;
    count.textContent = n === rows.length ? `${n} ${n === 1 ? "run" : "runs"}` : `${n} of ${rows.length} runs`;
  };
  filter.addEventListener("input", show); show();
  [...table.tHead.rows[0].cells].forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending", key = r => r.cells[i].dataset.sort ?? r.cells[i].textContent.trim();
    [...table.tHead.rows[0].cells].forEach(c => c.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.sort((a, b) => (up ? 1 : -1) * key(a).localeCompare(key(b), undefined, { numeric: true }));
    body.append(...rows);
  }));
})();
