"""The review queue: least certain first, each input once."""

from __future__ import annotations

from feilun.feedback.queue import review_queue
from feilun.store.ledger_records import Prediction
from feilun.types import Item


def answer(item: Item, margin: float | None, score: float | None = 0.9, **more: bool) -> Prediction:
    number = f"p{abs(hash((str(item), margin, score)))}"
    return Prediction(number, 0, item, {}, "good", score, margin, "r@1", "r", **more)


def inputs(*rows: Prediction, limit: int = 100) -> list[Item]:
    return [row.input for row in review_queue(rows, limit)]


LONG = "The parcel came two days late and the box was torn, but the coffee itself is fine"


def test_the_least_certain_come_first() -> None:
    rows = [answer("sure thing", 0.9), answer("hmm", 0.1), answer("maybe so", 0.5)]
    assert inputs(*rows) == ["hmm", "maybe so", "sure thing"]


def test_without_a_margin_the_score_decides() -> None:
    rows = [answer("a b c", None, 0.99), answer("x y z", None, 0.51), answer("k l m", None, None)]
    assert inputs(*rows) == ["x y z", "a b c", "k l m"]


def test_near_duplicates_show_up_once() -> None:
    rows = [
        answer(LONG, 0.3),
        answer(LONG + "!", 0.1),
        answer(LONG.upper(), 0.2),
        answer("  " + LONG.replace(" ", "  "), 0.4),
        answer("Something else altogether", 0.5),
    ]
    assert inputs(*rows) == [LONG + "!", "Something else altogether"]


def test_short_texts_that_differ_are_not_duplicates() -> None:
    texts: list[Item] = ["很好", "很差", "👍", "👎", "", "?", "good", "bad"]
    found = inputs(*(answer(text, 0.1 * n) for n, text in enumerate(texts)))
    assert found == texts


def test_equal_pictures_show_up_once() -> None:
    rows = [answer(b"PNG one", 0.2), answer(b"PNG one", 0.1), answer(b"PNG two", 0.3)]
    assert inputs(*rows) == [b"PNG one", b"PNG two"]


def test_rows_of_several_columns() -> None:
    rows = [
        answer({"title": "coffee", "photo": b"1"}, 0.1),
        answer({"photo": b"1", "title": "coffee"}, 0.2),
        answer({"title": "tea", "photo": b"1"}, 0.3),
    ]
    assert inputs(*rows) == [rows[0].input, rows[2].input]


def test_inputs_that_are_not_kept_are_left_out() -> None:
    rows = [answer("kept", 0.5), answer(None, 0.1, purged=True), answer(None, 0.1, stored=False)]
    assert inputs(*rows) == ["kept"]


def test_the_limit_holds_for_many_rows() -> None:
    rows = [answer(f"text number {n} of {n * 7919}", n / 3000) for n in range(3000)]
    found = inputs(*rows, limit=50)
    assert len(found) == 50
    assert all(int(str(text).split()[2]) < 1500 for text in found)


def test_nothing_to_review() -> None:
    assert inputs() == []
