// What the list of runs and the comparison share: the runs of data/runs.js, and how one is shown and looked for.
window.madlibList = (() => {
  const { keys, rows } = window.madlibRows ?? { keys: [], rows: [] };
  const esc = x => String(x ?? "").replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`), small = x => String(x).toLowerCase();
  const runs = rows.map(row => Object.fromEntries(keys.map((k, i) => [k, row[i]])));
  const number = r => r.number || r.name;
  for (const r of runs) r.text = small([r.number, r.title, r.name, r.id, r.preset, r.word, r.status, r.preliminary ? "preliminary" : "", r.sentence, r.tasks, r.mixers, r.engine, r.device, r.started].join(" "));
  const search = text => { const words = small(text).split(/\s+/).filter(Boolean); return r => words.every(w => r.text.includes(w)); };
  const sign = r => `<span class="sign ${esc(r.tone)}">${esc(r.sign)} ${esc(r.word)}</span>` + (r.preliminary ? ' <span class="decisive">preliminary</span>' : "") + (r.status === "running" && r.away ? ' <span class="decisive">on Modal</span>' : "");
  const day = r => esc(r.started.slice(0, 16).replace("T", " "));
  const few = (names, n) => names.length <= n + 1 ? esc(names.join(", ")) : `<span title="${esc(names.join(", "))}">${esc(names.slice(0, n).join(", "))} and ${names.length - n} more</span>`;
  const money = x => x == null ? "" : x && x < .005 ? "under $0.01" : `$${x.toFixed(2)}`;
  const address = params => { const q = params.toString().replaceAll("%2C", ","); try { history.replaceState(null, "", q ? `?${q}` : location.pathname); } catch { /* some browsers keep the address of a file as it is */ } };
  return { runs, esc, number, search, sign, day, few, money, address };
})();
