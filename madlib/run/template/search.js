// Look through the words of all pages, which data/search.js brings: [page, title, shelf, [[anchor, heading, words], …]].
(() => {
  const field = document.querySelector("#filter"), list = document.querySelector("#found"), count = document.querySelector("#count");
  const small = s => s.toLowerCase(), most = 60;
  const pages = (window.madlibSearch ?? []).map(([url, title, shelf, parts]) => ({ url, title, shelf, low: small(title), parts: parts.map(([at, head, text]) => ({ at, head, text, lowHead: small(head), low: small(text) })) }));
  const worth = (page, part, words) => {   // every word must be somewhere: in the title, the heading or the text, which count less in this order
    let sum = 0;
    for (const w of words) {
      const own = part.lowHead === w ? 40 : part.lowHead.includes(w) ? 12 : part.low.includes(w) ? 3 + Math.min(3, part.low.split(w).length - 2) : 0;
      const title = page.low.includes(w) ? (part.at ? 2 : 14) : 0;
      if (!own && !title) return 0;
      sum += own + title;
    }
    return sum;
  };
  const marked = (text, words) => {   // the part of a text around the first word, the words in bold
    const low = small(text), first = Math.min(...words.map(w => low.indexOf(w)).filter(i => i >= 0)), from = Number.isFinite(first) ? Math.max(0, first - 70) : 0;
    const out = document.createElement("span"), cut = text.slice(from, from + 220), hits = new RegExp(words.map(w => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "gi");
    out.append(from ? "… " : "");
    let at = 0;
    for (const m of cut.matchAll(hits)) { const b = document.createElement("b"); b.textContent = m[0]; out.append(cut.slice(at, m.index), b); at = m.index + m[0].length; }
    out.append(cut.slice(at), from + 220 < text.length ? " …" : "");
    return out;
  };
  const show = () => {
    const words = small(field.value).split(/\s+/).filter(Boolean), hits = [];
    for (const page of pages) for (const part of words.length ? page.parts : []) { const v = worth(page, part, words); if (v) hits.push([v, page, part]); }
    hits.sort((a, b) => b[0] - a[0]);
    list.replaceChildren(...hits.slice(0, most).map(([, page, part]) => {
      const item = document.createElement("li"), link = document.createElement("a"), where = document.createElement("span");
      link.href = page.url + (part.at ? "#" + encodeURIComponent(part.at) : "");
      link.textContent = part.at && part.head !== page.title ? `${page.title} › ${part.head}` : page.title;
      where.className = "where"; where.textContent = part.at ? page.shelf : [page.shelf, part.head].filter(Boolean).join(": ");
      item.append(link, " ", where);
      if (part.text) { const p = document.createElement("p"); p.append(marked(part.text, words)); item.append(p); }
      return item;
    }));
    count.textContent = !words.length ? `${pages.length} pages` : hits.length > most ? `${hits.length} places, the best ${most}` : `${hits.length} ${hits.length === 1 ? "place" : "places"}`;
    history.replaceState(null, "", words.length ? `?q=${encodeURIComponent(field.value)}` : location.pathname);
  };
  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", show); show();
})();
