"""The first hour of somebody new: every command that feilun names as a next step is typed as it
stands there, and does what was said. In both languages."""

from __future__ import annotations

import csv
import re
import shlex
from collections import Counter
from pathlib import Path

import httpx
import pytest

from feilun.errors import InvalidData
from feilun.project import Workspace
from helpers.advice import COMMAND, walks
from helpers.cli import interrupt, start
from helpers.linear import answered
from helpers.newcomer import NOT_PROMOTED, Newcomer
from helpers.rows import reviews, write_reviews

_CUSTOMER = {"en": "Acme", "zh": "阿茶"}


def _word(lang: str, english: str, chinese: str) -> str:
    return english if lang == "en" else chinese


def _reviewed(file: Path) -> int:
    """Looks at the suspects as a person would: the suggestion is taken for each."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["label"] = row["suggested"]
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _answers_are_asked_for(newcomer: Newcomer, line: str) -> None:
    """`line` starts a server, which says how a key is made; a call with it is answered, and Ctrl-C
    ends the server."""
    newcomer.notes(line)
    words = shlex.split(line)
    settings = {"FEILUN_LANG": newcomer.lang}
    process = start(*words[1:], "--port", "0", cwd=newcomer.folder, **settings)
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if "http://127.0.0.1:" in line)
        newcomer.screen = next(line for line in process.stdout if "feilun keys create" in line)
        word = _word(newcomer.lang, "CUSTOMER", "客户名")
        newcomer.type(newcomer.named("feilun keys create").replace(word, _CUSTOMER[newcomer.lang]))
        [secret] = [line for line in newcomer.screen.splitlines() if line.startswith("fl_")]
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", said)
        answer = httpx.post(
            f"{address}/v1/predict",
            headers={"authorization": f"Bearer {secret.strip()}"},
            json={"inputs": ["great", "bad"]},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
    finally:
        interrupt(process)


@pytest.mark.slow
@walks(
    "cli.first_steps",
    "cli.init_next",
    "cli.review_empty",
    "pipeline.too_few",
    "formats.labels_take",
    "project.next",
    "project.usage_next",
    "feilun data audit",
    "feilun evaluate",
    "feilun run",
    "feilun update",
    "verdict.next_nothing",
    "verdict.next_rows",
)
def test_the_first_hour(newcomer: Newcomer) -> None:
    folder, lang = newcomer.folder, newcomer.lang
    rows = write_reviews(folder / "reviews.csv", 300, noise=0.03)
    file_word = _word(lang, "YOUR_FILE", "你的文件")

    # An empty folder says what to do first.
    assert "feilun init NAME" in newcomer.type("feilun", code=2).replace("名称", "NAME")
    newcomer.type("feilun init reviews")
    settings = folder / "reviews" / "feilun.toml"
    plain = settings.read_text("utf-8") + "\n[task]\nfeature_bits = 12\n"
    plain += "[evaluation]\nrobustness = false\n"
    settings.write_text(plain, "utf-8")
    newcomer.type(newcomer.next(), **{file_word: rows})
    assert newcomer.typed[-1] == "feilun data add"

    # Look at the rows: what is advised mends them.
    newcomer.type(newcomer.next())
    assert newcomer.typed[-1] == "feilun data audit"
    assert newcomer.next() == "feilun run"
    mend = newcomer.named("feilun data clean --relabel")
    suspects = Path(shlex.split(mend)[-1])
    early = newcomer.type(mend, code=InvalidData.exit_code)
    assert _word(lang, "says nothing yet", "尚未填写") in early
    turned = _reviewed(suspects)
    newcomer.type(mend)
    assert newcomer.next() == "feilun run"
    with Workspace(folder) as workspace:
        (step,) = workspace.project().scope.data().info["mended"]
        assert step["rows"] == turned

    # The whole wheel; then what it is worth.
    newcomer.type(newcomer.next() + " --method linear")
    assert newcomer.next() == "feilun evaluate"
    newcomer.type(newcomer.next())
    with Workspace(folder) as workspace:
        before = workspace.project().model().record.metrics["rows"]
    review = newcomer.named("feilun review")

    # Nobody has asked anything yet: the review says what brings answers, and that works.
    newcomer.type(review)
    _answers_are_asked_for(newcomer, newcomer.named("feilun serve"))

    # What was answered stands on the invoice before its month is over.
    newcomer.type("feilun usage")
    preview = newcomer.next()
    newcomer.type(preview)
    assert (newcomer.typed[-1], _CUSTOMER[lang] in newcomer.screen) == (
        "feilun invoice preview",
        True,
    )
    with Workspace(folder) as workspace:
        [document] = workspace.invoices.preview(_CUSTOMER[lang]).documents
        assert sum(line["volume"] for line in document["lines"]) == 2

    # A goal that the few test rows cannot settle: so many more, and they count.
    goal = "[evaluation.target]\naccuracy_at_least = 0.9\n"
    settings.write_text(plain + goal, "utf-8")
    newcomer.type("feilun evaluate")
    more = newcomer.next()
    if more.startswith("feilun data add"):
        test = write_reviews(folder / "test.csv", 300, seed=7, noise=0.03)
        newcomer.type(more, **{_word(lang, "FILE", "文件"): test})
        assert newcomer.next() == "feilun evaluate"
        newcomer.type(newcomer.next())
        with Workspace(folder) as workspace:
            assert workspace.project().model().record.metrics["rows"] > before + 200
    settings.write_text(plain, "utf-8")

    # A file with corrected labels: offered, taken.
    fixed = folder / "fixed.csv"
    other = {"great": "bad", "bad": "great"}
    listed = reviews(300, noise=0.0)
    listed[:12] = [(text, other[label]) for text, label in listed[:12]]
    with fixed.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("review", "score"), *listed])
    newcomer.type(f"feilun data add {shlex.quote(str(fixed))}")
    if lang == "en":
        assert "take them: feilun data add" in newcomer.screen
    newcomer.type(newcomer.named("feilun data add"))
    assert newcomer.typed[-1] == "feilun data add"
    with Workspace(folder) as workspace:
        assert workspace.project().scope.data().info["corrected"] > 0
    assert newcomer.next() == "feilun run"

    # Too few corrections: it is said what brings more; then enough, and the update learns them.
    newcomer.type("feilun update", code=NOT_PROMOTED)
    file = folder / "corrections.csv"
    with Workspace(folder) as workspace:
        said = answered(workspace.project(), 40, seed=17)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("prediction_id", "label"), *said])
    newcomer.type(newcomer.named("feilun feedback add"), **{_word(lang, "FILE", "文件"): file})
    assert newcomer.next() == "feilun update"
    newcomer.type(newcomer.next(), code=None)
    assert "40" in newcomer.screen
    with Workspace(folder) as workspace:
        project = workspace.project()
        version = project.model().record
        promoted = version.state == "live"
    if not promoted:  # then it is said that nothing is lost, and what to do
        assert newcomer.named("feilun update") == "feilun update"
        assert _word(lang, "Nothing is lost", "没有丢失") in newcomer.screen
        return
    assert newcomer.next() == "feilun evaluate"
    newcomer.type(newcomer.next())


def _dirty(file: Path) -> Path:
    """Reviews with what the audit knows a command against: rows that nearly say the same, labels
    spelt in two ways, personal data, wrong labels."""
    rows = [
        (f"{text}, order {n} of mine came on day {7 * n}", label)
        for n, (text, label) in enumerate(reviews(300, noise=0.05))
    ]
    rows += [(text + " !", label) for text, label in rows[20:60]]
    rows += [(f"write to anna{n}@example.org, it was great", "great") for n in range(12)]
    rows += [(f"{n} times as tasty as others, lovely", "Great") for n in range(30)]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("review", "score"), *rows])
    return file


def _labels(folder: Path) -> Counter[str]:
    """Rows of each label in the latest data."""
    with Workspace(folder) as workspace:
        splits = workspace.project().scope.data().counts.values()
        return sum(map(Counter, splits), Counter[str]())


@pytest.mark.slow
@walks(
    "compare.again",
    "corpus.next",
    "corpus.written",
    "label.no_rows.hint",
    "label.not_begun.hint",
    "project.next",
    "project.would_pass",
    "verdict.next_deploy",
)
def test_what_is_advised_besides(newcomer: Newcomer) -> None:
    """Each command that the audit names mends what it stands beside; a file without labels, a
    comparison, a version that waits, unsure answers: what is named leads on."""
    folder, lang = newcomer.folder, newcomer.lang
    newcomer.type("feilun init reviews")
    settings = folder / "reviews" / "feilun.toml"
    plain = settings.read_text("utf-8") + "\n[task]\nfeature_bits = 12\n"
    plain += "[evaluation]\nrobustness = false\n"
    settings.write_text(plain, "utf-8")
    newcomer.type(newcomer.next(), YOUR_FILE=_dirty(folder / "a.csv"), 你的文件=folder / "a.csv")

    mended: list[str] = []
    while len(mended) < 9:
        newcomer.type("feilun data audit")
        found = [line.group().strip() for line in COMMAND.finditer(newcomer.screen)]
        open_ = [one for one in found if one.startswith("feilun data clean")]
        fresh = [one for one in open_ if one.split()[3] not in mended]
        if not fresh:
            break
        if "--relabel" in fresh[0]:
            _reviewed(Path(shlex.split(fresh[0])[-1]))
        newcomer.type(fresh[0])
        mended.append(fresh[0].split()[3])
    assert {"--drop-duplicates", "--merge-label", "--mask", "--relabel"} <= set(mended)
    assert set(_labels(folder)) == {"great", "bad"}

    # Rows without labels: kept beside, drawn, labelled, added.
    corpus = folder / "corpus.csv"
    with corpus.open("w", encoding="utf-8", newline="") as stream:
        lines = [[f"{text}, said by guest {n}"] for n, (text, _) in enumerate(reviews(40, seed=5))]
        csv.writer(stream).writerows([["review"], *lines])
    newcomer.screen = newcomer.type("feilun label status", code=2)
    assert "--corpus" in newcomer.type("feilun label start --label great --label bad", code=2)
    newcomer.type(f"feilun data add {shlex.quote(str(corpus))} --corpus")
    draw = newcomer.named("feilun data corpus")
    words = shlex.split(draw)[: shlex.split(draw).index("--out") + 2]
    newcomer.type(shlex.join(words))
    listed = folder / words[-1]
    with listed.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for n, row in enumerate(rows):
        row["label"] = ("great", "bad")[n % 2]
    with listed.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    before = _labels(folder).total()
    newcomer.type(newcomer.named("feilun data add"))
    assert _labels(folder).total() == before + len(rows)
    newcomer.screen = newcomer.type("feilun label status", code=2)
    newcomer.type(newcomer.named("feilun label start"))
    newcomer.type("feilun label status")

    # A comparison: the same again is told, and what trains anew.
    newcomer.type("feilun compare --methods linear,memory")
    newcomer.type("feilun compare --methods linear,memory")
    assert "feilun compare --restart" in newcomer.screen
    newcomer.type("feilun compare --restart --methods linear,memory")

    # A version that waits: judged, put live.
    newcomer.type("feilun train --method linear")
    newcomer.type(newcomer.next())
    assert newcomer.typed[-1].startswith("feilun evaluate")
    newcomer.type(newcomer.next())
    assert newcomer.typed[-1].startswith("feilun deploy")
    with Workspace(folder) as workspace:
        assert workspace.project().model().record.state == "live"

    # Unsure answers are left to a person, by the setting that is named.
    goal = plain + "[evaluation.target]\naccuracy_at_least = 0.995\n"
    settings.write_text(goal, "utf-8")
    newcomer.type("feilun evaluate")
    assert newcomer.next().startswith("feilun ")
    if wanted := re.search(r"abstain_for = ([\d.]+)", newcomer.screen):
        settings.write_text(goal + f"[serving]\nabstain_for = {wanted[1]}\n", "utf-8")
    newcomer.type(newcomer.next(), **{_word(lang, "FILE", "文件"): folder / "a.csv"})
