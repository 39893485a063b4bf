"""The first hour of somebody new: every command that feilun names as a next step is typed as it
stands there, and does what was said. In both languages."""

from __future__ import annotations

import csv
import re
import shlex
import signal
import subprocess
from collections import Counter
from pathlib import Path

import httpx
import pytest

from feilun import messages
from feilun.cli.app import run
from feilun.errors import InvalidData
from feilun.project import Workspace
from helpers.cli import command, environment, feilun
from helpers.linear import answered
from helpers.rows import reviews, write_reviews

_NOT_PROMOTED = 1
_CUSTOMER = {"en": "Acme", "zh": "阿茶"}
_NEXT = {"en": "Next: ", "zh": "下一步："}
_COMMAND = re.compile(r"feilun [a-z](?:(?!feilun )[^\n,;，；。])*")


class Newcomer:
    """Types what the screen says, with files of its own where it says FILE; keeps what was shown
    and what was typed."""

    def __init__(
        self, folder: Path, lang: messages.Language, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.lang, self._capsys = folder, lang, capsys
        self.screen = ""
        self.typed: list[str] = []

    def type(self, line: str, *, code: int | None = 0, **files: Path) -> str:
        """Types a command, which ends with `code` (None: it may promote or not); what is said on
        stderr."""
        for word, file in files.items():
            line = line.replace(word, shlex.quote(str(file)))
        words = shlex.split(line)
        assert words[0] == "feilun", line
        self.typed.append(" ".join(words[:3]))
        if words[1:2] in (["run"], ["update"], ["train"], ["compare"]):
            # A process of its own, as turns are taken.
            done = feilun(*words[1:], cwd=self.folder, FEILUN_LANG=self.lang)
            ended, self.screen, err = done.returncode, done.stdout, done.stderr
        else:
            self._capsys.readouterr()
            ended = run(words[1:])
            self.screen, err = self._capsys.readouterr()
        expected = (0, _NOT_PROMOTED) if code is None else (code,)
        assert ended in expected, f"{line}\n{self.screen}{err}"
        return err

    def next(self) -> str:
        """The command that the screen names as the next step."""
        begin = self.screen.rindex(_NEXT[self.lang])
        found = _COMMAND.search(self.screen[begin:])
        assert found is not None, self.screen
        return found.group().split(" (")[0].strip().rstrip(".")

    def named(self, words: str) -> str:
        """The command on the screen that begins with `words`."""
        found = [one.group().strip() for one in _COMMAND.finditer(self.screen)]
        (line, *_) = [one for one in found if one.startswith(words)] or [""]
        assert line, self.screen
        return line


def _word(lang: str, english: str, chinese: str) -> str:
    return english if lang == "en" else chinese


@pytest.fixture(params=["en", "zh"])
def newcomer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Newcomer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_LANG", request.param)
    return Newcomer(tmp_path, request.param, capsys)


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
    words = shlex.split(line)
    process = subprocess.Popen(
        [*command(*words[1:]), "--port", "0"],
        cwd=newcomer.folder,
        env=environment(FEILUN_LANG=newcomer.lang),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
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
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


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
    newcomer.type("feilun update", code=_NOT_PROMOTED)
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
        found = [line.group().strip() for line in _COMMAND.finditer(newcomer.screen)]
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
