// Theme, contents and figures of a page. Everything it needs stands in the file itself.
(() => {
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)"), button = document.querySelector(".theme");
  const remembered = () => { try { return localStorage.getItem("madlib-theme"); } catch { return null; } };
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => { if (button) button.textContent = dark() ? "light" : "dark"; };
  if (remembered()) root.dataset.theme = remembered();
  label();
  button?.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("madlib-theme", root.dataset.theme); } catch { /* a page from disk may have no storage */ }
    label(); draw();
  });
  system.addEventListener("change", () => { label(); draw(); });

  // Figures are stored once and coloured for the theme at hand: text and grid, and the lines of attention, black on white and white on black, and the dark blue ones.
  const inks = { light: { text: "#4d4b46", grid: "rgba(120,118,110,.25)" }, dark: { text: "#b9b7af", grid: "rgba(170,168,160,.22)" } };
  const black = new Set(["#636363", "#000000", "#000", "black", "rgb(0, 0, 0)", "rgb(0,0,0)"]);
  const scales = { "#ffffff": "#22262b", "#e3edf3": "#22313d", "#8ac0de": "#3f86b4", "#074f80": "#d6ecfa" };   // nothing is as dark as the page, much is bright
  const recolour = (x, ink, isDark, key) => {
    if (key === "colorscale" && isDark && Array.isArray(x)) return x.map(([at, colour]) => [at, scales[colour] ?? colour]);
    if (typeof x === "string") return x === "#707070" ? ink.text : x === "rgba(128,128,128,.28)" ? ink.grid : black.has(x) ? (isDark ? "#f2f0ea" : "#000000") : isDark && x === "#0072B2" ? "#3d94d9" : x;
    if (key === "colorscale" || key === "textfont" || x === null || typeof x !== "object") return x;
    if (Array.isArray(x)) return x.length && typeof x[0] === "number" ? x : x.map(v => recolour(v, ink, isDark));
    return Object.fromEntries(Object.entries(x).map(([k, v]) => [k, recolour(v, ink, isDark, k)]));
  };
  // Small multiples stand in two columns where four would be too narrow to read.
  const panels = (layout, width) => {
    const { panels: n, columns: wide, row } = layout.meta, columns = width < 560 ? Math.min(2, n) : wide;
    if (columns === wide) return;
    const rows = Math.ceil(n / columns), w = 1 / columns, h = 1 / rows, gap = columns > 1 ? .2 * w : 0;
    layout.height += row * .8 * rows - row * Math.ceil(n / wide);
    for (let i = 0; i < n; i++) {
      const r = Math.floor(i / columns), c = i % columns, k = i ? i + 1 : "";
      Object.assign(layout["xaxis" + k], { domain: [c * w + gap * c / columns, (c + 1) * w - gap * (1 - (c + 1) / columns)], showticklabels: i + columns >= n });
      Object.assign(layout["yaxis" + k], { domain: [1 - (r + 1) * h, 1 - r * h - .3 * h], showticklabels: c === 0 });
    }
  };
  // Where names beside the rows would leave no room for the rows, they stand over them.
  const rows = (layout, width, isDark) => {
    const { row, rows: n } = layout.meta, y = layout.yaxis;
    if (width >= 560) return;
    const over = { showarrow: false, yanchor: "bottom", yshift: 6, font: { size: 11 }, bgcolor: isDark ? "#15171a" : "#fffefb", borderpad: 0 };
    layout.annotations = (layout.annotations ?? []).map(a => a.name === "value" ? { ...a, ...over, xanchor: "right", xshift: 0 } : a);
    y.tickvals.forEach((v, i) => layout.annotations.push({ ...over, text: y.ticktext[i], x: 0, xref: "paper", xanchor: "left", y: v }));
    (layout.shapes ?? []).forEach(s => { if (s.yref === "paper" && s.y1 > 1) s.y1 = 1 + (s.y1 - 1) * row / 42; });
    Object.assign(y, { showticklabels: false, range: [y.range[0], y.range[1] - .2] });
    layout.margin = { ...layout.margin, r: 12 };
    layout.height += (42 - row) * n;
  };
  // Square cells on a narrow screen need less height.
  const squares = (data, layout, width) => {
    const z = data[0].z, top = layout.margin?.t ?? 24, high = layout.height;
    const room = (width - 70) / z[0].length * z.length + top + 52;
    if (room >= high) return;
    layout.height = Math.round(room);
    data.forEach(t => { if (t.colorbar) t.colorbar.y = 1 - (1 - t.colorbar.y) * high / layout.height; });
  };
  const themed = (spec, width, isDark) => {
    const ink = inks[isDark ? "dark" : "light"], { data, layout } = recolour(structuredClone(spec), ink, isDark);
    Object.assign(layout, { autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: ink.text } });
    delete layout.width;
    for (const axis of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter(k => /^[xy]axis\d*$/.test(k))]))
      layout[axis] = { gridcolor: ink.grid, linecolor: ink.grid, zerolinecolor: ink.grid, ...layout[axis], automargin: true };
    if (isDark) data.forEach(t => { if (t.opacity < .5) t.opacity *= 1.6; });   // faint lines are fainter on black
    if (width < 560) layout.dragmode = false;   // a finger scrolls the page
    if (layout.meta?.panels) panels(layout, width);
    if (layout.meta?.rows) rows(layout, width, isDark);
    if (data[0]?.type === "heatmap" && layout.yaxis?.scaleanchor) squares(data, layout, width);
    return { data, layout };
  };
  const redraw = ({ at, spec }, isDark = dark()) => {
    if (spec.layout.meta?.least) at.style.minWidth = `${spec.layout.meta.least}px`;   // its box scrolls
    const width = at.clientWidth, { data, layout } = themed(spec, width, isDark);
    at.style.minHeight = `${layout.height}px`;
    at.dataset.narrow = width < 560;
    const image = { format: "svg", filename: at.dataset.name ?? "figure" };
    return Plotly.react(at, data, layout, { responsive: true, displaylogo: false, displayModeBar: width < 560 ? false : "hover", toImageButtonOptions: image, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
  };
  const places = [], draw = isDark => places.forEach(p => p.drawn && redraw(p, isDark));
  const show = place => { if (!place.drawn) { place.drawn = true; redraw(place); } };

  // Below a figure: take it away as a drawing, as a picture, or as the numbers it is made of.
  const save = (name, url) => { const a = document.createElement("a"); a.href = url; a.download = name; a.click(); };
  const cell = v => v == null ? "" : /[",\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : v;
  const list = v => v && typeof v === "object" && !Array.isArray(v) && v.bdata ? Array.from(unpack(v)) : v;
  const kinds = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  const unpack = ({ dtype, bdata }) => new kinds[dtype](Uint8Array.from(atob(bdata), c => c.charCodeAt(0)).buffer);
  const numbers = data => ["trace,x,y,z", ...data.flatMap((t, k) => {
    const x = list(t.x) ?? [], y = list(t.y) ?? [], z = list(t.z), name = cell(t.name ?? k + 1);
    if (z) return z.flatMap((r, i) => Array.from(list(r)).map((v, j) => [name, cell(x[j] ?? j), cell(y[i] ?? i), v].join(",")));
    return Array.from({ length: Math.max(x.length, y.length) }, (_, i) => [name, cell(x[i]), cell(y[i]), ""].join(","));
  })].join("\n") + "\n";
  const tools = place => {
    const { at, spec } = place, row = document.createElement("p"), name = at.dataset.name = at.closest("figure")?.id || "figure";
    const button = (words, act) => { const b = document.createElement("button"); b.type = "button"; b.textContent = words; b.setAttribute("aria-label", `download ${name} as ${words}`); b.addEventListener("click", act); row.append(b); };
    const picture = format => async () => { show(place); save(`${name}.${format}`, await Plotly.toImage(at, { format, scale: 2, width: at.clientWidth, height: at.clientHeight })); };
    row.className = "take"; row.append("download ");
    button("SVG", picture("svg")); button("PNG", picture("png"));
    button("CSV", () => save(`${name}.csv`, URL.createObjectURL(new Blob([numbers(spec.data)], { type: "text/csv" }))));
    at.closest("figure")?.append(row);
  };
  const enter = (at, spec) => {
    const place = places.find(p => p.at === at) ?? places[places.push({ at, drawn: false }) - 1];
    place.spec = spec;
    return place;
  };
  // For scripts that make figures of their own: an element and a plotly spec, drawn in the theme at hand.
  window.madlib = { draw: (at, spec) => { const place = enter(at, spec); place.drawn = true; return redraw(place); } };

  document.querySelectorAll(".plot").forEach(at => { if (at.nextElementSibling?.type === "application/json") tools(enter(at, JSON.parse(at.nextElementSibling.textContent))); });
  if (places.length) {   // what is near is drawn at once, the rest when there is time
    const near = new IntersectionObserver(seen => seen.forEach(e => { if (e.isIntersecting) { near.unobserve(e.target); show(places.find(p => p.at === e.target)); } }), { rootMargin: "600px" });
    places.forEach(p => near.observe(p.at));
    const later = window.requestIdleCallback ?? (f => setTimeout(f, 50));
    const rest = () => { const next = places.find(p => !p.drawn); if (next) { show(next); later(rest); } };
    addEventListener("load", () => later(rest));
  }
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (places.some(({ at, drawn }) => drawn && String(at.clientWidth < 560) !== at.dataset.narrow)) draw(); }, 150); });
  addEventListener("beforeprint", () => { places.forEach(show); draw(false); });
  addEventListener("afterprint", () => draw());

  // A table that says so, or one of pandas with a single row of heads, sorts by a click on a heading; what stands in its foot stays there.
  const sorts = t => t.tHead?.rows.length === 1 && t.tBodies[0]?.rows.length > 1 && !t.querySelector("tbody [rowspan], tbody [colspan]");
  [...document.querySelectorAll("table.sortable, table.dataframe")].filter(sorts).forEach(table => [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = document.createElement("button"), number = t => { const n = parseFloat(t.replace(/[,\s$]/g, "").replace("−", "-")); return Number.isNaN(n) ? null : n; };
    button.type = "button"; button.append(...head.childNodes); head.append(button);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "sort by row"); table.classList.add("sortable");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0], key = r => r.cells[i].dataset.sort ?? r.cells[i].textContent.trim();
      [...table.tHead.rows[0].cells].forEach(c => c.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const of = r => { const k = key(r); return [number(k), k]; }, keys = new Map([...body.rows].map(r => [r, of(r)]));
      const order = ([m, a], [n, b]) => m !== null && n !== null && m !== n ? m - n : (m === null) - (n === null) || a.localeCompare(b, undefined, { numeric: true });
      body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(keys.get(a), keys.get(b))));
    });
  }));

  // Contents: open beside the text, folded above it; the section being read is marked.
  const contents = document.querySelector("nav.contents details"), broad = matchMedia("(min-width: 62.01rem)");
  if (contents) {
    const fit = () => { contents.open = broad.matches; };
    fit(); broad.addEventListener("change", fit);
    const links = new Map([...contents.querySelectorAll("a")].map(a => [decodeURIComponent(a.hash.slice(1)), a]));
    const heads = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
    const mark = () => {
      const now = heads.filter(h => h.getBoundingClientRect().top < 120).pop() || heads[0];
      links.forEach((a, id) => a.classList.toggle("here", id === now?.id));
    };
    addEventListener("scroll", mark, { passive: true }); mark();
  }
  addEventListener("keydown", e => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
    const find = document.querySelector("main input[type=search]") ?? document.querySelector("#find");   // a page's own field before the search of all
    if (find) { e.preventDefault(); find.focus(); find.select(); }
  });
  const open = () => { document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", ""); };
  addEventListener("hashchange", open); open();
})();
