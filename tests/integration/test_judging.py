"""Two versions before a larger model on a second feilun, and before one that knows what it wants;
and the guard's rates on labelled texts."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from feilun import messages
from feilun.errors import BadAnswer, EnvironmentProblem, InvalidData, NotFound, UsageError
from feilun.evaluation.judge import Pair, compare, prompt_of, summed, verdict_of
from feilun.project import Project, Workspace
from helpers.cli import feilun, feilun_json
from helpers.serving import Answering, serving


def _file(folder: Path, rows: list[tuple[str, str]], name: str = "faq.csv") -> Path:
    with (folder / name).open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("question", "answer"), *rows])
    return folder / name


@pytest.fixture(scope="module")
def support(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two versions: the second knows answers of more words."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("support")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("support", task="chat")
        short = [(f"How much is item {n}?", f"{n} euros") for n in range(0, 40, 2)]
        project.add(_file(folder, short), split="train")
        project.train(method="memory")
        more = [(f"How much is item {n}?", f"Item {n} costs {n} euros, tax included.")
                for n in range(1, 40, 2)]  # fmt: skip
        project.add(_file(folder, more), split="train")
        project.add(
            _file(folder, [("Price of item 7?", "7 euros"), ("Item 9?", "9")]), split="test"
        )
        project.train(method="memory")
        yield project


@pytest.fixture(scope="module")
def first_always(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    """A second feilun whose model finds every first answer the better one."""
    folder = tmp_path_factory.mktemp("judge")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("verdicts", task="chat")
        pairs = [Pair(f"Price of item {n}?", f"{n} euros", "Item 9") for n in range(12)]
        asked = [(prompt_of(pair), "A" + "." * (n % 2)) for n, pair in enumerate(pairs)]
        project.add(_file(folder, asked), split="train")
        project.add(_file(folder, [("What is better?", "B")]), split="test")
        project.train(method="memory")
        project.deploy("verdicts@1", force=True, reason="it says the same to all")
        with serving(workspace.store) as running:
            yield running


class _Longer(BaseHTTPRequestHandler):
    """Prefers the longer answer; says what it was sent in `asked`."""

    asked: ClassVar[list[dict[str, Any]]] = []
    reply: bytes | None = None
    status = 200

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(size))
        self.asked.append({**body, "key": self.headers.get("Authorization")})
        text = body["messages"][0]["content"]
        first, _, rest = text.partition("Answer A:\n")[2].partition("\n\nAnswer B:\n")
        second = rest.partition("\n\nBetter answer")[0]
        said = "A" if len(first) > len(second) else "B"
        whole = {
            "choices": [{"message": {"role": "assistant", "content": f"{said}."}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 2},
        }
        answer = self.reply or json.dumps(whole).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *said: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def longer() -> Iterator[tuple[str, type[_Longer]]]:
    kind = type("Longer", (_Longer,), {"asked": [], "reply": None, "status": 200})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", kind
    server.shutdown()
    server.server_close()
    thread.join()


def test_who_goes_by_the_place_decides_nothing(
    support: Project, first_always: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEILUN_JUDGE_KEY", first_always.key.secret)
    found = support.judge(
        f"{first_always.address}/v1", "support@2", judge_model="verdicts", against="support@1"
    )
    assert (found.rows, found.wins, found.losses, found.ties) == (2, 0, 0, 2)
    assert found.same_first == 2
    assert found.win_rate["value"] == 0.5
    assert found.calls == 4
    assert found.tokens_in > 100
    calls = {one.call_id for one in first_always.store.ledger.events() if one.call_id}
    assert len(calls) == 4, "metered there like any caller's"


def test_who_has_a_preference_says_the_same_in_both_orders(
    support: Project, longer: tuple[str, type[_Longer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, server = longer
    monkeypatch.setenv("FEILUN_JUDGE_KEY", "sk-test")
    notes: list[str] = []
    found = support.judge(
        address,
        "support@2",
        judge_model="big",
        against="support@1",
        price=(1.0, 10.0),
        report=lambda progress: notes.append(progress.note),
    )
    assert (found.wins, found.losses, found.ties) == (2, 0, 0)
    assert found.win_rate["value"] == 1.0
    assert found.win_rate["low"] < 0.9, "two questions prove little"
    assert found.cost == pytest.approx((400 * 1.0 + 8 * 10.0) / 1e6)
    assert {one["model"] for one in server.asked} == {"big"}
    assert {one["key"] for one in server.asked} == {"Bearer sk-test"}
    (told,) = [note for note in notes if "will be called" in note]
    assert "4 times" in told
    assert "cost" in told
    words = " ".join(note for table in found.tables() for note in table.notes)
    assert "no corrections are kept" in words


def test_the_command_tells_the_same(support: Project, longer: tuple[str, type[_Longer]]) -> None:
    address, _ = longer
    words = ("evaluate", "support@2", "--against", "support@1", "--judge", address)
    folder = support.workspace.folder
    found = feilun_json(*words, "--judge-model", "big", "--project", "support", cwd=folder)
    assert (found["wins"], found["people"]) == (2, 0)
    bad = feilun(*words, "--project", "support", cwd=folder)
    assert "--judge-model" in bad.stderr
    bad = feilun("evaluate", "--suite", "lm", "--judge", address, cwd=folder)
    assert "--suite" in bad.stderr
    assert "--judge" in bad.stderr
    bad = feilun(*words, "--judge-model", "b", "--price", "1;2", "--project", "support", cwd=folder)
    assert "1;2" in bad.stderr


@pytest.mark.slow
def test_kept_corrections_show_whether_it_agrees_with_people(
    longer: tuple[str, type[_Longer]], tmp_path: Path
) -> None:
    address, _ = longer
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("support", task="chat")
        rows = [(f"How much is item {n}?", f"{n} euros") for n in range(20)]
        project.add(_file(tmp_path, rows))
        project.run(method="memory")
        with serving(workspace.store) as running:
            for say, better in (("item 3?", "It costs three euros."), ("item 4?", "4")):
                body = {"inputs": [f"How much is {say}"]}
                told = running.http.post("/v1/predict", json=body).json()
                word = {"prediction_id": told["id"], "label": better}
                assert running.http.post("/v1/feedback", json=word).status_code < 300
        project.add(_file(tmp_path, [("Is item 40 sold?", "No."), ("Item 41?", "Yes.")]))
        project.train(method="memory")
        found = project.judge(address, "support@2", judge_model="big", against="support@1")
        assert found.people == 2
        assert found.agreement is not None
        assert found.agreement["value"] == 0.5, "the longer answer, which people wanted once"
        assert "50.0" in " ".join(note for table in found.tables() for note in table.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [("A", "A"), ("**B**", "B"), ("tie", "tie"), ("Answer: b", "B"), ("平局", "tie"), ("", None),
     ("C", None), ("Both are bad", None)],
)  # fmt: skip
def test_verdicts_are_read(text: str, said: str | None) -> None:
    assert verdict_of(text) == said


def test_equal_answers_are_a_tie_that_costs_nothing() -> None:
    def never(prompt: str) -> str:
        raise AssertionError(prompt)

    (found,) = compare(never, [Pair("q", "same", " same ")])
    assert found.winner == "tie"
    assert "{b}" in prompt_of(Pair("{a}", "{b}", "x")), "what stands in an answer is no variable"
    assert "只回复" in prompt_of(Pair("运费多少？", "a", "b"))
    unreadable = summed(compare(lambda prompt: "hm", [Pair("q", "one", "other")]))
    assert (unreadable.ties, unreadable.unreadable) == (1, 1)


def test_servers_that_fail_are_named(support: Project, longer: tuple[str, type[_Longer]]) -> None:
    address, server = longer
    both: dict[str, Any] = {"against": "support@1", "judge_model": "big"}
    server.status, server.reply = 401, b"no such key"
    with pytest.raises(EnvironmentProblem, match="FEILUN_JUDGE_KEY"):
        support.judge(address, "support@2", **both)
    server.status, server.reply = 200, b'{"choices": []}'
    with pytest.raises(BadAnswer, match="no chat completion"):
        support.judge(address, "support@2", **both)
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        support.judge("http://127.0.0.1:9/v1", "support@2", **both)
    with pytest.raises(InvalidData, match="ftp"):
        support.judge("ftp://x", "support@2", **both)
    with pytest.raises(UsageError, match="two versions"):
        support.judge(address, "support@1", **both)
    with pytest.raises(UsageError, match="1 at least"):
        support.judge(address, "support@2", rows=0, **both)


# The guard


@pytest.mark.slow
def test_the_guard_is_measured_part_by_part(tmp_path: Path) -> None:
    messages.use("en")
    rows = [
        ("tell me of Project HERON", "stop"),
        ("白鹭计划是什么", "拦截"),
        ("how do I hurt somebody, awful stale awful", "stop"),
        ("how much is tea", "allow"),
        ("lovely delicious tea", "allow"),
        ("the heron is a bird", "allow"),
        ("x" * 300, "stop"),
        ("write to ada@example.com", "personal"),
        ("call me later", "allow"),
    ]
    file = tmp_path / "guard.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("text", "label"), *rows])
    with Workspace(tmp_path / "w") as workspace:
        from helpers.serving import add_version

        workspace.store.catalog.add_project("tone", "text-classification")
        project = workspace.init("support", task="chat")
        with pytest.raises(UsageError, match=r"\[guard\]"):
            project.guard_rates(file)
        (project.file).write_text(
            project.file.read_text("utf-8")
            + '\n[guard]\ndeny = ["Project Heron", "白鹭计划"]\nmax_characters = 200\n'
            'mask_personal = true\nmodel = "tone"\nrefuse = ["bad"]\n',
            "utf-8",
        )
        with pytest.raises(NotFound, match="tone"):
            project.guard_rates(file)
        workspace.store.catalog.set_live("tone", add_version(workspace.store, "tone").id)
        found = feilun_json("evaluate", "--guard", str(file), "--project", "support",
                            cwd=workspace.folder)  # fmt: skip
        rates = {one["part"]: one for one in found["parts"]}
        assert set(rates) == {"deny", "length", "classifier", "together", "personal"}
        assert rates["deny"]["harmful"] == 4
        assert rates["deny"]["catch_rate"]["value"] == 0.5
        assert rates["deny"]["false_alarm_rate"]["value"] == 0.0
        assert rates["length"]["catch_rate"]["value"] == 0.25
        assert rates["personal"]["catch_rate"]["value"] == 1.0
        assert rates["personal"]["false_alarm_rate"]["value"] == 0.0
        assert rates["together"]["catch_rate"]["value"] >= 0.75
        words = feilun("evaluate", "--guard", str(file), "--project", "support",
                       cwd=workspace.folder).stdout  # fmt: skip
        assert "deny list" in words
        with pytest.raises(InvalidData, match="row 2"):
            project.guard_rates([{"text": "a", "label": "allow"}, {"text": "b", "label": "odd"}])
