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
  const places = [...document.querySelectorAll(".plot")].map(at => ({ at, spec: JSON.parse(at.nextElementSibling.textContent) }));
  const draw = (isDark = dark()) => places.forEach(({ at, spec }) => {
    if (spec.layout.meta?.least) at.style.minWidth = `${spec.layout.meta.least}px`;   // its box scrolls
    const width = at.clientWidth, { data, layout } = themed(spec, width, isDark);
    at.style.minHeight = `${layout.height}px`;
    at.dataset.narrow = width < 560;
    Plotly.react(at, data, layout, { responsive: true, displaylogo: false, displayModeBar: width < 560 ? false : "hover", modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
  });
  if (places.length) {
    draw();
    let waiting;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (places.some(({ at }) => String(at.clientWidth < 560) !== at.dataset.narrow)) draw(); }, 150); });
    addEventListener("beforeprint", () => draw(false));
    addEventListener("afterprint", () => draw());
  }

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
  const open = () => { document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", ""); };
  addEventListener("hashchange", open); open();
})();
