"""Novelty: what training rows are made of is not new, for texts and for pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from feilun.feedback.drift import Side, measure
from feilun.feedback.novelty import sketch
from feilun.feedback.queue import audit_draw, review_queue, weave
from feilun.modalities.text.ngrams import NGrams
from feilun.store.ledger_records import Prediction
from feilun.tasks import base as tasks
from helpers.rows import reviews

TEXTS = [text for text, _ in reviews(400, noise=0.0)]


def test_training_rows_are_not_new_and_other_texts_are() -> None:
    known = sketch(NGrams(14), TEXTS)
    seen, like, other = known.unseen([*TEXTS[:1], reviews(500)[-1][0], "ΩΨ кириллица ყველა"])
    assert seen == 0.0
    assert 0.0 <= like < 0.2
    assert other > 0.6


def test_no_rows_and_no_items() -> None:
    assert sketch(NGrams(10), []).unseen(["anything at all"]).tolist() == [1.0]
    assert len(sketch(NGrams(10), TEXTS).unseen([])) == 0


def picture(seed: int, hue: int) -> bytes:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 60, (24, 24, 3))
    pixels[..., hue] += 150
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_pictures() -> None:
    task = tasks.get("image-classification")
    features = task.features(task.Settings().model_dump())
    then = [picture(n, 0) for n in range(120)]
    known = sketch(features, then)
    same, other = known.unseen([picture(999, 0)])[0], known.unseen([picture(999, 2)])[0]
    assert same < other

    def side(items: list[bytes]) -> Side:
        labels = ["red"] * len(items)
        return Side(items, labels, np.linspace(0.5, 1, len(items)), known.unseen(items))

    calm = measure(features, side(then), side([picture(1000 + n, 0) for n in range(120)]))
    moved = measure(features, side(then), side([picture(1000 + n, 2) for n in range(120)]))
    assert calm is not None
    assert moved is not None
    assert not calm.signals[0].alarm
    assert moved.signals[0].alarm


def answer(number: int, margin: float, text: str, **more: object) -> Prediction:
    return Prediction(
        f"p{number}", 0, text, more.pop("output", {}), "bad", (1 + margin) / 2, margin, "r@1", "r"
    )  # type: ignore[arg-type]


def test_of_equal_doubt_the_new_and_the_frequent_come_first() -> None:
    rows = [
        answer(0, 0.3, "one thing that was asked for"),
        answer(1, 0.3, "something that is quite different"),
        *(answer(2 + n, 0.3, "what everybody wants to know of it") for n in range(5)),
    ]
    plain = [row.input for row in review_queue(rows)]
    assert plain[0] == "what everybody wants to know of it"
    queue = review_queue(
        rows[:2],
        novelty=lambda items: np.array(["different" in str(i) for i in items]) * 0.9 + 0.05,
    )
    assert queue[0].prediction_id == "p1"


def test_what_was_left_to_a_person_comes_before_all() -> None:
    rows = [
        answer(0, 0.01, "hardly known"),
        answer(1, 0.6, "left to you", output={"abstained": True}),
    ]
    assert [row.prediction_id for row in review_queue(rows)] == ["p1", "p0"]


def test_the_draw_is_by_lot_and_stays_until_it_is_done() -> None:
    rows = [answer(n, n / 1000, f"text number {n}") for n in range(1000)]
    margins = {row.place: row.margin for row in rows}
    drawn = audit_draw(margins, 100, set())
    assert drawn == audit_draw(reversed(list(margins)), 100, set())
    assert audit_draw(margins, 40, set(drawn[:60])) == drawn[60:]
    # by lot: as sure on average as all are
    assert abs(np.mean([margins[place] for place in drawn]) - 0.4995) < 0.1  # type: ignore[arg-type]


def test_drawn_answers_are_spread_through_the_queue() -> None:
    ranked = [answer(n, 0.1, f"ranked {n}") for n in range(100)]
    drawn = [answer(1000 + n, 0.9, f"drawn {n}") for n in range(10)]
    queue = weave(ranked, drawn, 100)
    places = [at for at, row in enumerate(queue) if row in drawn]
    assert places == list(range(9, 100, 10))
    assert [row.prediction_id for row in weave(ranked[:2], drawn[:1], 100)] == ["p0", "p1", "p1000"]
    both = weave(ranked[:3], [ranked[1]], 3)
    assert sorted(row.prediction_id for row in both) == ["p0", "p1", "p2"]
    assert weave([], [], 10) == []
