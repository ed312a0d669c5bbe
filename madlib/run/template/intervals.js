// Intervals over seeds, the same as those of madlib.train.stats: all resamples are listed for up to eight seeds, and so give the same numbers; for more, 9,999 are drawn with a fixed seed.
window.madlibIntervals = (() => {
  const EXACT = 8, DRAWS = 9999, level = .95, listed = new Map();
  const sum = x => x.reduce((a, b) => a + b, 0), mean = x => sum(x) / x.length;
  const factorial = n => n < 2 ? 1 : n * factorial(n - 1);
  const resamples = n => {   // how often each seed occurs in a draw, and the draw's probability
    if (listed.has(n)) return listed.get(n);
    const out = [], counts = Array(n).fill(0);
    const place = (i, left) => {
      if (i === n - 1) { counts[i] = left; out.push([counts.map(c => c / n), factorial(n) / counts.reduce((p, c) => p * factorial(c), 1) / n ** n]); return; }
      for (let c = 0; c <= left; c++) { counts[i] = c; place(i + 1, left - c); }
    };
    place(0, n); listed.set(n, out);
    return out;
  };
  const generator = () => { let a = 1; return () => { a = a + 0x6D2B79F5 | 0; let t = Math.imul(a ^ a >>> 15, 1 | a); t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 2 ** 32; }; };
  const drawn = (x, random) => { let s = 0; for (let i = 0; i < x.length; i++) s += x[Math.floor(random() * x.length)]; return s / x.length; };
  const ends = values => [(1 - level) / 2, (1 + level) / 2].map(p => { const at = p * (values.length - 1), i = Math.floor(at), next = values[Math.min(i + 1, values.length - 1)]; return values[i] + (at - i) * (next - values[i]); });
  const ofMean = x => {   // null for fewer than two seeds
    if (x.length < 2) return null;
    if (x.every(v => v === x[0])) return [x[0], x[0]];
    if (x.length > EXACT) { const random = generator(); return ends(Float64Array.from({ length: DRAWS }, () => drawn(x, random)).sort()); }
    const found = resamples(x.length).map(([w, p]) => [w.reduce((s, c, i) => s + c * x[i], 0), p]).sort((a, b) => a[0] - b[0]);
    let below = 0; const cut = [(1 - level) / 2, (1 + level) / 2], out = [];
    for (const [m, p] of found) { below += p; while (out.length < 2 && below >= cut[out.length]) out.push(m); }
    while (out.length < 2) out.push(found.at(-1)[0]);
    return out;
  };
  const ofShare = (k, n) => {   // Wilson
    const z = 1.959963984540054, middle = (k + z * z / 2) / (n + z * z), half = z / (n + z * z) * Math.sqrt(k * (n - k) / n + z * z / 4);
    return [k ? middle - half : 0, k < n ? middle + half : 1];
  };
  const unpaired = (a, b) => {   // of mean(a) - mean(b), each resampled by itself
    if (a.length < 2 || b.length < 2) return null;
    const random = generator();
    return ends(Float64Array.from({ length: DRAWS }, () => drawn(a, random) - drawn(b, random)).sort());
  };
  const paired = (a, b) => ofMean(a.map((v, i) => v - b[i]));
  return { mean, ofMean, ofShare, paired, unpaired };
})();
