// Runs side by side. Which ones, which score and which two arms stands in the address; the details of a run are loaded when it is chosen.
(() => {
  const { runs, esc, number, search, sign, day, few, money, address } = window.madlibList, { mean, ofMean, ofShare, paired, unpaired } = window.madlibIntervals;
  const $ = id => document.getElementById(id), given = new URLSearchParams(location.search), byId = new Map(runs.map(r => [r.id, r]));
  const asked = (given.get("runs") ?? "").split(",").filter(Boolean), details = window.madlibRuns = {};
  const state = { ids: [...new Set(asked)].filter(id => byId.has(id)).slice(0, 26), metric: given.get("metric"), left: given.get("left"), right: given.get("right"), all: false };
  const letter = i => String.fromCharCode(65 + i), colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"], dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const script = src => new Promise(done => { const s = document.createElement("script"); s.src = src; s.onload = () => done(true); s.onerror = () => done(false); document.head.append(s); });
  const load = id => details[id] ? true : script(`data/${id}.js`), once = {}, plotly = () => once.plotly ??= script("assets/plotly.min.js");

  // Numbers as the reports write them.
  const isShare = m => /accuracy|solved|share|chance/.test(m ?? ""), minus = t => t.replace("-", "−");
  const plain = x => minus(String(Number(x.toPrecision(4))));
  const figure = (x, ends, share) => {
    if (x == null) return "–";
    const digits = ends && 100 * (ends[1] - ends[0]) >= 2 ? 0 : 1, one = v => share ? minus((100 * v).toFixed(digits)) : plain(v);
    return one(x) + (share ? " %" : "") + (ends ? ` [${one(ends[0])}, ${one(ends[1])}]` : "");
  };
  const signed = (x, ends, share) => {   // an end that is not zero is not written as zero
    if (!x && (ends ?? []).every(v => !v)) return "0";
    if (!share) return (x > 0 ? "+" : "") + figure(x, ends);
    const digits = [0, 1, 2].find(d => (ends ? 100 * (ends[1] - ends[0]) >= 4 * 10 ** -d : d) && [x, ...ends ?? []].every(v => !v || Number((100 * v).toFixed(d)))) ?? 2, one = v => minus((100 * v).toFixed(digits));
    return `${x > 0 ? "+" : ""}${one(x)} points${ends ? ` [${one(ends[0])}, ${one(ends[1])}]` : ""}`;
  };

  // An arm's scores: what is missing is left out and said.
  const scores = (arm, metric) => (arm?.values[metric] ?? []).map((v, i) => ({ seed: arm.seeds[i], key: arm.keys[i], v })).filter(s => s.v != null);
  const estimate = (arm, metric) => {
    const found = scores(arm, metric), x = found.map(s => Number(s.v));
    if (!x.length) return null;
    const ends = typeof found[0].v === "boolean" ? ofShare(x.reduce((a, b) => a + b), x.length) : arm.ends?.[metric] ?? ofMean(x);
    return { x: mean(x), ends, n: x.length, of: arm.seeds.length };
  };
  const sameData = (a, b, i, j) => a.group === b.group && (i === j || Boolean(a.data && a.data === b.data));
  const difference = (a, b, metric, alike) => {   // b - a
    const left = scores(a, metric), right = scores(b, metric), at = new Map(left.map(s => [s.seed, s]));
    if (!left.length || !right.length) return null;
    const common = right.filter(s => at.has(s.seed)), value = s => Number(s.v);
    if (alike && common.length) {
      const x = common.map(value), y = common.map(s => value(at.get(s.seed)));
      const same = common.every(s => s.key && s.key === at.get(s.seed).key);
      return { x: mean(x) - mean(y), ends: common.length > 1 ? paired(x, y) : null, n: common.length, how: same ? "the same trials" : common.length > 1 ? `paired, ${common.length} seeds` : "one common seed: no interval" };
    }
    const x = right.map(value), y = left.map(value), ends = unpaired(x, y), few = Math.min(x.length, y.length);
    return { x: mean(x) - mean(y), ends, n: few, how: ends ? `not paired, ${x.length} and ${y.length} seeds` : "one seed: no interval" };
  };
  const verdictOf = d => !d.ends ? "" : !d.ends[0] && !d.ends[1] ? "equal, seed by seed" : d.ends[0] > 0 ? "higher" : d.ends[1] < 0 ? "lower" : "not told apart";
  const said = d => { const v = verdictOf(d), told = v === "higher" || v === "lower"; return v && `<span class="sign ${told ? "told" : "mute"}">${v === "higher" ? "▲ " : v === "lower" ? "▼ " : ""}${v}</span>${told && d.n < 5 ? ' <small>preliminary,</small>' : ""}`; };
  const bar = (d, reach) => {
    if (!d.ends || !reach || d.ends.every(v => !v)) return "";
    const at = v => (60 + 57 * v / reach).toFixed(1);
    return `<svg class="apart" viewBox="0 0 120 14" aria-hidden="true"><path d="M60 0V14" stroke="currentColor"/><path d="M${at(d.ends[0])} 7H${at(d.ends[1])}" stroke="currentColor" stroke-width="3" opacity=".55"/><circle cx="${at(d.x)}" cy="7" r="3.5" fill="currentColor"/></svg>`;
  };
  const shownDifference = (d, metric, reach) => d ? `${bar(d, reach)}<b data-ends="${d.ends ?? ""}">${signed(d.x, d.ends, isShare(metric))}</b> ${said(d)} <small>${esc(d.how)}</small>` : "";

  // Parts of the page.
  const table = (name, heads, body, kind = "") => `<div class="scroll" tabindex="0" role="region" aria-label="${name}"><table class="stack ${kind}"><thead><tr>${heads.map(h => `<th scope="col">${h}</th>`).join("")}</tr></thead><tbody>${body}</tbody></table></div>`;
  const unnamed = '<span class="unseen">what</span>';
  const line = (head, cells) => `<tr><th scope="row" class="line">${head}</th>${cells.map((c, i) => `<td data-label="${letter(i)}">${c}</td>`).join("")}</tr>`;
  const mark = i => `<span class="letter" style="--hue:${colours[i % 6]}">${letter(i)}</span>`;
  const flat = (x, at = "") => x && typeof x === "object" && !Array.isArray(x) && Object.keys(x).length ? Object.entries(x).flatMap(([k, v]) => flat(v, at ? `${at}.${k}` : k)) : [[at, x == null ? "" : typeof x === "string" ? x : JSON.stringify(x)]];
  const facts = sides => {
    const clean = g => g.commit ? g.clean ? "clean" : "with uncommitted changes" : "";
    const parts = { "How it was run": ([r, d]) => ({ preset: r.preset, engine: r.engine, device: r.device, machine: d.machine, took: r.took, cost: money(r.dollars), seeds: r.seeds, trials: d.cost.trials, reused: d.cost.reused, started: day(r) }),
      Code: ([, d]) => ({ commit: (d.git.commit ?? "").slice(0, 9), files: clean(d.git), notebook: d.notebook, "notebook sha256": (d.sha256 ?? "").slice(0, 12), "criteria": d.criteria_hash, ...d.versions }),
      Parameters: ([, d]) => d.parameters, Configuration: ([, d]) => d.config };
    let same = [], rows = "";
    for (const [part, get] of Object.entries(parts)) {
      const each = sides.map(s => new Map(flat(get(s)).filter(([k]) => k))), keys = [...new Set(each.flatMap(m => [...m.keys()]))], differ = [];
      for (const k of keys) { const v = each.map(m => m.get(k) ?? ""); if (v.every(x => x === v[0])) { if (v[0] !== "") same.push([part, k, v[0]]); } else differ.push(line(esc(k.replaceAll("_", " ")), v.map(x => x === "" ? "–" : esc(x)))); }
      if (differ.length) rows += `<tbody><tr class="part"><th scope="rowgroup" colspan="${sides.length + 1}">${part}</th></tr>${differ.join("")}</tbody>`;
    }
    const equal = same.map(([part, k, v]) => `<tr><th scope="row" class="line">${esc(k.replaceAll("_", " "))}</th><td>${esc(v)}</td></tr>`).join("");
    return `<section id="differs"><h2>What differs</h2>${table("What differs", [unnamed, ...sides.map((_, i) => mark(i))], "", "facts-apart").replace("<tbody></tbody>", () => rows)}<details><summary>${same.length} settings are the same</summary>${table("What is the same", [unnamed, "all"], equal)}</details>${code(sides)}</section>`;
  };
  const code = sides => {
    const git = sides.map(([, d]) => d.git), commands = [];
    git.slice(1).forEach((g, i) => { if (g.commit && git[0].commit && g.commit !== git[0].commit) commands.push(`git diff ${git[0].commit.slice(0, 9)} ${g.commit.slice(0, 9)} -- nbs madlib`); });
    const unclean = sides.flatMap(([, d], i) => d.git.commit && !d.git.clean ? [letter(i)] : []);
    const same = git.every(g => g.commit && g.commit === git[0].commit);
    return (same ? "<p>All ran on the same commit.</p>" : "") + [...new Set(commands)].map(c => `<div class="command"><pre tabindex="0"><code>${esc(c)}</code></pre><button type="button" data-copy="${esc(c)}">copy</button></div>`).join("")
      + (unclean.length ? `<p class="note">${unclean.join(", ")} ran with changes that were not committed; the commits do not tell which.</p>` : "");
  };
  const results = sides => {
    const texts = [...new Set(sides.flatMap(([, d]) => d.criteria.map(c => c.text)))], hashes = sides.map(([, d]) => d.criteria_hash);
    const outcome = line("Outcome", sides.map(([r, d]) => `${sign(r)}<p>${esc(d.sentence || r.sentence)}</p>`));
    const rows = texts.map(t => line(esc(t), sides.map(([, d]) => { const c = d.criteria.find(c => c.text === t); return c ? `<span class="sign ${esc(c.tone)}">${esc(c.sign)} ${esc(c.status)}</span> ${esc(c.figure)} <small>${c.n ? `${c.n} seeds` : ""}</small>` : "–"; })));
    const note = texts.length && hashes.every(h => h && h === hashes[0]) ? "<p>The criteria are the same.</p>" : texts.length ? "<p>The criteria are not the same in all.</p>" : "";
    return `<section id="outcomes"><h2>Outcome and criteria</h2>${note}${table("Outcome and criteria", [unnamed, ...sides.map((_, i) => mark(i))], outcome + rows.join(""), "claims")}</section>`;
  };
  const metricsOf = sides => [...new Set(sides.flatMap(([, d]) => d.arms.flatMap(a => Object.keys(a.values))))];
  // Arms of one name stand in one row. Where no name is shared and each run has one arm a task, as suites of one mixer have, the task is the row.
  const align = sides => {
    const all = sides.flatMap(([, d]) => d.arms), groups = sides.map(([, d]) => d.arms.map(a => a.group));
    const byTask = new Set(all.map(a => a.name)).size === all.length && groups.every(g => g.length && g.every(Boolean) && new Set(g).size === g.length);
    all.forEach(a => { a.row = byTask ? a.group : a.name; });
    return byTask ? "task" : "arm";
  };
  const armsOf = sides => { const held = new Map(); sides.forEach(([, d]) => d.arms.forEach(a => held.set(a.row, (held.get(a.row) ?? 0) + 1))); return [...held].sort((a, b) => b[1] - a[1]).map(([name, n]) => ({ name, n })); };
  const named = (side, name, by = "row") => { const a = side[1].arms.find(a => a[by] === name); return a && { ...a, data: side[1].data }; };
  const options = (list, now) => list.map(([v, words]) => `<option value="${esc(v)}"${v === now ? " selected" : ""}>${esc(words)}</option>`).join("");
  const scored = sides => {
    const metrics = metricsOf(sides), by = align(sides), arms = armsOf(sides), share = isShare(state.metric);
    if (!metrics.length) return `<section id="scores"><h2>Scores</h2><p>None of these runs recorded scores.</p></section>`;
    const rows = arms.map(({ name }) => { const own = sides.map(s => named(s, name)); return { name, own, each: own.map(a => a && estimate(a, state.metric)), apart: own.slice(1).map((a, i) => a && own[0] ? difference(own[0], a, state.metric, sameData(own[0], a, 0, i + 1)) : null) }; }).filter(r => r.each.some(Boolean));
    const every = rows.flatMap(r => r.apart.filter(d => d?.ends && d.how !== "the same trials")), told = every.filter(d => /higher|lower/.test(verdictOf(d))).length, reach = Math.max(0, ...every.flatMap(d => d.ends.map(Math.abs)));
    const cell = (e, a) => e ? `${figure(e.x, e.ends, share)} <small>${e.n < e.of ? `${e.n} of ${e.of} seeds` : e.of === 1 ? "" : `${e.n} seeds`}</small>` : a ? "–" : '<span class="mute-text">not run</span>';
    const body = rows.map(r => {
      const rates = [...new Set(r.own.filter(Boolean).map(a => a.lr).filter(x => x != null))], rate = rates.length > 1 ? ` <small>learning rate ${r.own.map((a, i) => a ? `${letter(i)} ${a.lr}` : "").filter(Boolean).join(", ")}</small>` : "";
      return `<tr><th scope="row" class="line">${esc(r.name)}${rate}</th>${r.each.map((e, i) => `<td data-label="${letter(i)}">${cell(e, r.own[i])}</td>`).join("")}${r.apart.map((d, i) => `<td class="line" data-label="${letter(i + 1)} − A">${shownDifference(d, state.metric, reach)}</td>`).join("")}</tr>`;
    }).join("");
    const tally = every.length ? `<p>${told} of ${every.length} differences leave zero out${every.length >= 20 ? `; about ${Math.round(every.length / 20)} would if nothing differed` : ""}.</p>` : arms.some(a => a.n > 1) ? "" : "<p>No arm has the same name in two of these runs; any two arms can be compared below.</p>";
    return `<section id="scores"><h2>Scores</h2><p class="tools"><label>score <select id="metric">${options(metrics.map(m => [m, m.replaceAll("_", " ")]), state.metric)}</select></label></p>${tally}${table("Scores", [by, ...sides.map((_, i) => mark(i)), ...sides.slice(1).map((_, i) => `${letter(i + 1)} − A`)], body, "scores")}</section>`;
  };
  const pair = sides => {
    const list = sides.flatMap(([, d], i) => d.arms.map(a => [`${letter(i)}:${a.name}`, `${letter(i)} · ${a.name}`]));
    if (list.length < 2) return "";
    const has = v => list.some(([k]) => k === v), at = (i, row) => { const a = sides[i]?.[1].arms.find(a => a.row === row); return a && `${letter(i)}:${a.name}`; };
    const rowsOf = armsOf(sides).map(a => a.name), shared = rowsOf.find(r => at(0, r) && at(1, r));
    if (!has(state.left)) state.left = shared == null ? list[0][0] : at(0, shared);
    if (!has(state.right) || state.right === state.left) state.right = (shared != null && at(1, shared) !== state.left && at(1, shared)) || (list.find(([k]) => k[0] !== state.left[0]) ?? list.find(([k]) => k !== state.left))[0];
    const [a, b] = [state.left, state.right].map(v => { const i = v.charCodeAt(0) - 65; return { i, arm: named(sides[i], v.slice(2), "name") }; });
    const alike = sameData(a.arm, b.arm, a.i, b.i), d = difference(a.arm, b.arm, state.metric, alike), share = isShare(state.metric);
    const [x, y] = [a, b].map(s => new Map(scores(s.arm, state.metric).map(v => [v.seed, Number(v.v)]))), seeds = [...new Set([...x.keys(), ...y.keys()])].sort((m, n) => m - n);
    const show = v => v == null ? "–" : figure(v, null, share), rows = seeds.map(s => `<tr><th scope="row">${esc(s)}</th><td>${show(x.get(s))}</td><td>${show(y.get(s))}</td>${alike ? `<td>${x.has(s) && y.has(s) ? signed(y.get(s) - x.get(s), null, share) : "–"}</td>` : ""}</tr>`).join("");
    const field = (id, words, now) => `<label>${words} <select id="${id}">${options(list, now)}</select></label>`;
    return `<section id="pair"><h2>Any two arms</h2><p class="tools">${field("left", "from", state.left)}${field("right", "to", state.right)}</p>`
      + (d ? `<p class="apart-line" id="apart">${shownDifference(d, state.metric, d.ends ? Math.max(...d.ends.map(Math.abs)) : 0)} <span class="mute-text">in ${esc((state.metric ?? "").replaceAll("_", " "))}</span></p><details><summary>seed by seed</summary>${table("Seed by seed", ["seed", esc(state.left.replace(":", " · ")), esc(state.right.replace(":", " · ")), ...(alike ? ["difference"] : [])], rows, "plain")}</details>` : "<p>One of them has no such score.</p>") + `<div id="pair-curves"></div></section>`;
  };

  // Learning curves: a panel for each arm, a colour and a line for each run; seeds thin, their median thick.
  const traces = (lines, name, colour, dash, k, legend) => {
    const thin = { x: [], y: [] }, steps = [...new Set(lines.flatMap(l => l.step))].sort((a, b) => a - b), at = lines.map(l => new Map(l.step.map((s, i) => [s, l.accuracy[i]]))), last = lines.map(() => null);
    lines.forEach(l => { thin.x.push(...l.step, null); thin.y.push(...l.accuracy, null); });
    const middle = steps.map(s => { at.forEach((m, i) => { last[i] = m.get(s) ?? last[i]; }); const v = last.filter(x => x != null).sort((a, b) => a - b), h = v.length >> 1; return v.length % 2 ? v[h] : (v[h - 1] + v[h]) / 2; });
    const common = { type: "scatter", mode: "lines", xaxis: `x${k}`, yaxis: `y${k}`, legendgroup: name };
    return [{ ...common, ...thin, line: { color: colour, width: 1 }, opacity: .4, hoverinfo: "skip", showlegend: false }, { ...common, x: steps, y: middle, name, showlegend: legend, line: { color: colour, width: 2.5, dash }, ...(steps.length < 2 ? { mode: "markers", marker: { color: colour } } : {}) }];
  };
  const axis = { zeroline: false, ticks: "outside", ticklen: 3, title: { standoff: 8 } }, percent = { range: [-.03, 1.04], tickvals: [0, .5, 1], ticktext: ["0", "50", "100"] };
  const base = { font: { family: "system-ui, sans-serif", size: 12, color: "#707070" }, margin: { l: 8, r: 12, t: 30, b: 8 }, hovermode: "closest", legend: { orientation: "h", x: 0, y: 0, yanchor: "bottom", yref: "container" } };
  const panelled = (names, height = 150) => {
    const n = names.length, columns = Math.min(Math.max(...names.map(s => s.length)) > 20 ? 3 : 4, n), rows = Math.ceil(n / columns), w = 1 / columns, h = 1 / rows, gap = columns > 1 ? .16 * w : 0;
    const layout = { ...base, height: height * rows + 90, annotations: [], meta: { panels: n, columns, row: height } };
    names.forEach((name, i) => {
      const k = i ? i + 1 : "", r = Math.floor(i / columns), c = i % columns;
      layout[`xaxis${k}`] = { ...axis, domain: [c * w + gap * c / columns, (c + 1) * w - gap * (1 - (c + 1) / columns)], anchor: `y${k}`, nticks: 4, showticklabels: i + columns >= n, ...(i ? { matches: "x" } : {}) };
      layout[`yaxis${k}`] = { ...axis, ...percent, domain: [1 - (r + 1) * h, 1 - r * h - .26 * h], anchor: `x${k}`, showticklabels: c === 0, ...(i ? { matches: "y" } : {}) };
      layout.annotations.push({ text: esc(name), xref: `x${k} domain`, yref: `y${k} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 11 } });
    });
    layout.annotations.push({ text: "validation accuracy (%) by step", xref: "paper", yref: "paper", x: 0, y: 1, xanchor: "left", yanchor: "bottom", yshift: -12, showarrow: false });
    return layout;
  };
  const curvesOf = (d, name) => d.curves.filter(c => c.arm === name), most = 12;
  const place = () => { const f = document.createElement("figure"); f.className = "figure"; f.innerHTML = '<div class="plot" role="group"></div>'; return f; }, places = { curves: place(), pair: place() };   // kept, so that a theme is switched for what is there
  const plot = async (at, figure, spec, words) => { const div = figure.firstChild; div.setAttribute("aria-label", words); at.replaceChildren(figure); if (await plotly()) window.madlib.draw(div, spec); };
  const drawCurves = sides => {
    const at = $("curves"), held = n => sides.filter(([, d]) => d.arms.some(a => a.name === n)).length, with_ = sides.map(([, d]) => d.curves.length > 0), every = [...new Set(sides.flatMap(([, d]) => d.arms.map(a => a.name)))].sort((a, b) => held(b) - held(a)), extra = [...new Set(sides.flatMap(([, d]) => d.curves.map(c => c.arm)))].filter(n => !every.includes(n));
    const drawn = [...every, ...extra].filter(n => sides.some(([, d]) => curvesOf(d, n).length)), shown = state.all ? drawn : drawn.slice(0, most), lacking = sides.flatMap((_, i) => with_[i] ? [] : [letter(i)]);
    const note = lacking.length ? `<p class="note">${lacking.join(", ")}: no curves in this record.</p>` : "";
    at.innerHTML = `<h2>Learning curves</h2>${shown.length ? "<p>One panel an arm; a colour and a kind of line for each run, its seeds thin and their median thick.</p>" : ""}${note}<div></div>${drawn.length > shown.length ? `<p><button type="button" id="every">show all ${drawn.length} arms</button></p>` : ""}`;
    if (!shown.length) return;
    const layout = panelled(shown), first = new Set();
    const data = shown.flatMap((name, p) => sides.flatMap(([, d], i) => { const lines = curvesOf(d, name), legend = !first.has(i); if (!lines.length) return []; first.add(i); return traces(lines, letter(i), colours[i % 6], dashes[i % 6], p ? p + 1 : "", legend); }));
    plot(at.querySelector("div"), places.curves, { data, layout }, `Learning curves of ${shown.length} arms in ${sides.length} runs`);
  };
  const drawPair = sides => {
    const at = $("pair-curves");
    if (!at) return;
    const data = [state.left, state.right].flatMap((v, j) => { const lines = curvesOf(sides[v.charCodeAt(0) - 65][1], v.slice(2)); return lines.length ? traces(lines, v.replace(":", " · "), colours[j], dashes[j], "", true) : []; });
    if (data.length) plot(at, places.pair, { data, layout: { ...base, height: 320, margin: { ...base.margin, t: 14 }, xaxis: { ...axis, title: { text: "step", standoff: 8 } }, yaxis: { ...axis, ...percent, title: { text: "validation accuracy (%)", standoff: 8 } } } }, `Learning curves of ${state.left} and ${state.right}`);
    else at.innerHTML = "";
  };

  // The runs themselves, and how others are added.
  const cards = () => state.ids.map((id, i) => {
    const r = byId.get(id), act = (what, words, sign) => `<button type="button" data-${what}="${esc(id)}" aria-label="${words} ${letter(i)}">${sign}</button>`;
    return `<li>${mark(i)} <span><a href="${esc(r.page)}">${esc(r.number ? `${r.number}: ` : "")}${esc(r.title)}</a><br><small>${esc(r.preset)}, ${day(r)}, ${few(r.mixers, 3) || esc(r.name)}</small><br>${sign(r)}</span><span class="acts">${i ? act("first", "make first", "first") : ""}${act("drop", "remove", "remove")}</span></li>`;
  }).join("");
  const offer = () => {
    const text = $("pick").value, like = byId.get(state.ids[0]), open = text.trim() || state.ids.length < 2, hits = open ? runs.filter(r => !state.ids.includes(r.id)).filter(search(text)) : [];
    if (like && !text.trim()) hits.sort((a, b) => (b.name === like.name) - (a.name === like.name));
    $("offered").innerHTML = hits.slice(0, 8).map(r => `<li><button type="button" data-add="${esc(r.id)}"><b>${esc(r.number ? `${r.number}: ` : "")}${esc(r.title)}</b> <small>${esc(r.preset)}, ${day(r)}${r.mixers.length ? `, ${few(r.mixers, 3)}` : ""}</small> ${sign(r)}</button></li>`).join("") + (hits.length > 8 ? `<li><small>and ${hits.length - 8} more: type to narrow them down</small></li>` : open && text.trim() && !hits.length ? "<li><small>no other run is like that</small></li>" : "");
  };
  const remember = () => { const p = new URLSearchParams(); if (state.ids.length) p.set("runs", state.ids.join()); if (state.ids.length > 1) for (const k of ["metric", "left", "right"]) if (state[k]) p.set(k, state[k]); address(p); };
  const show = async () => {
    const ids = [...state.ids];
    $("chosen").innerHTML = cards(); offer();
    const there = await Promise.all(ids.map(load));
    if (ids.join() !== state.ids.join()) return;   // chosen anew meanwhile
    const lost = asked.filter(id => !byId.has(id)).concat(ids.filter((id, i) => !there[i] || !details[id])), sides = ids.filter(id => details[id]).map(id => [byId.get(id), details[id]]);
    $("say").textContent = [lost.length ? `There is nothing here about ${lost.join(", ")}; “madlib site” brings the site up to date.` : "", ids.length < 2 ? "Choose at least two runs." : ""].join(" ").trim();
    $("method").hidden = sides.length < 2;
    if (sides.length < 2 || sides.length < ids.length) { $("result").innerHTML = ""; return remember(); }
    align(sides);
    const metrics = metricsOf(sides), best = [state.metric, ...sides.map(([, d]) => d.metric), "accuracy", metrics.find(m => armsOf(sides).some(({ name, n }) => n > 1 && new Set(sides.map(s => String(named(s, name)?.values[m]))).size > 1)), metrics[0]];
    state.metric = best.find(m => m && metrics.includes(m)) ?? null;
    $("result").innerHTML = results(sides) + facts(sides) + scored(sides) + pair(sides) + '<section id="curves"></section>';
    drawCurves(sides); drawPair(sides); remember();
  };
  const again = focus => show().then(() => $(focus)?.focus());
  document.addEventListener("click", e => {
    const b = e.target.closest("button"), { add, drop, first, copy } = b?.dataset ?? {};
    if (add) { state.ids.push(add); $("pick").value = ""; again("pick"); }
    else if (drop) { state.ids = state.ids.filter(id => id !== drop); state.left = state.right = null; again("pick"); }
    else if (first) { state.ids = [first, ...state.ids.filter(id => id !== first)]; state.left = state.right = null; again("pick"); }
    else if (copy) navigator.clipboard?.writeText(copy).then(() => { b.textContent = "copied"; }, () => getSelection().selectAllChildren(b.previousElementSibling));
    else if (b?.id === "every") { state.all = true; show(); }
  });
  document.addEventListener("change", e => { if (["metric", "left", "right"].includes(e.target.id)) { state[e.target.id] = e.target.value; again(e.target.id); } });
  $("pick").addEventListener("input", offer);
  $("pick").addEventListener("keydown", e => { if (e.key === "Enter") $("offered").querySelector("button")?.click(); });
  document.addEventListener("DOMContentLoaded", show);
})();
