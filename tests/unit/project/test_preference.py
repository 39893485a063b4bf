"""Two versions' answers before people: drawn prompts, balanced orders, figures, pairs to learn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.cli.app import run
from feilun.cli.commands import preference as walk
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.messages import LANGUAGES, t
from feilun.project import Project, Workspace
from feilun.project.preference import PairItem
from feilun.store.ledger_records import Prediction
from feilun.training.preferences import read_pairs
from helpers.rows import write_reviews

CALLS = 24


@pytest.fixture(scope="module")
def module_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The second version knows what the odd items cost, and answers in more words."""
    messages.use("en")
    with Workspace(tmp_path_factory.mktemp("shop")) as workspace:
        project = workspace.init("shop", task="chat")
        rows = [
            {"prompt": f"How much is item {n}?", "completion": f"{n} euros"}
            for n in range(0, 40, 2)
        ]
        project.add(rows, split="train")
        project.train(method="memory")
        more = [
            {"prompt": f"How much is item {n}?", "completion": f"Item {n} costs {n} euros."}
            for n in range(1, 40, 2)
        ]
        project.add(more, split="train")
        tests = [{"prompt": f"Price of item {n}?", "completion": f"{n}"} for n in (3, 5, 8)]
        project.add(tests, split="test")
        project.train(method="memory")
        yield project


@pytest.fixture
def shop(module_shop: Project) -> Iterator[Project]:
    """Kept calls, and no comparison."""
    store = module_shop.workspace.store
    said = {"generated_text": "?"}
    rows = [
        Prediction(f"p{n}", 0, text, said, "?", None, None, "shop@1", "shop", "ada")
        for n, text in enumerate(
            [f"Tell me the price of item {n}" for n in range(CALLS)]
            + ["Tell me the price of item 3", "How much is item 4?"]  # asked again; in the data
        )
    ]
    store.ledger.commit([], rows)
    yield module_shop
    store.ledger.erase_answers([row.place for row in rows])
    for key in store.catalog.settings("preference:shop:"):
        store.catalog.set_setting(key, {})
    store.catalog.set_setting("preference:shop", [])


def better(pair: PairItem) -> str:
    """The choice of who prefers more words."""
    return "a" if len(pair.a) > len(pair.b) else "b"


def test_what_people_prefer_is_counted_whatever_stands_first(shop: Project) -> None:
    begun = shop.preference.start("shop@2", "shop@1", people=2)
    assert (begun.version, begun.against, begun.prompts) == ("shop@2", "shop@1", "calls")
    assert begun.equal + begun.pairs == CALLS, "each prompt once, none that stands in the data"
    assert begun.pairs >= 12
    shown = {who: list(shop.preference.queue(who)) for who in ("Ada", "Bob")}
    for pairs in shown.values():
        long_first = sum(len(one.a) > len(one.b) for one in pairs)
        assert abs(2 * long_first - len(pairs)) <= 1, "both orders as often"
    assert any(
        (one.a, one.b) == (other.b, other.a) for one, other in zip(*shown.values(), strict=True)
    )
    for one in shown["Ada"]:
        one.choose(better(one))
    half = shop.preference.state()
    assert (half.judged, half.win_rate) == (0, None), "a second voice is wanted"
    for number, one in enumerate(shown["Bob"]):
        one.choose("tie" if number == 0 else "bad" if number == 1 else better(one))
    found = shop.preference.state()
    assert (found.judged, found.wins, found.losses) == (found.pairs, found.pairs, 0)
    assert found.win_rate is not None
    assert found.win_rate["value"] == pytest.approx(1 - 0.5 / found.pairs)
    assert found.win_rate["low"] < 0.95
    assert found.first_rate is not None
    assert found.first_rate["low"] < 0.5 < found.first_rate["high"]
    assert found.unbiased
    assert found.alpha is not None
    assert found.alpha[0] < 1
    assert "Ada – Bob" in found.kappas
    words = "\n".join(note for table in found.tables() for note in table.notes)
    assert "does not change" in words
    verdict = shop.evaluate("shop@2")
    assert any("does not count it" in reason for reason in verdict.reasons)
    assert verdict.report is not None
    page = verdict.report.read_text("utf-8")
    for lang in LANGUAGES:
        assert t("preference.report_people", lang) in page
    won = f"{100 * found.win_rate['value']:.1f}"
    assert f"<b>{won} %</b>" in page
    assert f"{found.pairs} pairs drawn at random: shop@2 wins {won} (" in page
    assert f"随机抽取 {found.pairs} 对）：shop@2" in page
    assert not list(shop.preference.queue("Cleo")), "two voices are enough"
    assert shown["Bob"][0].undo()
    assert shop.preference.state().judged == found.pairs - 1
    assert [one.place for one in shop.preference.queue("Bob")] == [shown["Bob"][0].place]


def test_who_passes_over_pairs_has_no_random_sample(shop: Project) -> None:
    shop.preference.start("shop@2", "shop@1")
    pairs = list(shop.preference.queue("Ada"))
    for one in pairs[: len(pairs) // 2]:
        one.choose(better(one))
    assert shop.preference.state().unbiased, "who ends early has judged a random sample"
    pairs[-1].choose("bad")
    found = shop.preference.state()
    assert (found.unbiased, found.ties, found.bad) == (False, 1, 1)
    words = "\n".join(note for table in found.tables() for note in table.notes)
    assert "no evidence" in words


def test_preferred_answers_are_pairs_to_learn_but_those_of_test_rows(
    shop: Project, tmp_path: Path
) -> None:
    shop.preference.start("shop@2", "shop@1", prompts="test")
    for one in shop.preference.queue("Ada"):
        one.choose(better(one))
    with pytest.raises(NotFound, match="no correction"):
        shop.write_pairs(tmp_path / "none.jsonl")
    shop.preference.start("shop@2", "shop@1", rows=10)
    asked = list(shop.preference.queue("Ada"))
    asked[0].choose("tie")
    for one in asked[1:]:
        one.choose(better(one))
    done = shop.write_pairs(tmp_path / "pairs.jsonl")
    assert done.pairs == done.preferred == len(asked) - 1
    assert done.left_out > 0
    for pair in read_pairs(done.file):
        assert len(pair.chosen) > len(pair.rejected)
        assert "Tell me the price" in pair.prompt
    assert "test rows" in done.tables()[0].notes[1]


def test_answers_leave_with_the_call_that_they_answer(shop: Project) -> None:
    shop.preference.start("shop@2", "shop@1")
    first, second = list(shop.preference.queue("Ada"))[:2]
    ledger, catalog = shop.workspace.store.ledger, shop.workspace.store.catalog
    shop.workspace.erase(str(first.prompt))
    left = [one.place for one in shop.preference.queue("Ada")]
    assert first.place not in left
    assert second.place in left
    ledger.forget_inputs("shop")
    assert not list(shop.preference.queue("Ada"))
    pairs = catalog.settings("preference:shop:pair:")
    assert pairs
    assert not any(pairs.values())
    with pytest.raises(NotFound, match="no pair"):
        second.choose("a")


def test_what_cannot_be_compared_is_said(shop: Project, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no comparison"):
        shop.preference.state()
    with pytest.raises(UsageError, match="1 to 1,000"):
        shop.preference.start(rows=0)
    with pytest.raises(UsageError, match="calls or from test"):
        shop.preference.start(prompts="friends")
    with pytest.raises(UsageError, match="same answer"):
        shop.preference.start("shop@2", "shop@2")
    shop.preference.start("shop@2", "shop@1")
    with pytest.raises(InvalidData, match="a, b, tie"):
        shop.preference.say(0, "left", "Ada")
    with Workspace(tmp_path) as workspace:
        reviews = workspace.init("reviews")
        reviews.add(write_reviews(tmp_path / "reviews.csv", 20))
        with pytest.raises(UsageError, match="text-classification"):
            reviews.preference.start()


def test_the_terminal_asks_and_tells(
    shop: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> dict[str, object]:
        capsys.readouterr()
        folder = ("--workspace", str(shop.workspace.folder))
        assert run([*words, *folder, "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    told("preference", "start", "shop@2", "--against", "shop@1")
    pairs = told("preference", "judge", "--who", "Ada")["pairs"]
    assert isinstance(pairs, list)
    told("preference", "say", str(pairs[0]["pair"]), "bad", "--who", "Ada")
    keys = iter("1x2" + "u2" + "s3" + "4" + "q")
    monkeypatch.setattr(walk, "read_key", lambda: next(keys))
    assert walk._walk(list(shop.preference.queue("Ada"))) == 4
    found = told("preference", "status")
    assert found["judged"] == 5
    votes = shop.workspace.store.catalog.settings("preference:shop:vote:").values()
    said = [vote["said"] in ("one", "other") for vote in votes if vote]
    assert Counter(said) == {True: 2, False: 3}
    messages.use("en")
