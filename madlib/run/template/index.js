// The list of runs: search, filters and order live in the address; a hundred rows are drawn at a time.
(() => {
  const { runs, esc, number, search, sign, day, few, money, address } = window.madlibList, page = 100;
  const table = document.querySelector(".runs"), $ = id => document.getElementById(id);
  if (!table) return;
  const given = new URLSearchParams(location.search), chosen = new Set((given.get("chosen") ?? "").split(",").filter(id => runs.some(r => r.id === id)));
  const of = { experiment: r => [number(r)], task: r => r.tasks, mixer: r => r.mixers, verdict: r => [r.verdict || "none"], status: r => [r.status], engine: r => [r.engine || "none"], preset: r => [r.preset || "none"] };
  let order = given.get("sort") || "-started", shown = page, found = [];

  // Filters: what may be chosen is what there is.
  const filters = [...document.querySelectorAll(".sift select[name]")].filter(s => of[s.name]);
  for (const s of filters) {
    const count = new Map(); runs.forEach(r => of[s.name](r).forEach(v => count.set(v, (count.get(v) ?? 0) + 1)));
    if (given.get(s.name) && !count.has(given.get(s.name))) count.set(given.get(s.name), 0);
    s.append(...[...count].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true })).map(([v, n]) => new Option(`${v} (${n})`, v)));
    s.value = given.get(s.name) ?? "";
  }
  for (const id of ["q", "since", "until"]) $(id).value = given.get(id) ?? "";
  $("sort").value = order;

  const heads = [...table.tHead.rows[0].cells].filter(h => h.dataset.key);
  const compare = (a, b) => (a == null || a === "") - (b == null || b === "") || (typeof a === "number" && typeof b === "number" ? a - b : text.compare(String(a), String(b)));
  const text = new Intl.Collator(undefined, { numeric: true });
  const sift = () => {
    const words = search($("q").value), since = $("since").value, until = $("until").value, on = filters.filter(s => s.value);
    found = runs.filter(r => words(r) && on.every(s => of[s.name](r).includes(s.value)) && (!since || r.started.slice(0, 10) >= since) && (!until || r.started.slice(0, 10) <= until));
    const k = order.replace("-", ""), down = order.startsWith("-"), value = r => Array.isArray(r[k]) ? r[k].join() : r[k];
    if (order !== "-started") {   // the newest first is how they come; sorting is stable
      const keyed = found.map(r => [value(r), r]), empty = v => v == null || v === "";
      found = keyed.sort(([a], [b]) => empty(a) || empty(b) ? empty(a) - empty(b) : (down ? -1 : 1) * compare(a, b)).map(([, r]) => r);
    }
    heads.forEach(h => h.dataset.key === k ? h.setAttribute("aria-sort", down ? "descending" : "ascending") : h.removeAttribute("aria-sort"));
    const some = on.length + Boolean(since) + Boolean(until);
    $("on").textContent = some ? `(${some})` : ""; $("clear").hidden = !some && !$("q").value;
    const params = new URLSearchParams();
    for (const [name, v] of [["q", $("q").value.trim()], ...filters.map(s => [s.name, s.value]), ["since", since], ["until", until], ["sort", order === "-started" ? "" : order], ["chosen", [...chosen].join()]]) if (v) params.set(name, v);
    address(params);
    shown = page; draw();
  };
  const row = r => `<tr><td class="pick"><input type="checkbox" value="${esc(r.id)}" aria-label="compare ${esc(`${number(r)}, ${r.preset}, ${r.started.slice(0, 10)}`)}"${chosen.has(r.id) ? " checked" : ""}></td>`
    + `<td class="no">${esc(r.number)}</td><td class="title line"><a href="${esc(r.page)}">${esc(r.title)}</a></td><td>${esc(r.preset)}</td><td>${sign(r)}</td><td class="sentence line"><span title="${esc(r.sentence)}">${esc(r.sentence)}</span></td>`
    + `<td data-label="task">${few(r.tasks, 2)}</td><td data-label="mixers">${few(r.mixers, 3)}</td><td class="when" title="UTC">${day(r)}</td><td class="num" data-label="took">${esc(r.took)}</td><td class="num" data-label="cost">${money(r.dollars)}</td>`
    + `<td class="num" data-label="seeds">${esc(r.seeds)}</td><td data-label="on" title="${esc(r.device)}">${esc(r.engine)}${r.engine && r.engine !== "local" && r.device ? `, ${esc(r.device)}` : ""}</td></tr>`;
  const draw = () => {
    table.tBodies[0].innerHTML = found.slice(0, shown).map(row).join("");
    $("count").textContent = found.length === runs.length ? `${runs.length} ${runs.length === 1 ? "run" : "runs"}` : `${found.length} of ${runs.length} runs`;
    $("more").hidden = found.length <= shown; $("more").textContent = `show ${Math.min(page, found.length - shown)} more`;
    $("none").hidden = found.length > 0; table.hidden = !found.length;
    tell();
  };
  const tell = () => {
    const go = $("compare"), n = chosen.size;
    go.disabled = n < 2;
    $("why").textContent = n < 2 ? `Choose ${n ? "one more run" : "two or more runs"} to compare.` : "";
    go.textContent = n < 2 ? "compare" : `compare ${n} runs`; $("unchoose").hidden = !n;
  };

  let waiting;   // while someone types, one drawing for several keys
  $("q").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(sift, 60); });
  document.querySelector(".sift").addEventListener("change", e => { if (e.target.id === "sort") order = e.target.value; if (e.target.id !== "q") sift(); });
  table.tHead.addEventListener("click", e => {
    const k = e.target.closest("th")?.dataset.key;
    if (!k || !e.target.closest("button")) return;
    order = order === k ? `-${k}` : order === `-${k}` ? k : /^(started|seconds|dollars)$/.test(k) ? `-${k}` : k;
    $("sort").value = order; sift();
  });
  table.tBodies[0].addEventListener("change", e => { chosen[e.target.checked ? "add" : "delete"](e.target.value); const p = new URLSearchParams(location.search); chosen.size ? p.set("chosen", [...chosen].join()) : p.delete("chosen"); address(p); tell(); });
  $("more").addEventListener("click", () => { const at = shown; shown += page; draw(); table.tBodies[0].rows[at]?.querySelector("a").focus(); });
  $("clear").addEventListener("click", () => { filters.forEach(s => { s.value = ""; }); for (const id of ["q", "since", "until"]) $(id).value = ""; sift(); $("q").focus(); });
  $("unchoose").addEventListener("click", () => { chosen.clear(); sift(); });
  $("compare").addEventListener("click", () => { location.href = `compare.html?runs=${[...chosen].join()}`; });
  addEventListener("keydown", e => {   // j and k go through the rows, x chooses one
    if (e.ctrlKey || e.metaKey || e.altKey || /^(TEXTAREA|SELECT)$/.test(e.target.tagName) || e.target.matches("input:not([type=checkbox])")) return;
    const rows = [...table.tBodies[0].rows], at = rows.indexOf(e.target.closest("tr"));
    if (e.key === "j" || e.key === "k") rows[Math.max(0, Math.min(rows.length - 1, at + (e.key === "j" ? 1 : -1)))]?.querySelector("a").focus();
    else if (e.key === "x" && at >= 0) rows[at].querySelector("input").click();
  });
  const wide = matchMedia("(min-width: 40.01rem)"), fold = () => { $("filters").open = wide.matches; };
  fold(); wide.addEventListener("change", fold);
  sift();
})();
