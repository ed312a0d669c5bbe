// A cell of the atlas says where its number comes from: under the mouse, on focus, or at a first tap.
(() => {
  const table = document.querySelector(".atlas"), bar = document.querySelector(".atlas-said");
  if (!table || !bar) return;
  const cell = e => e.target.closest("a[data-said]");
  let shown = null, tapped = false;
  const show = a => {
    shown?.classList.remove("here"); shown = a; bar.hidden = !a;
    if (!a) return;
    a.classList.add("here");
    bar.firstElementChild.textContent = a.dataset.said; bar.lastElementChild.href = a.getAttribute("href");
  };
  table.addEventListener("pointerdown", e => { tapped = e.pointerType !== "mouse" && cell(e) !== shown; });
  table.addEventListener("click", e => { if (tapped && cell(e)) { e.preventDefault(); show(cell(e)); } });
  table.addEventListener("focusin", e => cell(e) && show(cell(e)));
  table.addEventListener("pointerover", e => { if (e.pointerType === "mouse" && cell(e)) show(cell(e)); });
  table.addEventListener("pointerleave", e => { if (e.pointerType === "mouse") show(null); });
  addEventListener("keydown", e => { if (e.key === "Escape") show(null); });
})();
