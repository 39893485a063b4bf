"""Written answers that people accept, edit, and reject for a reason, and what becomes of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from feilun import messages
from feilun.cli.app import run
from feilun.cli.commands import review as walk
from feilun.errors import InvalidData, NotFound
from feilun.feedback.collect import take
from feilun.feedback.to_data import to_examples
from feilun.project import Project, Workspace
from feilun.project.review import ReviewItem
from feilun.store.ledger_records import Prediction
from feilun.training.preferences import read_pairs

TALK = (
    '[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hello."},'
    '{"role":"user","content":"Who are you?"}]'
)
ASKED = {"a": "When do you open?", "b": "Is it blue?", "c": "多少钱？", "d": TALK}


@pytest.fixture(scope="module")
def module_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    with Workspace(tmp_path_factory.mktemp("shop")) as workspace:
        project = workspace.init("shop", task="chat")
        project.add([{"prompt": f"Item {n}?", "completion": f"{n} euros."} for n in range(20)])
        project.train(method="memory")
        workspace.store.catalog.set_live("shop", "shop@1")
        yield project


@pytest.fixture
def shop(module_shop: Project) -> Iterator[Project]:
    """Four answers in the log, of which nothing was said."""
    store = module_shop.workspace.store
    known = store.catalog.customer_named("Ada") or store.catalog.add_customer("Ada")
    rows = [
        Prediction(
            call, 0, asked, {"generated_text": f"About {call}."}, f"About {call}.", None, None,
            "shop@1", "shop", known.id,
        )
        for call, asked in ASKED.items()
    ]  # fmt: skip
    store.ledger.commit([], rows)
    yield module_shop
    store.ledger.erase_answers([(call, 0) for call in ASKED])


def queue(project: Project, **options: Any) -> dict[str, ReviewItem]:
    return {item.place[0]: item for item in project.review(50, **options)}


def say(project: Project, call: str, label: Any = None, **more: Any) -> None:
    """As Ada would over HTTP."""
    store = project.workspace.store
    ada = store.catalog.customer_named("Ada")
    assert ada is not None
    take(store.catalog, store.ledger, call, 0, label, customer=ada.id, **more)


def learnt(project: Project) -> Mapping[str, str | None]:
    rows = to_examples(project.workspace.store.ledger, project.name)
    return {str(one.example.item): one.example.label for one in rows}


def test_each_verdict_does_what_it_says(shop: Project, tmp_path: Path) -> None:
    items = queue(shop)
    assert set(items) == set(ASKED)
    items["a"].label("About a.")
    items["b"].label("No, it is red.")
    items["c"].reject("wrong_fact", "十元。", "price of last year")
    items["d"].reject("harmful")
    assert learnt(shop) == {
        ASKED["a"]: "About a.", ASKED["b"]: "No, it is red.", ASKED["c"]: "十元。",
    }  # fmt: skip
    pairs = read_pairs(shop.write_pairs(tmp_path / "pairs.jsonl").file)
    assert {(one.chosen, one.rejected) for one in pairs} == {
        ("No, it is red.", "About b."),
        ("十元。", "About c."),
    }
    assert not queue(shop), "all are looked at, the one without an answer too"
    (found,) = shop.reviews().versions
    assert (found.answers, found.reviewed) == (4, 4)
    assert (found.accepted, found.edited, found.rejected) == (1, 1, 2)
    assert found.reasons["harmful"]["value"] == 0.25
    assert found.reasons["harmful"]["high"] < 0.75
    assert found.drawn == sum(item.why == "audit" for item in items.values())
    assert items["c"].undo()
    assert not items["c"].undo()
    assert set(queue(shop)) == {"c"}
    (found,) = shop.reviews().versions
    assert (found.reviewed, found.rejected) == (3, 1)
    items["c"].remark("ask the shop")
    ledger = shop.workspace.store.ledger
    assert [one.note for one in ledger.remarks_of("c")] == ["ask the shop"]
    assert set(queue(shop)) == {"c"}, "a note is no verdict"


def test_what_customers_reject_comes_first_and_is_put_right(shop: Project) -> None:
    say(shop, "c", rejected="incomplete", note="euros?")
    first = next(iter(shop.review(50)))
    assert (first.place, first.why) == (("c", 0), "rejected")
    assert first.note == "a customer rejected it: incomplete (euros?)"
    assert "不完整" in first.told("zh")
    assert first.shown() == ASKED["c"]
    figures = shop.reviews()
    assert figures.waiting == 1
    assert figures.versions[0].customers == {"incomplete": 1}
    assert figures.versions[0].reviewed == 0
    first.label("Ten euros.")
    figures = shop.reviews()
    assert figures.waiting == 0
    assert (figures.versions[0].edited, figures.versions[0].customers) == (1, {"incomplete": 1})
    assert learnt(shop) == {ASKED["c"]: "Ten euros."}


def test_nobody_fills_the_queue_with_rejections(shop: Project) -> None:
    store = shop.workspace.store
    ada = store.catalog.customer_named("Ada")
    assert ada is not None
    said = {"generated_text": "Hm."}
    rows = [
        Prediction(f"m{n}", 0, f"Is {n} odd?", said, "Hm.", None, None, "shop@1", "shop", ada.id)
        for n in range(40)
    ]
    store.ledger.commit([], rows)
    for row in rows:
        store.ledger.add_remark(*row.place, source="customer", reason="other", customer=ada.id)
    found = [item.why for item in shop.review(100)]
    assert found.count("rejected") == 20
    assert len(found) > 24, "the others have their turn by what they are"
    assert shop.reviews().waiting == 40
    store.ledger.erase_answers([row.place for row in rows])


def test_what_was_called_right_is_not_learnt_once_it_is_rejected(shop: Project) -> None:
    say(shop, "a", "About a.")
    say(shop, "b", "About b.")
    say(shop, "d", "I am Ada.")
    say(shop, "a", rejected="other")
    ledger = shop.workspace.store.ledger
    items = {row.prediction_id: row for row in ledger.recent_predictions("shop")}
    assert set(learnt(shop)) == {ASKED["b"], ASKED["d"]}
    ledger.add_remark("b", 0, reason="wrong_fact", source="reviewer")
    ledger.add_remark("d", 0, reason="wrong_fact", source="reviewer")
    assert learnt(shop) == {ASKED["d"]: "I am Ada."}, "who knows what is right is still heard"
    assert ledger.rejected_answers("shop") == {("a", 0), ("b", 0)}
    assert ledger.waiting("shop") == 1
    say(shop, "b", "About b.")
    assert set(learnt(shop)) == {ASKED["d"]}, "the house goes before a customer"
    ledger.add_feedback("b", 0, "About b.", source="operator")
    assert set(learnt(shop)) == {ASKED["b"], ASKED["d"]}
    assert set(items) == set(ASKED)


def test_a_drawn_answer_that_is_rejected_counts_as_wrong(shop: Project) -> None:
    items = queue(shop, drawn_only=True)
    assert {item.why for item in items.values()} == {"audit"}
    items["a"].label("About a.")
    items["b"].reject("wording")
    items["c"].reject("incomplete", "Ten.")
    ledger = shop.workspace.store.ledger
    assert ledger.audited("shop", "shop@1") == (3, 1)
    assert set(queue(shop, drawn_only=True)) == {"d"}, "what was rejected is not drawn again"
    (found,) = shop.reviews().versions
    assert found.drawn == 3
    assert found.drawn_rejected is not None
    assert found.drawn_rejected["value"] == pytest.approx(2 / 3)


def test_what_cannot_be_said_is_refused_whole(shop: Project) -> None:
    for label, more, words in (
        ("Nine.", {"rejected": "ugly"}, "wrong_fact, incomplete"),
        ("Nine.", {"rejected": "other", "note": "x" * 2001}, "2,001"),
        (None, {"note": "hm"}, "label is empty"),
        ("  ", {}, "label is empty"),
    ):
        with pytest.raises(InvalidData, match=words):
            say(shop, "a", label, **more)
    store = shop.workspace.store
    bob = store.catalog.customer_named("Bob") or store.catalog.add_customer("Bob")
    with pytest.raises(NotFound, match="may label"):
        take(store.catalog, store.ledger, "a", 0, rejected="other", customer=bob.id)
    assert not store.ledger.feedback_of("a")
    assert not store.ledger.remarks_of("a")
    assert len(shop.workspace.store.ledger.recent_predictions("shop")) == 4


def test_notes_leave_with_what_they_are_about(shop: Project) -> None:
    say(shop, "a", rejected="harmful", note="my name is Ada Lovelace")
    ledger = shop.workspace.store.ledger
    assert ledger.answers_about("shop", lambda text: "Lovelace" in text) == [("a", 0)]
    ledger.forget_inputs("shop")
    assert [(one.reason, one.note) for one in ledger.remarks_of("a")] == [("harmful", "")]
    say(shop, "b", rejected="wording", note="kept no longer")
    assert [(one.reason, one.note) for one in ledger.remarks_of("b")] == [("wording", "")]
    ledger.erase_answers([("a", 0), ("b", 0)])
    assert not ledger.remarks_of("a")


def test_a_file_rejects_too(shop: Project, tmp_path: Path) -> None:
    file = tmp_path / "said.csv"
    file.write_text(
        "prediction_id,label,rejected,note\na,,wrong_fact,old\nb,Red.,wording,\nc,,nonsense,\nd,,,\n",
        "utf-8",
    )
    done = shop.add_feedback(file)
    assert done.accepted == 2
    assert [one["row"] for one in done.refused] == [4, 5]
    (found,) = shop.reviews().versions
    assert dict.fromkeys(found.reasons, 1) == {"wrong_fact": 1, "wording": 1}
    assert learnt(shop) == {ASKED["b"]: "Red."}


def test_the_terminal_walks_written_answers(
    shop: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = iter("n\r" + "e" + "r" + "1" + "u" + "r" + "9" + "r" + "4" + "s" + "q")
    lines = iter(["ask Ada", "Red it is.", "last year's", "", "", "Nobody."])
    monkeypatch.setattr(walk, "read_key", lambda: next(keys))
    monkeypatch.setattr("builtins.input", lambda question="": next(lines))
    items = sorted(shop.review(50), key=lambda item: item.place)
    assert walk._walk(items, []) == 3
    ledger = shop.workspace.store.ledger
    assert [one.note for one in ledger.remarks_of("a")] == ["ask Ada"]
    assert [one.label for one in ledger.feedback_of("a")] == ["About a."]
    assert [one.label for one in ledger.feedback_of("b")] == ["Red it is."]
    assert [(one.reason, one.note) for one in ledger.remarks_of("c")] == [("harmful", "")]
    assert [one.label for one in ledger.feedback_of("c")] == ["Nobody."]
    assert not ledger.remarks_of("d")
    out = capsys.readouterr().out
    assert "[r] reject" in out
    assert "User: Hello\nAssistant: Hello.\nUser: Who are you?" in out
    assert queue(shop)["d"].shown("zh") == "用户：Hello\n助手：Hello.\n用户：Who are you?"
    capsys.readouterr()
    folder = str(shop.workspace.folder)
    assert run(["feedback", "status", "--workspace", folder, "--json"]) == 0
    (version,) = json.loads(capsys.readouterr().out)["versions"]
    assert version["reasons"]["harmful"]["value"] == pytest.approx(1 / 3)
    assert run(["feedback", "status", "--workspace", folder]) == 0
    assert "harmful" in capsys.readouterr().out
    messages.use("en")
