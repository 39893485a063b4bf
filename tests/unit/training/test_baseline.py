"""The cheap baseline is no straw man: what it must reach on real reviews and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.engines.linear import weigh
from feilun.modalities.image.arrays import PixelFeatures
from feilun.training import logistic
from helpers.jobs import job_for, train, write_dataset

Rows = list[tuple[str, str]]


def _reviews(folder: Path, lang: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Rows, Rows]:
    """Rows to train on and rows that are never seen: 4,000 and 1,000 English ones, 4,000 and 2,000
    Chinese ones, the latter without copies."""
    monkeypatch.setattr(reviews, "_TESTING", 2000)
    written = reviews.files(folder, lang)
    parts = []
    for file in (written.training, written.testing):
        with file.open(encoding="utf-8", newline="") as stream:
            parts.append([(r[written.text], r[written.label]) for r in csv.DictReader(stream)])
    return parts[0], parts[1]


def _accuracy(folder: Path, rows: Rows, unseen: Rows) -> float:
    """Of the linear baseline, by the way it is trained and served: three quarters of `rows`
    train."""
    labels = sorted({label for _, label in rows})
    data = write_dataset(folder / "data", labels=labels, rows=rows, settings={"feature_bits": 20})
    job = job_for("linear", data, folder)
    train(job)
    engine = open_engine(job.out)
    given = engine.raw([text for text, _ in unseen]).argmax(axis=1)
    engine.close()
    return float(
        np.mean([labels[one] == label for one, (_, label) in zip(given, unseen, strict=True)])
    )


def _all_train(rows: Rows) -> Rows:
    """`rows` such that those `write_dataset` trains on are all of them: its others are copies."""
    spread: Rows = []
    for number, row in enumerate(rows):
        spread.append(row)
        if number % 3 == 2:
            spread.append(row)
    return spread


@pytest.mark.slow
@pytest.mark.parametrize(("lang", "least"), [("en", 0.80), ("zh", 0.80)])
def test_it_reaches_eighty_on_real_reviews(
    tmp_path: Path, lang: str, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, unseen = _reviews(tmp_path, lang, monkeypatch)
    assert (len(rows), len(unseen)) == (4000, 1000 if lang == "en" else 2000)
    assert _accuracy(tmp_path, _all_train(rows), unseen) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("lang", "least"), [("en", 0.74), ("zh", 0.76)])
def test_a_quarter_of_the_rows_comes_near(
    tmp_path: Path, lang: str, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, unseen = _reviews(tmp_path, lang, monkeypatch)
    assert _accuracy(tmp_path, _all_train(rows[:1000]), unseen) >= least


def test_the_solver_does_not_stop_halfway() -> None:
    """At a tolerance of 1e-3 it did, and lost points on Chinese."""
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    rows = generator.normal(size=(600, 300)).astype(np.float32)
    truth = (rows[:, :40].sum(axis=1) + generator.normal(size=600) * 3 > 0).astype(np.int64)
    rows = weigh(rows, None)
    fitted = logistic.fit(rows, truth, 2, (rows[:0], truth[:0]), strengths=(10.0,))
    exact = LogisticRegression(C=10.0, tol=1e-8, max_iter=2000).fit(rows, truth)
    given = (rows @ fitted.coef.T + fitted.intercept).argmax(axis=1)
    assert (given == exact.predict(rows)).mean() > 0.99


def test_the_strength_is_chosen_without_the_validation_rows() -> None:
    """They compare stages later: a choice made on them would favour the one that it was made
    for."""
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(400, 30)).astype(np.float32)
    truth = (rows[:, 0] > 0).astype(np.int64)
    nothing = (rows[:0], truth[:0])
    misleading = (rows[:200], 1 - truth[:200])
    chosen = [logistic.fit(rows, truth, 2, hold).strength for hold in (nothing, misleading)]
    assert chosen[0] == chosen[1] > 1


@pytest.mark.slow
def test_pictures_are_judged_better_than_by_standardised_pixels() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = PixelFeatures().transform([_png(row) for row in digits.data])
    pixels = digits.data.astype(np.float32)
    pixels = (pixels - pixels.mean(axis=0)) / (pixels.std(axis=0) + 1e-6)
    reached = [_fitted(weigh(pictures, None), digits.target), _fitted(pixels, digits.target)]
    assert reached[0] >= 0.98
    assert reached[0] >= reached[1]


def _fitted(rows: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy on every other row after fitting the rest."""
    model = logistic.fit(rows[::2], truth[::2], 10, (rows[:0], truth[:0]))
    given: np.ndarray = (rows[1::2] @ model.coef.T + model.intercept).argmax(axis=1)
    return float((given == truth[1::2]).mean())


def _png(pixels: Sequence[float]) -> bytes:
    from PIL import Image

    grey = (np.asarray(pixels) * 15.9).clip(0, 255).astype(np.uint8).reshape(8, 8)
    written = io.BytesIO()
    Image.fromarray(grey).save(written, "PNG")
    return written.getvalue()
