"""The atlas: what it counts and what not, that its links lead somewhere, and that a browser without a network shows it."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import needs_browser, opened, overflow

from madlib.run.atlas import Atlas, cell_of, write_atlas
from madlib.run.pages import Site
from madlib.run.records import Run, load_runs

NBS = Path(__file__).parent.parent / "nbs"
MQAR = {"name": "mqar", "vocab_size": 64, "seq_len": 32, "n_pairs": 8}


def arm(name, mixer, accuracy, seeds=5, **kw):
    return dict(variant=name, mixer=mixer, lr=1e-3, seeds=seeds, accuracy=accuracy, accuracy_low=accuracy - 0.04, accuracy_high=accuracy + 0.01,
                solved=float(accuracy > 0.9), solved_low=0.1, solved_high=0.9, steps_to_solve=300.0, plateau=None, parameters=12345, state_size=640, seconds=90.0) | kw


def trial(mixer, seconds, **kw): return dict(mixer=mixer, seconds=seconds, reused=False, accuracy=0.5, seed=0) | kw


def record(runs, name, day, status="done", preset="quick", number="901", title="What helps?", parameters=None, **result):
    "A record in a folder of its own."
    folder = runs / name / f"202601{day:02d}T000000Z-{day:06x}"
    folder.mkdir(parents=True)
    about = dict(number=number, name=name.replace("-", "_"), title=f"{number}: {title}", notebook="nbs/experiments/008_cos_log_linear.ipynb")
    (folder / "run.json").write_text(json.dumps(dict(
        schema=1, id=folder.name, status=status, started=f"2026-01-{day:02d}T00:00:00Z", preset=preset, experiment=about, parameters=parameters or {}, engine="local",
        cost={"dollars": 0.5, "seconds": 9}, result=result or None)))


def sample(runs: Path) -> Path:
    "Records with known answers."
    recall = dict(chance={"uniform": 1 / 64, "context": 0.125}, config=dict(task=MQAR, model=dict(d_model=32, n_layers=2), train=dict(steps=600)))
    claims = [dict(text="gla at least 5 points over softmax", of="gla+conv", minus="softmax", metric="accuracy", op=">", value=0.05, estimate=-0.04, interval=[-0.05, -0.03],
                   unit="%", status="not met", n=5), dict(text="softmax solves it", of="*", metric="solved", op=">", value=0.5, estimate=1.0, interval=[0.6, 1.0], status="met", n=5)]
    old = [arm("gla", "gla", 0.99)]
    record(runs, "901-recall", 1, "done", "quick", **recall, summary=old, criteria=claims)
    record(runs, "901-recall", 2, "done", "log", **recall, criteria=claims, trials=[trial("gla", 30.0), trial("gla", 60.0, reused=True), trial("gla+softmax", 10.0)],
           summary=[arm("softmax", "softmax", 0.99), arm("gla", "gla", 0.75), arm("gla+conv", "madlib.mixers.gla:GLA", 0.95), arm("three seeds", "gla", 0.985, 3),
                    arm("turns", "gla+delta_net", 0.97), dict(variant="time", mixer="", accuracy=None)])
    record(runs, "901-recall", 3, "failed", "full", **recall, summary=[arm("gla", "gla", 0.11)], trials=[trial("gla", 1e6)])
    record(runs, "901-recall", 4, "done", "smoke", **recall, summary=[arm("gla", "gla", 0.12), arm("hla", "hla", 0.12)])
    record(runs, "902-two", 5, number="902", title="<b>Two</b> tasks & one", chance={"copy: mode": 0.3, "list: mode": 0.4}, config=dict(task={
        "copy": dict(name="selective_copying", seq_len=28), "list": dict(name="<i>odd", n=4)}),
        summary=[arm("copy: <b>o</b>", "oscillatory", 0.8, task="copy"), arm("list: stranger", "my.lab:<Own>", 0.4)])
    suite = {"MQAR": dict(task="mqar", config=dict(vocab_size=64, seq_len=32, n_pairs=4), vary=dict(n_pairs=[8]))}
    for day, name, scores in ((6, "kda", (0.2, 0.9)), (7, "kda(conv=4)", (0.98, 1.0))):
        trials = [dict(arm=name, group="MQAR", setting=where, seed=i, accuracy=a, chance=0.25, selected=chosen, outcome="solved" if a > 0.9 else "stuck", steps_to_solve=None,
                       parameters=9, state_size=4, seconds=5.0, reused=False)
                  for i, a in enumerate(scores) for where, chosen in (("", True), ("n_pairs=8", True), ("", False))]
        record(runs, "suite", day, number="", title="The suite", parameters=dict(suite=suite), suite=dict(key="abc", preset="quick"), trials=trials, summary=[], config={}, cost=dict(dollars=0.3))
    measured = [dict(mixer=m, parameters=p, state=8, forward=4, step=4, train_us=t, train_us_low=t - 1, train_us_high=t + 1, decode_us=t, decode_us_low=t, decode_us_high=t)
                for m, p, t in (("softmax", 100, 10.0), ("gla", 150, 25.0))]
    record(runs, "bench-mixers", 8, number="", title="All mixers", benchmark="mixers", measured=measured, config=dict(d_model=64, tokens=128, batch=8, heads=2, threads=1))
    (runs / "903-damaged/x").mkdir(parents=True)
    (runs / "903-damaged/x/run.json").write_text("{")
    record(runs, "904-odd", 9, number="904", config=dict(task=MQAR), summary=["no row"])
    return runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory): return load_runs(sample(tmp_path_factory.mktemp("book") / "runs"))


@pytest.fixture(scope="module")
def atlas(runs): return Atlas(runs, NBS)


@pytest.fixture(scope="module")
def site(runs, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    write_atlas(runs, site, NBS)
    return site


def on(atlas, mixer, task): return [r for r in atlas.by_mixer[mixer] if r.task == task]


def test_a_cell_is_the_newest_run_at_the_largest_preset(atlas):
    cell = cell_of(on(atlas, "gla", "mqar"))
    assert (cell.best.arm, cell.best.accuracy, cell.best.seeds, cell.arms, cell.fewer, cell.runs, cell.experiments) == ("gla+conv", 0.95, 5, 2, 1, 2, 1)
    assert cell.best.run.record["preset"] == "log" and cell.best.chance == {"uniform": 1 / 64, "context": 0.125}


def test_a_mixer_has_all_its_results_and_no_others(atlas):
    assert [(r.arm, r.accuracy) for r in on(atlas, "gla", "mqar")] == [("gla", 0.75), ("gla+conv", 0.95), ("three seeds", 0.985), ("turns", 0.97), ("gla", 0.99)]
    assert not atlas.by_mixer["hla"] and len(atlas.results) == 12


def test_a_hybrid_counts_for_both_and_stands_for_one_that_was_never_alone(atlas):
    assert [r.arm for r in on(atlas, "delta_net", "mqar")] == ["turns"] and cell_of(on(atlas, "delta_net", "mqar")).best.mixers == ("gla", "delta_net")


def test_runs_of_one_suite_are_one_board(atlas):
    cell = cell_of([r for r in on(atlas, "kda", "mqar") if r.setting["n_pairs"] == 4])
    assert (cell.best.arm, cell.arms, cell.runs) == ("kda(conv=4)", 2, 2)
    plain = next(r for r in atlas.by_mixer["kda"] if r.arm == "kda" and r.setting["n_pairs"] == 8)
    assert (plain.accuracy, plain.spread, plain.exact, plain.solved, plain.seeds) == (pytest.approx(0.55), (0.2, 0.9), False, 0.0, 2)


def test_several_tasks_in_one_record(atlas):
    assert [(r.task, r.chance) for r in atlas.by_mixer["oscillatory"]] == [("selective_copying", {"mode": 0.3})]
    assert [(r.task, r.mixers) for r in atlas.by_task["<i>odd"]] == [("<i>odd", ("my.lab:<Own>",))]


def test_what_was_spent_claimed_and_measured(atlas):
    assert atlas.spent["gla"] == [40.0, pytest.approx(0.5), 2] and atlas.spent["softmax"][0] == 10.0
    assert [(run.folder.name[6:8], c["status"]) for run, c in atlas.claims["gla"].values()] == [("02", "not met")]
    assert set(atlas.claims) == {"gla", "softmax"} and atlas.measured["gla"][1]["parameters"] == 150


def test_a_record_that_cannot_be_read_is_named(atlas, site):
    assert [run.folder.parent.name for run, _ in atlas.unread] == ["904-odd"]
    assert "runs/904-odd/20260109T000000Z-000009.html" in (site.root / "atlas.html").read_text()


def test_pages_say_it(site):
    gla, hla, mqar, page = ((site.root / f).read_text() for f in ("mixers/gla.html", "mixers/hla.html", "tasks/mqar.html", "atlas.html"))
    assert "95 % [91, 96]" in gla and "99 % [95, 100]" in gla and "11.0 %" not in gla and "2.5 ×" in gla and "not met" in gla and "40 s of training in 2 trials, $0.50" in gla
    assert "No run has scored it yet" in hla and 'href="mixers/hla.html"' in page and 'href="../mixers/hla.html"' in mqar
    assert re.search(r'href="mixers/gla.html#task-mqar" data-said="gla on mqar: 95 % \[91, 96\], 95 % interval, 5 seeds; [^"]*the best of 2 arms \(1 more had fewer seeds\)', page)
    assert "55 % [20, 90]" in mqar and "lowest and highest of 2 seeds" in mqar
    assert "12.5 % (context)" in mqar


def test_names_stay_text(site):
    pages = {p.name: p.read_text() for p in site.root.rglob("*.html")}
    assert not any(bad in text for text in pages.values() for bad in ("<i>odd", "<Own>", "<b>o</b>", "<b>Two"))
    assert "&lt;Own&gt;" in pages["my.lab-Own.html"] and "&lt;b&gt;Two&lt;/b&gt; tasks &amp; one" in pages["oscillatory.html"]


def test_every_link_leads_somewhere(site, runs):
    reports = {site.run_page(r.folder) for r in runs}
    books = {site.page_of(p.relative_to(NBS)) for p in NBS.rglob("*.ipynb")}
    pages = list(site.root.rglob("*.html"))
    text = {p: re.sub(r"<script\b[^>]*>.*?</script>", "", p.read_text(), flags=re.S) for p in pages}
    assert len(pages) >= 63
    for page in pages:
        for link in re.findall(r'<a\b[^>]*?href="([^"]*)"', text[page]):
            path, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:", link) or not path and anchor == "main": continue
            to = (page.parent / path).resolve() if path else page
            where = to.relative_to(site.root.resolve()).as_posix()
            if to.is_file(): assert not anchor or f'id="{anchor}"' in text[to], (page.name, link)
            else: assert where in reports | books or where in ("index.html", "compare.html", "leaderboard.html", "library.html", "tricks.html", "log.html"), (page.name, link)


def test_what_is_gone_loses_its_page(runs, tmp_path):
    site = Site(tmp_path)
    write_atlas(runs, site, NBS)
    write_atlas([r for r in runs if r.folder.parent.name != "902-two"], site, NBS)
    assert not (tmp_path / "mixers/my.lab-Own.html").exists() and (tmp_path / "mixers/oscillatory.html").exists()


def test_without_a_library_or_a_record(tmp_path, runs):
    write_atlas(runs, Site(tmp_path / "bare"), tmp_path)
    write_atlas([], Site(tmp_path / "empty"), NBS)
    assert "75 % [71, 76]" in (tmp_path / "bare/mixers/gla.html").read_text() and "0 of 798 cells" in (tmp_path / "empty/atlas.html").read_text()


def test_two_thousand_records_are_quick(runs, tmp_path):
    good = [r for r in runs if not r.problem and r.folder.parent.name in ("901-recall", "902-two", "suite")]
    many = [Run(r.folder.parent.parent / f"{i % 60:03d}-made" / f"20260101T{i:06d}Z-aaaaaa", r.record) for i, r in ((i, good[i % len(good)]) for i in range(2000))]
    began = time.perf_counter()
    pages = write_atlas(many, Site(tmp_path), NBS)
    took = time.perf_counter() - began
    print(f"{len(many)} records in {took:.1f} s, {sum(p.stat().st_size for p in pages) // 1000} kB, the largest page {max(p.stat().st_size for p in pages) // 1000} kB")
    assert took < 20


def test_torch_is_not_imported():
    code = "import sys, madlib.run.atlas; assert not {'torch', 'pandas', 'plotly'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestInBrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
    def test_everyone_can_read_it(self, chromium, site, width, scheme):
        from axe_playwright_python.sync_playwright import Axe
        for page, figures in (("atlas.html", 0), ("mixers/gla.html", 1), ("tasks/mqar.html", 2)):
            tab, wrong = opened(chromium, site.root / page, width, scheme)
            tab.wait_for_function("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
            assert (tab.locator(".js-plotly-plot").count(), tab.locator("h1").count(), wrong) == (figures, 1, []) and overflow(tab) <= 0, page
            serious = [v for v in Axe().run(tab).response["violations"] if v["impact"] in ("serious", "critical")]
            assert not serious, f"{page}: {serious[0]['id']}: {serious[0]['nodes'][0]['html'][:200]} (and {len(serious) - 1} more)"
            tab.context.close()

    def test_the_table_sorts_folds_and_says_more(self, chromium, site):
        tab, wrong = opened(chromium, site.root / "atlas.html")
        first = lambda: tab.locator(".atlas tbody tr th").first.text_content()  # noqa: E731
        for _ in range(2): tab.get_by_role("button", name=re.compile("^mqar")).click()
        assert first() == "softmax"
        tab.get_by_role("button", name="Mixer", exact=True).click()
        assert first() == "<Own>"
        assert tab.locator(".atlas tbody tr:visible").count() >= 42
        tab.get_by_label("only what was tried").check()
        assert tab.locator(".atlas tbody tr:visible").count() == 6 and not tab.locator(".atlas-said").is_visible()
        tab.locator(".atlas a[data-said^='gla on mqar']").hover()
        assert "the best of 2 arms" in tab.locator(".atlas-said").text_content()
        tab.locator(".atlas a[data-said^='gla on mqar']").click()
        assert tab.url.endswith("mixers/gla.html#task-mqar") and wrong == []
        tab.context.close()

    def test_a_first_tap_says_it_and_a_second_goes(self, chromium, site):
        context = chromium.new_context(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True)
        tab = context.new_page()
        tab.goto((site.root / "atlas.html").as_uri())
        cell = tab.locator(".atlas a[data-said^='softmax on mqar']")
        cell.tap()
        assert "softmax on mqar" in tab.locator(".atlas-said").text_content() and tab.url.endswith("atlas.html")
        cell.tap()
        tab.wait_for_url("**/mixers/softmax.html#task-mqar")
        context.close()
