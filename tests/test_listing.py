"""The list of runs and their comparison: what they show, that they work in a browser without a network, and that two thousand records stay quick."""
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from browser import needs_browser, opened, overflow
from test_report import record, sample, write

from madlib.run.listing import data_of, listed, write_compare, write_index
from madlib.run.pages import Site
from madlib.run.records import Run, load_runs
from madlib.train.stats import mean_interval, paired_interval, share_interval

RUNS = Path(__file__).parent.parent/"runs"
QUICK, LOG = "20261122T040331Z-0cd1da", "20261122T060857Z-942643"                                        # of 008
SOFTMAX, DELTA = "20261122T212826Z-c06dcc", "20261122T214836Z-1ff3f8"                                    # of the suite, a mixer each
OPS = "20261122T121105Z-2e6e57", "20261122T125454Z-9fc8bb"

def built(runs, root):
    site, found = Site(root), load_runs(runs)
    write_index(found, site)
    write_compare(found, site)
    return site

def address(site, page): return (site.root/page).as_uri()

def rows_of(site): return json.loads((site.root/"data/runs.js").read_text().partition("=")[2].strip(" ;\n"))

@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    "A site of runs that ended in every way."
    root = tmp_path_factory.mktemp("ended")
    sample(root/"runs")
    (root/"runs/008-cos-log-linear/20261122T003000Z-000000").mkdir()
    (root/"runs/008-cos-log-linear/20261122T003000Z-000000/run.json").write_text("{")
    return built(root/"runs", root/"site")

@pytest.fixture(scope="module")
def real(tmp_path_factory):
    "A site of some records of this workbook."
    root = tmp_path_factory.mktemp("real")
    for id in (QUICK, LOG, SOFTMAX, DELTA, *OPS):
        at = next(RUNS.glob(f"*/{id}"))
        shutil.copytree(at, root/"runs"/at.parent.name/id)
    return built(root/"runs", root/"site")

def test_every_run_is_listed_whatever_became_of_it(ended, tmp_path):
    found = rows_of(ended)
    table = [dict(zip(found["keys"], r, strict=True)) for r in found["rows"]]
    assert [r["word"] for r in table] == ["Kill", "Failed", "Interrupted", "Running", "Damaged"]
    assert "Levels carry the whole effect" in table[0]["sentence"] and table[0]["page"] == "runs/008-cos-log-linear/20261122T013000Z-ab12cd.html"
    assert table[1]["sentence"].startswith("ValueError: n_pairs=40") and "unreadable" in table[4]["sentence"]
    page = write_index(load_runs(tmp_path/"none"), Site(tmp_path)).read_text()
    assert "No run yet" in page and "madlib run 008" in page

def test_without_scripts_the_list_can_be_read(ended):
    plain = (ended.root/"index.html").read_text().partition("<noscript>")[2]
    assert plain.count("<li>") == 5 and "✗ Kill" in plain and "! Damaged" in plain

def test_a_run_that_was_sent_away_is_running(tmp_path):
    folder = write(tmp_path, "20261122T010000Z-ab12d1", record("running", ended=None, seconds=None, engine="modal", machine=dict(gpu="T4"), links=dict(modal_call="fc-1")), None)
    row = listed(Run(folder, json.loads((folder/"run.json").read_text())), Site(tmp_path))
    assert (row["word"], row["away"], row["engine"], row["device"]) == ("Running", True, "modal", "T4")

def test_what_stands_in_a_record_stays_text(tmp_path):
    folder = write(tmp_path/"runs", "20261122T010000Z-ab12d2", record("done", parameters={"note": "</script><script>alert(1)</script>"}), None)
    site = built(tmp_path/"runs", tmp_path/"site")
    assert "</script" not in (site.root/f"data/{folder.name}.js").read_text()

def test_seeds_pair_only_where_they_drew_the_same_data():
    results = {id: json.loads(next(RUNS.glob(f"*/{id}/run.json")).read_text())["result"] for id in (QUICK, LOG, SOFTMAX, DELTA, OPS[0])}
    assert data_of(results[QUICK]) == data_of(results[LOG]) != "" and data_of(results[SOFTMAX]) == data_of(results[DELTA]) != "" and data_of(results[OPS[0]]) == ""

def scores(id, variant, metric="accuracy"):
    trials = json.loads(next(RUNS.glob(f"*/{id}/run.json")).read_text())["result"]["trials"]
    return {t["seed"]: float(t[metric]) for t in trials if t["variant"] == variant and t["selected"]}

class TestInBrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
    def test_index(self, chromium, ended, width, scheme):
        tab, wrong = opened(chromium, ended.root/"index.html", width, scheme)
        first = lambda: tab.locator(".runs tbody tr").first.text_content()
        assert tab.locator(".runs tbody tr").count() == 5 and overflow(tab) <= 0 and "Kill" in first()
        tab.fill("#q", "n_pairs failed")
        tab.wait_for_function("document.querySelector('#count').textContent === '1 of 5 runs'")
        assert "Failed" in first() and "q=n_pairs+failed" in tab.url
        tab.fill("#q", "nothing like it")
        tab.wait_for_selector("#none:visible")
        tab.click("#clear")
        assert tab.locator(".runs tbody tr").count() == 5 and "?" not in tab.url
        if width == 390:
            tab.click("#filters summary")
            tab.select_option("#sort", "started")
        else: tab.get_by_role("button", name="Started").click()
        assert "Damaged" in first() and "sort=started" in tab.url and overflow(tab) <= 0 and wrong == []
        tab.context.close()

    def test_a_view_can_be_linked(self, chromium, real):
        tab, wrong = opened(chromium, address(real, "index.html") + f"?experiment=008&task=mqar&preset=log&chosen={QUICK}")
        assert tab.locator(".runs tbody tr").count() == 1 and tab.locator(f"input[value='{LOG}']").count() == 1
        tab.goto(address(real, "index.html") + "?q=suite&sort=seconds")
        assert tab.locator(".runs tbody tr").count() == 2 and tab.locator("th[aria-sort=ascending]").text_content() == "Took"
        tab.goto(address(real, "index.html") + "?mixer=delta_net")
        assert tab.locator(".runs tbody tr").count() == 1
        for key in tab.evaluate("[...document.querySelectorAll('th[data-key]')].map(h => h.dataset.key)"):
            tab.locator(f"th[data-key={key}] button").click()
            assert tab.locator(f"th[data-key={key}]").get_attribute("aria-sort")
        assert wrong == []
        tab.context.close()

    def test_runs_are_chosen_by_keyboard(self, chromium, real):
        tab, wrong = opened(chromium, address(real, "index.html") + "?experiment=008")
        assert tab.locator("#compare").is_disabled() and "two or more" in tab.text_content("#why")
        tab.locator("body").press("j")
        for key in "xjx": tab.keyboard.press(key)
        assert tab.locator(".runs input:checked").count() == 2 and tab.text_content("#compare") == "compare 2 runs"
        tab.locator("#compare").press("Enter")
        tab.wait_for_selector("#scores")
        assert f"runs={LOG},{QUICK}" in tab.url and tab.locator("#chosen li").count() == 2 and wrong == []
        tab.context.close()

    @pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (390, "light")])
    def test_compare(self, chromium, real, width, scheme):
        from axe_playwright_python.sync_playwright import Axe
        tab, wrong = opened(chromium, address(real, "compare.html") + f"?runs={QUICK},{LOG}", width, scheme)
        tab.wait_for_selector("#scores")
        differs = {r[0]: r[1:] for r in tab.evaluate("[...document.querySelectorAll('.facts-apart tr:not(.part)')].map(r => [...r.cells].map(c => c.textContent))")}
        assert differs["train.steps"] == ["1200", "12400"] and differs["preset"] == ["quick", "log"] and "train.batch size" not in differs
        assert re.fullmatch(r"git diff [0-9a-f]{9} [0-9a-f]{9} -- nbs madlib", tab.text_content(".command code"))
        shown = {r[0].strip(): r[1] for r in tab.evaluate("[...document.querySelectorAll('.scores tbody tr')].map(r => [r.cells[0].firstChild.textContent, r.querySelector('[data-ends]')?.dataset.ends])") if r[1]}
        assert set(shown) == {"softmax", "softmax+conv", "relu", "relu+conv", "relu+cos+levels(bit)"}
        for arm, ends in shown.items():
            a, b = scores(QUICK, arm), scores(LOG, arm)
            seeds = sorted(set(a) & set(b))
            expected = paired_interval([b[s] for s in seeds], [a[s] for s in seeds])
            assert np.allclose([float(e) for e in ends.split(",")], expected, atol=1e-6), arm   # scores travel with seven digits
        tab.wait_for_function("document.querySelectorAll('#curves .main-svg, #pair-curves .main-svg').length >= 2")
        assert overflow(tab) <= 0 and wrong == []
        grave = [v["id"] for v in Axe().run(tab).response["violations"] if v["impact"] in ("serious", "critical")]
        assert grave == []
        tab.context.close()

    def test_what_is_compared_can_be_changed(self, chromium, real):
        tab, wrong = opened(chromium, address(real, "compare.html") + f"?runs={QUICK},{LOG}")
        tab.wait_for_selector("#scores")
        tab.select_option("#metric", "solved")
        tab.select_option("#right", "B:relu")
        assert "metric=solved" in tab.url and "right=B%3Arelu" in tab.url and "not paired" not in tab.text_content("#apart")
        tab.locator("[data-drop]").last.click()
        tab.wait_for_selector("#say:has-text('at least two')")
        tab.fill("#pick", "suite delta_net")
        tab.locator("#offered button").first.click()
        tab.wait_for_selector("#scores")
        assert f"{QUICK},{DELTA}" in tab.url and "no curves in this record" in tab.text_content("#curves") and wrong == []
        assert "not paired" in tab.text_content("#apart")
        tab.context.close()

    def test_suites_are_compared_task_by_task_and_benchmarks_row_by_row(self, chromium, real):
        tab, wrong = opened(chromium, address(real, "compare.html") + f"?runs={SOFTMAX},{DELTA}")
        tab.wait_for_selector("#scores")
        assert tab.locator(".scores tbody tr").count() == 7 and tab.text_content(".scores tbody tr:last-child th") == "MQAR"
        assert tab.locator(".scores tbody small:has-text('paired, 3 seeds')").count() == 7
        tab.goto(address(real, "compare.html") + f"?runs={','.join(OPS)},nothing-like-it")
        tab.wait_for_selector("#scores")
        assert "nothing-like-it" in tab.text_content("#say") and tab.locator(".scores small:has-text('no interval')").count() > 10 and wrong == []
        tab.context.close()

    def test_intervals_are_those_of_python(self, chromium, real):
        tab, wrong = opened(chromium, real.root/"compare.html")
        rng = np.random.default_rng(1)
        ask = lambda call, *x: tab.evaluate(f"x => window.madlibIntervals.{call}(...x)", list(x))
        for n in (2, 3, 5, 7, 8):
            x = rng.random(n).round(3).tolist()
            assert np.allclose(ask("ofMean", x), mean_interval(x), atol=1e-12), n
        for n in (9, 20):                           # other random numbers: within a twentieth of the width
            x = rng.random(n).tolist()
            (low, high), found = mean_interval(x), ask("ofMean", x)
            assert np.allclose(found, (low, high), atol=(high - low) / 20), n
        assert np.allclose([ask("ofShare", k, n) for k, n in ((0, 3), (2, 5), (5, 5))], [share_interval(k, n) for k, n in ((0, 3), (2, 5), (5, 5))], atol=1e-12)
        a, b = (rng.normal(m, 1, 400).tolist() for m in (1, 0))
        low, high = ask("unpaired", a, b)
        assert abs((high - low) / 2 - 1.96 * np.sqrt(2 / 400)) < .02 and low < np.mean(a) - np.mean(b) < high
        assert ask("ofMean", [1.0]) is None and ask("unpaired", [1.0], [1, 2]) is None and ask("ofMean", [.5, .5]) == [.5, .5] and wrong == []
        tab.context.close()

    def test_two_thousand_records(self, chromium, tmp_path):
        pattern, site, runs = json.loads(next(RUNS.glob(f"*/{QUICK}/run.json")).read_text()), Site(tmp_path/"site"), []
        for i in range(2000):
            id = f"2026{i % 12 + 1:02}{i % 28 + 1:02}T{i % 24:02}0000Z-{i:06x}"
            folder = tmp_path/"runs"/f"{i % 40:03}-sample"/id
            runs.append(Run(folder, pattern | dict(id=id, preset=("quick", "log")[i % 2], status=("done", "failed", "interrupted")[i % 9 // 4], started=f"{id[:4]}-{id[4:6]}-{id[6:8]}T00:00:00Z",
                                                   seconds=float(i), experiment=pattern["experiment"] | dict(number=f"{i % 40:03}"))))
        began = time.monotonic()
        write_index(runs, site)
        listing, began = time.monotonic() - began, time.monotonic()
        write_compare(runs[:200], site)
        details, began = time.monotonic() - began, time.monotonic()
        write_compare(runs[:200], site)
        again = time.monotonic() - began
        began = time.monotonic()
        tab, wrong = opened(chromium, site.root/"index.html")
        first = tab.evaluate("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart") / 1000
        assert tab.locator(".runs tbody tr").count() == 100 and tab.text_content("#count") == "2000 runs"
        timed = lambda act: tab.evaluate("act => { const t = performance.now(); eval(act); document.body.offsetHeight; return performance.now() - t; }", act)
        typed = []
        for text in ("0", "01", "017", "017 q", "017 quick"):
            tab.evaluate("window.began = 0; window.took = new Promise(done => { const o = new MutationObserver(() => { document.body.offsetHeight; o.disconnect(); done(performance.now() - window.began); }); o.observe(document.querySelector('.runs tbody'), { childList: true }); }); 0")
            tab.evaluate("text => { const q = document.querySelector('#q'); q.value = text; window.began = performance.now(); q.dispatchEvent(new Event('input')); }", text)
            typed.append(tab.evaluate("window.took"))
        assert tab.text_content("#count").endswith("of 2000 runs")
        tab.click("#clear")
        sort = max(timed(f"document.querySelector('th[data-key={k}] button').click()") for k in ("title", "seconds", "mixers", "started"))
        tab.click("#more")
        assert tab.locator(".runs tbody tr").count() == 200
        tab.goto(address(site, "compare.html") + f"?runs={runs[0].folder.name},{runs[1].folder.name}")
        tab.wait_for_selector("#scores")
        compared = tab.evaluate("performance.now()") / 1000
        offered = timed("document.querySelector('#pick').value = '017 quick'; document.querySelector('#pick').dispatchEvent(new Event('input'))")
        print(f"\nwriting: list {listing:.2f} s, details of 200 {details:.2f} s, again {again:.2f} s; first rows {first:.2f} s, a key {max(typed):.0f} ms (60 of them waiting for the next), "
              f"sorting {sort:.0f} ms, compare {compared:.2f} s, its search {offered:.0f} ms")
        assert listing < 5 and details < 15 and again < 5 and first < 5 and max(typed) < 1500 and sort < 1500 and compared < 10 and offered < 1000 and wrong == []
        tab.context.close()
