"""Drift: silence on equal data of any size, an alarm on a planted shift, its rows named."""

from __future__ import annotations

import random

import numpy as np
import pytest

from feilun.feedback.drift import SIGNALS, Drift, Side, measure
from feilun.feedback.drift.measure import RISK, allowed
from feilun.feedback.novelty import sketch
from feilun.modalities.text.ngrams import NGrams
from helpers.rows import reviews

FEATURES = NGrams(14)
POOL = [text for text, _ in reviews(6000, seed=1, noise=0.0)]


def side(texts: list[str], seed: int, seen: list[str], *, answers: list[str] | None = None) -> Side:
    """What a model would answer: labels and scores that depend on nothing but the text's length."""
    answered = texts if answers is None else answers
    draw = np.random.default_rng(seed)
    labels = [("bad", "great")[len(text) % 2] for text in answered]
    scores = 0.5 + 0.5 * draw.random(len(answered))
    return Side(texts, labels, scores, sketch(FEATURES, seen).unseen(answered))


def look(
    now: list[str], then: list[str], seed: int = 0, judged: int = 300, **more: object
) -> Drift:
    train, test = then[:-judged], then[-judged:]
    found = measure(
        FEATURES,
        side(train, seed, train, answers=test),
        side(now, seed + 1, train),
        places=[(f"p{n}", 0) for n in range(len(now))],
        seed=seed,
        **more,  # type: ignore[arg-type]
    )
    assert found is not None
    return found


@pytest.mark.slow
def test_rows_of_the_same_source_alarm_no_more_often_than_is_said() -> None:
    """40 draws of four sizes, each the first look: .006 false alarms each are allowed, .24 in all.
    More than two would happen by chance once in 500 such tests."""
    alarms, chances = 0, []
    for size in (60, 200, 800, 2400):
        for seed in range(10):
            rows = random.Random(seed * 7919 + size).sample(POOL, 900 + size)
            found = look(rows[:size], rows[size:], seed)
            alarms += found.alarm
            chances += [signal.chance for signal in found.signals]
    assert alarms <= 2
    assert len(chances) == 40 * len(SIGNALS)
    small = np.mean(np.array(chances) < 0.1)
    assert small < 0.2  # nor are the chances smaller than they say


@pytest.mark.parametrize("size", [60, 600, 3000])
def test_no_alarm_on_the_very_same_rows(size: int) -> None:
    for seed in range(4):
        train, test = POOL[:size], POOL[size : 2 * size]
        one = side(train, seed, train, answers=test)
        found = measure(FEATURES, one, one, seed=seed)
        assert found is not None
        assert not found.alarm
        assert found.signals[0].value <= 0.55


def shifted(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    parts = ["battery", "charger", "screen", "headphones", "cable", "adapter", "display"]
    return [
        f"the {draw.choice(parts)} {draw.choice(parts)} failed after {n} days" for n in range(count)
    ]


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_an_alarm_on_a_planted_shift_with_the_rows_that_show_it(share: float) -> None:
    rows = random.Random(3).sample(POOL, 1400)
    new = shifted(int(400 * share), 5)
    now = [*new, *rows[: 400 - len(new)]]
    found = look(now, rows[400:])
    by_name = {signal.name: signal for signal in found.signals}
    assert by_name["inputs"].alarm
    assert by_name["unseen"].alarm
    assert {int(row.prediction_id[1:]) for row in found.rows} <= set(range(len(new)))
    assert found == Drift.from_json(found.to_json())
    assert found == look(now, rows[400:])


def test_answers_and_scores_that_move_while_inputs_stay() -> None:
    rows = random.Random(4).sample(POOL, 1600)
    then = side(rows[:800], 0, rows[:800], answers=rows[800:1200])
    now = side(rows[1200:], 1, rows[:800])
    moved = Side(now.items, ["bad"] * len(now.labels), now.scores * 0.8, now.unseen)
    found = measure(FEATURES, then, moved)
    assert found is not None
    assert [signal.name for signal in found.signals if signal.alarm] == ["answers", "confidence"]
    assert found.shares["bad"][1] == 1.0


def test_too_few_rows_say_nothing() -> None:
    then = side(POOL[:300], 0, POOL[:300])
    assert measure(FEATURES, then, side(POOL[300:340], 1, POOL[:300])) is None


def test_all_looks_together_take_no_more_than_the_risk() -> None:
    assert sum(allowed(look) for look in range(1, 100_000)) == pytest.approx(RISK, rel=1e-3)
    rows = random.Random(3).sample(POOL, 1400)
    assert look(rows[:400], rows[400:], look=9).risk == allowed(9)
