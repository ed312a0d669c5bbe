"""Reports: what they say of runs that ended well and badly, and that a browser without a network draws them."""
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import needs_browser, opened, overflow

from madlib.core import figures
from madlib.core.record import PROGRESS_MIME, SCORES_MIME
from madlib.run.report import export_notebook, export_run, mathml

FIGURE_MIME = "application/vnd.plotly.v1+json"
FEATURES, MEMORIES = ("elu", "elu+cos", "relu", "relu+cos"), ("", "+levels(bit)", "+levels(guo)")
ARMS = ["softmax", "softmax+conv", *(f + m for m in MEMORIES for f in FEATURES), *(f + "+conv" for f in FEATURES)]
CHANCE = dict(uniform=1 / 64, context=.139, mode=.174)
PROSE = r"""## Hypothesis

Cosine reweighting and levels **compound**: an arm with both solves recall where an arm with either stays at chance.
The memory of level $\ell$ is weighted by $\lambda_t^{(\ell)}$,

$$
o_t = \sum_{\ell=0}^{L-1} \lambda_t^{(\ell)}\, q_t^\top \Big( \sum_{s \in \mathcal{B}_t^{(\ell)}} k_s v_s^\top \Big), \qquad
\ell(t, s) = \begin{cases} 0 & \text{if } s = t \\ 1 + \lfloor \log_2 (t \oplus s) \rfloor & \text{otherwise} \end{cases} \tag{1}
$$

and the state never forgets, since $g_t = 0$. In the other notation, with $\operatorname{Diag}(e^{g_t})$ for the decay,

$$\begin{aligned} S_t &= \operatorname{Diag}(e^{g_t})\, S_{t-1} + k_t v_t^\top \\
o_t &= S_t^\top q_t, \qquad S_t \in \mathbb{R}^{K \times V} \end{aligned}$$

A dollar sign in code, `$HOME`, stays what it is.

### What would refute it

1. The arm with both does no better than the better of its parts.
2. Softmax attention does not solve the task; then the verdict is *invalid*.

| factor | levels |
|---|---|
| feature map | ELU+1, ReLU |
| reweighting | none, cosine |
| memory | one state, $\ell$ by bit, $\ell$ by Fenwick tree |
"""
LONG = """#| export
def trial(variant, seed, steps=2000, lr=3e-3):
    "Train one arm with one seed and say how it went."
    model = build(variant, vocab=64, d_model=32, n_heads=2, layers=2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)
    for step in range(steps):
        batch = task.batch(64, seed=(seed, step), split="train")
        loss = cross_entropy(model(batch.inputs), batch.targets)  # positions without a target do not count
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0: history.append(dict(variant=variant, seed=seed, step=step, valid_accuracy=accuracy(model, "valid")))
    return dict(variant=variant, seed=seed, accuracy=accuracy(model, "test"), train_accuracy=accuracy(model, "train"))
"""

def final(arm, seed, rng):
    "A made-up score: bimodal, as recall is."
    odds = next(p for word, p in (("softmax", .95), ("relu+levels", .9), ("levels", .75), ("conv", .55), ("", .2)) if word in arm)
    return float(np.clip(rng.normal(.985, .01), 0, 1)) if rng.random() < odds else float(rng.normal(.176, .012))

def tables():
    "Trials and learning curves of eighteen arms and five seeds."
    rng, rows, curves = np.random.default_rng(8), [], []
    for arm in ARMS:
        for seed in range(5):
            end = final(arm, seed, rng)
            turn, solved = rng.uniform(300, 1500), end > .9
            rows.append(dict(variant=arm, mixer=arm.split("+")[0], lr=3e-3, seed=seed, accuracy=end, valid_accuracy=end,
                             train_accuracy=min(1., end + (.4 if arm == "elu" else .01)),
                             steps=2000, steps_to_solve=int(turn) if solved else None, outcome="solved" if solved else "stuck",
                             seconds=21.4, reused=False, selected=True, key="a1b2"))
            for step in range(0, 2001, 50):
                top = end if solved else .176
                rise = .016 + .16 / (1 + np.exp(-(step - 150) / 30)) + (top - .176) / (1 + np.exp(-(step - turn) / 50))
                curves.append(dict(variant=arm, seed=seed, step=step, valid_accuracy=rise))
    return pd.DataFrame(rows), pd.DataFrame(curves)

def payload(trials):
    "What the made-up experiment hands over."
    summary = [dict(variant=a, mixer=a.split("+")[0], lr=3e-3, seeds=len(p), accuracy=p.accuracy.mean(), accuracy_low=p.accuracy.min(),
                    accuracy_high=p.accuracy.max(),
                    train_accuracy=p.train_accuracy.mean(), solved=float((p.accuracy > .9).mean()), parameters=42628, state_size=4608,
                    seconds=107.0) for a, p in trials.groupby("variant", sort=False)]
    def criterion(text, of, op, value, estimate, low, high, status, **kw):
        return dict(text=text, of=of, metric="accuracy", op=op, value=value, high=None, estimate=estimate, interval=[low, high], n=5,
                    method="bootstrap over seeds", status=status,
                    preliminary=False, decisive=False, earlier="") | kw
    criteria = [criterion("cos-log-linear solves recall: accuracy above 80 %", "relu+cos+levels(guo)", ">", .8, .982, .975, .989, "met",
                          earlier="91.3 %"),
                criterion("it beats log-linear without the cosine by 10 points", "relu+cos+levels(guo) − relu+levels(guo)", ">", .1, .004,
                          -.16, .17, "not met", decisive=True, earlier="25.0 %"),
                criterion("it beats cosFormer by 10 points", "relu+cos+levels(guo) − relu+cos", ">", .1, .81, .49, .82, "met",
                          earlier="66.1 %"),
                criterion("linear attention stays below 30 %", "elu", "<", .3, .338, .176, .66, "unclear", earlier="17.4 %")]
    verdict = dict(decision="kill", preliminary=False,
                   reason="Decided by the second criterion: with levels the cosine adds 0 points [−16, 17]; softmax attention solved the task.",
                   sentence="Levels carry the whole effect; cosine reweighting adds nothing that five seeds can see.")
    reported = [dict(variant="relu+cos+levels(bit)", what="accuracy", earlier=.913, ours=.982, interval=[.975, .989], says="reproduced",
                     why="inside what one seed can show"),
                dict(variant="relu+cos", what="accuracy", earlier=.252, ours=.176, interval=[.17, .18], says="not reproduced",
                     why="no seed left the plateau")]
    return dict(schema=1, experiment="008", verdict=verdict, criteria=criteria, criteria_hash="5f3c2a90d1e7", chance=CHANCE,
                summary=summary, trials=trials.to_dict("records"), reported=reported,
                config=dict(d_model=32, layers=2, n_heads=2, n_pairs=8), cost=dict(seconds=311.2, trial_seconds=590.4, trials=len(trials),
                    reused=0))

def markdown(text): return dict(cell_type="markdown", id="m", metadata={}, source=text)

def code(source, count=1, *outputs, tags=()):
    return dict(cell_type="code", id="c", metadata=dict(tags=list(tags)), execution_count=count, source=source, outputs=list(outputs))

def shown(**data): return dict(output_type="display_data", metadata={}, data={k.replace("_", "/"): v for k, v in data.items()})

def drawn(fig): return dict(output_type="display_data", metadata={}, data={FIGURE_MIME: json.loads(fig.to_json())})

def notebook():
    "An executed experiment: four figures, formulas, tables, progress, long code."
    trials, curves = tables()
    result = payload(trials)
    summary = pd.DataFrame(result["summary"])
    small = summary.set_index("variant")[["seeds", "accuracy", "train_accuracy", "solved", "parameters", "state_size", "seconds"]].round(3)
    effects = [dict(factor="levels", estimate=.61, low=.48, high=.72), dict(factor="cosine", estimate=.01, low=-.09, high=.11),
               dict(factor="convolution", estimate=.31, low=.12, high=.5)]
    bar = {PROGRESS_MIME: dict(done=90, total=90), "text/html": "<progress></progress> 90 of 90",
           "text/plain": "90 of 90 trials · best 100 % · 0 s left"}
    progress = dict(output_type="display_data", metadata={}, data=bar)
    scores = dict(output_type="display_data", metadata={}, data={SCORES_MIME: result, "text/html": "<p>handed over</p>",
        "text/plain": "scores"})
    pictures = [figures.dots(trials, interval=summary, levels=CHANCE, marks={"relu+cos+levels(bit)": .913, "relu+levels(bit)": .66,
        "relu+cos": .252, "elu": .174},
                             title="Levels solve recall with either feature map; the cosine adds nothing that five seeds can see"),
                figures.curves(curves, levels=CHANCE,
                               title="What solves it leaves the plateau in the first thousand steps, what does not never leaves it"),
                figures.pairs(trials, levels=CHANCE, title="One state with ELU+1 remembers its training sequences and nothing else"),
                figures.effects(effects, "Levels help by 61 points, a convolution by 31, the cosine by none")]
    return dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        markdown("# 008: Does cosine reweighting compound with levels?\n\n"
                 "> MQAR with eight pairs, eighteen arms, five seeds: a factorial instead of a single comparison.\n\nOne run had said yes."),
        code("#| default_exp nothing"), code("import torch\nfrom madlib.tasks.mqar import MQAR", 1),
        code("# smoke | quick | log | full\npreset = 'quick'  # which\nseeds = 5", 2, tags=["parameters"]),
        markdown(PROSE), code(LONG, 3), code("scores = compare(arms, task, train)", 4, dict(output_type="stream", name="stderr",
            text="\x1b[33mwarning\x1b[0m: two cores\n"), progress),
        markdown("## Figures\n\nWhich arms solve the task, and with how many seeds? Each dot is a seed; had levels and cosine "
                 "compounded, only the lowest rows would stand at the right."), code("dots(scores)", 5, drawn(pictures[0])),
        markdown("Do the arms that fail learn slowly, or not at all?"), code("curves(history)", 6, drawn(pictures[1])),
        markdown("Does anything fit the training set without solving the task?"), code("pairs(scores)", 7, drawn(pictures[2])),
        markdown("What does each factor add, averaged over the others?"), code("effects(scores)", 8, drawn(pictures[3])),
        markdown("## Scores"), code("summary", 9, shown(text_html=small._repr_html_(), text_plain="table")),
        markdown("## Verdict\n\nThe levels are the effect. The earlier comparison had changed the feature map "
                 "together with the cosine, and the *ReLU* did the work."),
        code("hand_over(result)", 10, scores)]), result

def record(status, **changes):
    return dict(schema=1, id="20261122T013000Z-ab12cd", experiment=dict(number="008", name="008_cos_log_linear",
        title="008: Does cosine reweighting compound with levels?",
                notebook="nbs/experiments/008_cos_log_linear.ipynb", sha256="9d" * 32), status=status, started="2026-11-22T01:30:00Z",
                ended="2026-11-22T01:35:11Z", seconds=311.2, preset="quick",
                parameters=dict(preset="quick", seeds=5, note="<script>alert('x')</script>"), engine="local", device="x86_64, 2 cores",
                process=dict(pid=2 ** 22 + 5, created=1.0, host="another"), git=dict(commit="0123456789abcdef0123", clean=True),
                versions=dict(python="3.11.2", torch="2.13.0"),
                cost=dict(seconds=311.2, dollars=0.0, trial_seconds=590.4, trials=90, reused=0), links={}, error=None, result=None,
                criteria_changed=False) | changes

def write(runs, stamp, said, nb):
    "A run's folder."
    folder = Path(runs)/"008-cos-log-linear"/stamp
    folder.mkdir(parents=True)
    (folder/"run.json").write_text(json.dumps(said | dict(id=stamp)))
    if nb: (folder/"notebook.ipynb").write_text(json.dumps(nb))
    return folder

def cut(nb, at, *outputs):
    "A notebook that stopped at a code cell: what follows never ran."
    nb = json.loads(json.dumps(nb))
    for i, c in enumerate(nb["cells"]):
        if c["cell_type"] == "code" and i >= at: c.update(outputs=list(outputs) if i == at else [],
            execution_count=c["execution_count"] if i == at else None)
    return nb

def sample(runs):
    "Runs that ended in every way; their folders."
    nb, result = notebook()
    trace = ["\x1b[31m---------------------------------------\x1b[39m", "\x1b[31mValueError\x1b[39m  Traceback (most recent call last)",
             "Cell \x1b[32mIn[4], line 1\x1b[39m",
             "----> 1 scores = compare(arms, task, train)", "\x1b[31mValueError\x1b[39m: n_pairs=40 needs 80 tokens, <vocab> has 64"]
    error = dict(output_type="error", ename="ValueError", evalue="n_pairs=40 needs 80 tokens, <vocab> has 64", traceback=trace)
    stopped = dict(output_type="error", ename="KeyboardInterrupt", evalue="", traceback=["KeyboardInterrupt"])
    marker = markdown("<span style='color:red'>An Exception was encountered</span>") | dict(metadata=dict(tags=["papermill-error-cell-tag"]))
    failed = cut(nb, 6, error)
    failed["cells"].insert(6, marker)
    said = dict(cell=6, ename="ValueError", evalue="n_pairs=40 needs 80 tokens, <vocab> has 64")
    return dict(done=write(runs, "20261122T013000Z-ab12cd", record("done", result=result), nb),
                failed=write(runs, "20261122T012000Z-ab12ce", record("failed", error=said, started="2026-11-22T01:20:00Z"), failed),
                interrupted=write(runs, "20261122T011000Z-ab12cf", record("interrupted", started="2026-11-22T01:10:00Z"),
                                  cut(nb, 6, stopped)),
                running=write(runs, "20261122T010000Z-ab12d0", record("running", ended=None, seconds=None, started="2026-11-22T01:00:00Z"),
                              cut(nb, 6)))

@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "A folder of sample runs with their reports."
    runs = tmp_path_factory.mktemp("runs")
    folders = sample(runs)
    for f in folders.values(): export_run(f)
    return folders

def page(folder): return (folder/"report.html").read_text()

def test_a_finished_run_leads_with_its_verdict(runs):
    text = page(runs["done"])
    assert text.index("✗ Kill") < text.index("Decided beforehand") < text.index('id="hypothesis"') < text.index('id="record"')
    for words in ("Levels carry the whole effect", "98.2 % [97.5, 98.9]", "91.3 %", ">decisive<", "? unclear",
                  "criteria changed after the first run", "Every trial (90)"): assert words in text, words
    assert text.count('class="plot"') == 4 and text.count("<figcaption>") == 4
    assert "90 of 90 trials" in text and "<progress>" not in text
    assert "<details class=\"code\">" in text and "#| export" not in text and "default_exp" not in text

def test_nothing_is_fetched_and_nothing_unescaped(runs):
    text = page(runs["done"])
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert "alert('x')</script>" not in text and "&lt;script&gt;alert" in text
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", outside)
    assert "\x1b" not in text

def test_formulas_are_set_and_code_keeps_its_dollars(runs):
    text = page(runs["done"])
    assert text.count("<math") >= 6 and "badmath" not in text.split("</style>")[1].split("<script>")[0]
    assert "<code>$HOME</code>" in text and '<span class="tag">(1)</span>' in text

@pytest.mark.parametrize("tex", [r"\lambda_t^{(\ell)}", r"\begin{bmatrix}a & b\\ c & d\end{bmatrix}", r"\operatorname*{arg\,max}_x f",
                                 r"\text{level $\ell$}", r"\begin{split}a&=b\end{split}",
                                 r"\Big(\tfrac12\Big)", r"\mathrm{lsb}(t+1)", r"\underbrace{x}_{n}",
                                 r"\left\lfloor \frac{t}{2^\ell} \right\rfloor"])
def test_formula(tex): assert mathml(tex, block=True).startswith('<div class="display"><math') and not re.search(r">\\|>&<", mathml(tex))

def test_a_formula_that_cannot_be_set_stays_readable():
    assert mathml(r"a<b \frac{a}{") == '<code class="badmath" title="this formula could not be set">a&lt;b \\frac{a}{</code>'

def test_a_failed_run_says_where(runs):
    text = page(runs["failed"])
    assert "✗ Failed" in text and "n_pairs=40 needs 80 tokens, &lt;vocab&gt; has 64" in text
    assert re.search(r'href="#cell-7".*See the cell', text) and 'id="cell-7"' in text
    assert text.count('class="note">never ran') == 6 and "6 never ran." in text
    assert "An Exception was encountered" not in text

def test_runs_that_did_not_end(runs):
    assert "■ Interrupted" in page(runs["interrupted"]) and "stopped from outside" in page(runs["interrupted"])
    assert "… Running" in page(runs["running"]) and "See the cell" in page(runs["running"])
    died = export_run(runs["running"], status="died").read_text()
    export_run(runs["running"])
    assert "✗ Died" in died

def test_a_damaged_record_and_a_missing_notebook_get_a_page(tmp_path):
    damaged = tmp_path/"008-x"/"20261122T000000Z-000000"
    damaged.mkdir(parents=True)
    (damaged/"run.json").write_text("{")
    assert "! Damaged" in export_run(damaged).read_text()
    bare = write(tmp_path, "20261122T000001Z-000000", record("failed", error=dict(cell=None, ename="DiskFull", evalue="no room")), None)
    assert "No notebook was kept" in export_run(bare).read_text() or "left no notebook" in page(bare)

def test_a_page_of_definitions_shows_its_code(tmp_path):
    nb = dict(cells=[markdown("# Levels\n\n> A tree of states."), code("#| default_exp ops.levels"), code("#| export\nimport torch"),
                     code("#| export\ndef level(t, s): return (t ^ s).bit_length()"),
                     code("#| hide\nsecret = 1")])
    text = export_notebook(nb, tmp_path/"levels.html").read_text()
    body = text[text.index("<main "):]
    assert "madlib.ops.levels" in body and "secret" not in body and 'id="verdict"' not in body
    assert body.count("<details") == 1 and "imports" in body and body.index("</details>") < body.index("bit_length")

# In a browser

class TestInBrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")])
    def test_report(self, chromium, runs, width, scheme):
        tab, wrong = opened(chromium, runs["done"]/"report.html", width, scheme)
        tab.wait_for_function("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
        assert tab.locator(".js-plotly-plot").count() == 4
        assert overflow(tab) <= 0
        light = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0)")
        assert (light > 600) == (scheme == "light")
        drawn = tab.evaluate("[...document.querySelectorAll('.plot')].map(p => p.querySelector('.main-svg').getBoundingClientRect().width - p.clientWidth)")
        assert all(abs(d) <= 1 for d in drawn)
        assert tab.evaluate("document.querySelector('nav.contents details').open") == (width > 1000)
        assert wrong == []
        tab.context.close()

    def test_theme_can_be_switched_and_black_lines_follow(self, chromium, runs):
        tab, wrong = opened(chromium, runs["done"]/"report.html")
        colours = "[...new Set(document.querySelectorAll('.plot')[1].data.map(t => t.line?.color))]"
        tab.wait_for_function("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
        assert "#000000" in tab.evaluate(colours)
        tab.locator(".theme").click()
        assert "#000000" not in tab.evaluate(colours)
        assert wrong == []
        tab.context.close()

    @pytest.mark.parametrize("width", [1400, 390])
    @pytest.mark.parametrize("which", ["failed", "interrupted", "running"])
    def test_unfinished(self, chromium, runs, which, width):
        tab, wrong = opened(chromium, runs[which]/"report.html", width)
        assert overflow(tab) <= 0 and wrong == []
        tab.context.close()
