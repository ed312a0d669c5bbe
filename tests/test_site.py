"""The site: what is built, what is built again, where its links lead, and that everyone can read it."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import needs_browser, opened, overflow
from test_report import sample, write

from madlib.run.pages import SECTIONS, Site
from madlib.run.records import load_runs
from madlib.run.report import export_run
from madlib.run.settings import load_settings
from madlib.run.site import build_runs, build_site, names_of

NBS = Path(__file__).parent.parent / "nbs"
BOOKS = ["index", "ops/decay", "ops/chunks", "core/basics", "core/figures", "core/record", "tasks/mqar", "mixers/linear", "mixers/softmax", "run/pages"]


def workbook(root: Path) -> Path:
    "A workbook with a part of the library and runs that ended in every way."
    (root / "settings.ini").write_text("[madlib]\nruns = runs\nexperiments = nbs/experiments\n")
    for book in BOOKS:
        (root / "nbs" / book).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(NBS / f"{book}.ipynb", root / "nbs" / f"{book}.ipynb")
    (root / "nbs/experiments").mkdir()
    sample(root / "runs")
    return root


def settings_of(root: Path): return replace(load_settings(root), runs=root / "runs")  # whatever the tests' environment says


def build(root):
    said = []
    page, failed = build_site(settings_of(root), said.append)
    assert failed == []
    return page, said


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = workbook(tmp_path_factory.mktemp("book"))
    page, _ = build(root)
    return page.parent


def targets(page: Path):
    "Every link of a page that leads to a file of the site, and the place in it."
    text = re.sub(r"<script\b.*?</script>|<pre\b.*?</pre>", lambda m: re.sub(r">.*<", "><", m[0], flags=re.S) if m[0].startswith("<script") else "", page.read_text(), flags=re.S)
    for link in re.findall(r'<(?:a|link|script|form)\b[^>]*?(?:href|src|action)="([^"]*)"', text):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            yield link, (page.parent / unquote(path.split("?")[0])).resolve() if path else page, unquote(anchor)


def test_every_link_leads_somewhere(site):
    pages, ids = list(site.rglob("*.html")), {}
    assert len(pages) >= len(BOOKS) + 4 + len(SECTIONS) and all((site / f).is_file() for f in (*SECTIONS.values(), "search.html"))
    absent = []
    for page in pages:
        for link, at, anchor in targets(page):
            if not at.is_file(): absent.append(f"{page.relative_to(site)}: {link}")
            elif anchor and at.suffix == ".html":
                if at not in ids: ids[at] = set(re.findall(r'\bid="([^"]+)"', at.read_text()))
                if anchor not in ids[at]: absent.append(f"{page.relative_to(site)}: {link}, no such place")
    elsewhere = [a for a in absent if "library/" not in a or not re.search(r"\.\./(?!\.\.).*\.html", a)]
    assert elsewhere == [], elsewhere[:10]


def test_names_lead_to_their_definition(site):
    text = (site / "library/mixers/linear.html").read_text()
    assert 'href="../../library/ops/decay.html#decay_chunk"' in text and 'id="decay_chunk"' in (site / "library/ops/decay.html").read_text()
    assert 'class="name"' in (site / "library/index.html").read_text() or names_of(NBS)[""]


def test_only_what_changed_is_built_again(tmp_path):
    root = workbook(tmp_path)
    page, first = build(root)
    stamp = {p: p.stat().st_mtime_ns for p in page.parent.rglob("*.html")}
    _, second = build(root)
    assert first and not second, second
    book = root / "nbs/core/basics.ipynb"
    book.write_text(book.read_text().replace('"# ', '"# New: ', 1))
    run = load_runs(root / "runs")[0]
    shutil.rmtree(run.folder)
    _, third = build(root)
    assert third[0].startswith("4 of "), third  # the notebook, and three runs that have one neighbour less
    changed = {p.relative_to(page.parent).as_posix() for p in stamp if not p.exists() or p.stat().st_mtime_ns != stamp[p]}
    assert "library/core/basics.html" in changed and "library/ops/decay.html" not in changed
    assert not (page.parent / Site(page.parent).run_page(run.folder)).exists()  # nor is the page of what is gone kept


def test_a_page_that_cannot_be_built_spoils_no_other(tmp_path):
    root = workbook(tmp_path)
    (root / "nbs/core/broken.ipynb").write_text('{"cells": ')
    page, failed = build_site(settings_of(root), print)
    assert len(failed) == 1 and "library/core/broken.html" in failed[0] and (page.parent / "library/ops/decay.html").is_file()


def test_after_a_run_its_report_and_the_list_are_there(tmp_path):
    root = workbook(tmp_path)
    settings = settings_of(root)
    run = load_runs(settings.runs)[-1]
    pages, failed = build_runs(settings, [run])
    assert failed == [] and pages == [settings.site / f"runs/008-cos-log-linear/{run.folder.name}.html"]
    assert "has not been built yet" in (settings.site / "library.html").read_text() and "madlib site" in (settings.site / "library.html").read_text()


def long_run(runs: Path) -> Path:
    "A run of two hundred cells, some of them with a figure."
    folder = next(f for f in sample(runs).values() if (f / "notebook.ipynb").exists() and json.loads((f / "run.json").read_text())["status"] == "done")
    nb = json.loads((folder / "notebook.ipynb").read_text())
    drawn = next(c for c in nb["cells"] if any("application/vnd.plotly.v1+json" in o.get("data", {}) for o in c.get("outputs", [])))
    text = dict(cell_type="markdown", source="Between $a_t$ and `b` there is\n\n$$S_t = S_{t-1} + k_t v_t^\\top$$", metadata={})
    nb["cells"] = nb["cells"][:-1] + [drawn if i % 20 == 0 else text for i in range(200 - len(nb["cells"]))] + nb["cells"][-1:]
    return write(runs, "20261122T023000Z-ab12ff", json.loads((folder / "run.json").read_text()), nb)


class TestSiteInBrowser:
    pytestmark = needs_browser

    def test_a_long_report_opens_in_a_second(self, chromium, tmp_path):
        folder, site = long_run(tmp_path / "runs"), Site(tmp_path / "site")
        page = export_run(folder, site)
        assert page.stat().st_size < 1_000_000
        began = time.monotonic()
        tab, wrong = opened(chromium, page)
        assert tab.locator(".verdict").is_visible()
        took = tab.evaluate("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart") / 1000
        print(f"{page.stat().st_size // 1000} kB, {took:.2f} s, with the browser's start {time.monotonic() - began:.2f} s")
        assert took < 6  # a fraction of a second on a quiet machine
        tab.wait_for_function("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))", timeout=60_000)
        assert wrong == []
        tab.context.close()

    def test_search(self, chromium, site):
        tab, wrong = opened(chromium, site / "index.html")
        tab.locator("body").press("/")
        assert tab.evaluate("document.activeElement.closest('main') !== null")  # the list's own filter
        tab.goto((site / "library.html").as_uri())
        tab.locator("body").press("/")
        tab.keyboard.type("decay_chunk")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#found a")
        assert tab.locator("#found a").first.get_attribute("href") == "library/ops/decay.html#decay_chunk"
        tab.fill("#filter", "levels carry effect")
        assert "runs/008-cos-log-linear" in tab.locator("#found a").first.get_attribute("href")
        tab.fill("#filter", "nothing has these words")
        assert tab.locator("#found a").count() == 0 and "0 places" in tab.text_content("#count")
        tab.fill("#filter", "decay chunk")
        tab.locator("#found a").first.click()
        assert tab.locator("h1").count() == 1 and wrong == []
        tab.context.close()

    def test_by_keyboard(self, chromium, site):
        tab, wrong = opened(chromium, next(site.glob("runs/*/*ab12cd.html")))
        tab.keyboard.press("Tab")
        assert "Skip" in tab.evaluate("document.activeElement.textContent")
        tab.keyboard.press("Enter")
        assert tab.evaluate("location.hash") == "#main"
        seen = set()
        for _ in range(60):
            tab.keyboard.press("Tab")
            seen.add(tab.evaluate("document.activeElement.closest('.take') ? 'take' : document.activeElement.tagName"))
        assert {"SUMMARY", "take"} <= seen, seen
        assert wrong == []
        tab.context.close()

    def test_a_figure_is_taken_away(self, chromium, site):
        tab, wrong = opened(chromium, next(site.glob("runs/*/*ab12cd.html")))
        taken = {}
        for words in ("SVG", "CSV"):
            with tab.expect_download() as got: tab.locator(f"#figure-1 .take button:text-is('{words}')").click(force=True)
            taken[got.value.suggested_filename] = Path(got.value.path()).read_text()
        assert taken["figure-1.svg"].startswith("<svg") and taken["figure-1.csv"].splitlines()[0] == "trace,x,y,z"
        assert len(taken["figure-1.csv"].splitlines()) > 20 and wrong == []
        tab.context.close()

    def test_a_table_of_the_record_sorts(self, chromium, site):
        tab, wrong = opened(chromium, next(site.glob("runs/*/*ab12cd.html")))
        tab.locator("#record summary", has_text="Every arm").click()
        column = "[...document.querySelectorAll('#record table.data')].find(t => t.tHead.textContent.includes('accuracy') && t.offsetParent)"
        head = tab.evaluate_handle(f"[...{column}.tHead.rows[0].cells].find(c => c.textContent === 'accuracy').querySelector('button')")
        at = tab.evaluate(f"[...{column}.tHead.rows[0].cells].findIndex(c => c.textContent === 'accuracy')")
        values = lambda: [float(v.split()[0]) for v in tab.evaluate(f"[...{column}.tBodies[0].rows].map(r => r.cells[{at}].textContent)")]
        head.as_element().click()
        assert values() == sorted(values())
        head.as_element().click()
        assert values() == sorted(values(), reverse=True) and wrong == []
        tab.context.close()

    @pytest.mark.parametrize("page", [*SECTIONS.values(), "search.html", "library/core/basics.html", "runs/008-cos-log-linear/20261122T013000Z-ab12cd.html",
                                      "runs/008-cos-log-linear/20261122T012000Z-ab12ce.html"])
    def test_everyone_can_read_it(self, chromium, site, page):
        from axe_playwright_python.sync_playwright import Axe
        tab, wrong = opened(chromium, site / page)
        tab.wait_for_load_state("load")
        assert overflow(tab) <= 0 and tab.locator("h1").count() == 1
        found = [("light", v) for v in Axe().run(tab, options=dict(preload=False)).response["violations"]]
        tab.emulate_media(color_scheme="dark")
        found += [("dark", v) for v in Axe().run(tab, options=dict(preload=False, runOnly=["color-contrast"])).response["violations"]]
        tab.set_viewport_size(dict(width=390, height=900))
        serious = [f"{scheme}: {v['id']}: {v['help']}: {v['nodes'][0]['html'][:160]} (and {len(v['nodes']) - 1} more)" for scheme, v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], "\n".join(serious)
        assert overflow(tab) <= 0 and wrong == []
        tab.context.close()
