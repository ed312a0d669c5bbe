"""Pages in a real browser: Debian's Chromium, with the network off."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
needs_browser = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium")]


def opened(chromium, page, width=1400, scheme="light"):
    "A page from disk, or its address, with the network off, and what it complained about."
    context = chromium.new_context(viewport=dict(width=width, height=900), color_scheme=scheme)
    context.set_offline(True)
    tab, wrong = context.new_page(), []
    tab.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.on("requestfailed", lambda r: wrong.append(f"failed: {r.url[:120]}"))
    tab.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(f"asked for {r.url[:120]}"))
    tab.goto(page if str(page).startswith("file:") else Path(page).as_uri())
    return tab, wrong


def overflow(tab): return tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
