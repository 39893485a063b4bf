"""Copies: seeded, balanced, never judges of themselves; kept where they surely help."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feilun.errors import UsageError
from feilun.families.classes import CLASSES
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.training import augment, augment_trial, checkpoints, logistic
from feilun.training.job import TrainJob
from feilun.training.methods import full, linear
from feilun.training.rows import Rows, all_rows
from feilun.types import Example, Schema
from helpers.jobs import job_for, train, write_dataset

TEXTS = Rows([f"wonderful text number {n}" for n in range(30)], np.array([0] * 24 + [1] * 6))


def found(tmp_path: Path, what: object = ("typo",), share: float = 1.0) -> augment.Added:
    job = job_for("linear", tmp_path / "nothing", tmp_path)
    added = augment.added(job, what, share, TEXTS)  # type: ignore[arg-type]
    assert added is not None
    return added


def test_copies_are_the_same_whoever_asks_and_in_what_order(tmp_path: Path) -> None:
    first, second = found(tmp_path / "a"), found(tmp_path / "b")
    backwards = [second.more.items[n] for n in reversed(range(len(second.more)))]
    assert first.more.items[:] == backwards[::-1]
    assert first.more.items[:30] == list(TEXTS.items)
    assert first.more.items[-1] == first.more.items[len(first.more) - 1]
    for place in range(30, len(first.more)):
        original = TEXTS.items[first.origins[place]]
        assert first.more.items[place] != original
        assert first.more.labels[place] == TEXTS.labels[first.origins[place]]


def test_rare_labels_get_more_copies_but_not_any_number(tmp_path: Path) -> None:
    added = found(tmp_path)
    counts = np.bincount(added.more.labels)
    assert counts.tolist() == [30, 30], "6 more of the common label, 24 of the rare one"
    places = augment.copies(np.array([0] * 100 + [1] * 2), 1.0, 0)
    assert np.bincount(places, minlength=102)[100:].tolist() == [4, 4]
    assert abs(len(augment.copies(np.arange(90) % 3, 0.5, 0)) - 45) <= 3


def test_labels_keep_their_weight(tmp_path: Path) -> None:
    """Copies of a rare label make it better known, not more expected."""
    added = found(tmp_path)
    weights = CLASSES.weights(added.more.labels, "ab", "none", added.rows.labels)
    assert weights is not None
    total = np.bincount(added.more.labels) * weights
    assert total / total.sum() == pytest.approx([0.8, 0.2])
    balanced = CLASSES.weights(added.more.labels, "ab", "balanced", added.rows.labels)
    assert balanced is not None
    assert (np.bincount(added.more.labels) * balanced).tolist() == [30, 30]
    assert CLASSES.weights(TEXTS.labels, "ab", "none", TEXTS.labels) is None


def test_auto_leaves_many_rows_and_updates_alone(tmp_path: Path) -> None:
    job = job_for("linear", tmp_path / "nothing", tmp_path)
    many = Rows(["x"] * (augment.FEW + 1), np.zeros(augment.FEW + 1, np.int64))
    assert augment.added(job, "auto", 1.0, many) is None
    assert augment.added(job, "off", 1.0, TEXTS) is None
    assert augment.added(job, "auto", 1.0, TEXTS) is not None
    update = job_for("full", tmp_path / "nothing", tmp_path / "u", previous=tmp_path)
    assert augment.added(update, "auto", 1.0, TEXTS) is None


def test_an_unknown_change_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    job = job_for("linear", data, tmp_path, settings={"augment": ["blur"]})
    with pytest.raises(UsageError) as caught:
        augment.counted(job, ("blur",), 1.0, 100)
    assert caught.value.code == "augment.unknown"
    assert "typo" in str(caught.value)
    with pytest.raises(UsageError):
        train(job)


def test_the_fit_check_counts_copies(tmp_path: Path) -> None:
    job = job_for("linear", tmp_path / "nothing", tmp_path)
    assert augment.counted(job, "off", 1.0, 500) == 500
    assert augment.counted(job, "auto", 1.0, 500) == 1000
    assert augment.counted(job, ("typo",), 2.0, 500) == 1500
    assert augment.counted(job, "auto", 1.0, augment.FEW + 1) == augment.FEW + 1


def test_copies_never_judge_nor_learn_beside_their_original(tmp_path: Path) -> None:
    """Rows of pure chance, each with three exact copies: had a copy learned in the fold of its
    original's judges, nearly all would be right."""
    draw = np.random.default_rng(0)
    rows, labels = draw.normal(size=(120, 40)).astype(np.float32), draw.integers(0, 2, 120)
    places = np.tile(np.arange(120), 3)
    origins = np.concatenate([np.arange(120), places])
    fitted = logistic.fit(
        np.concatenate([rows, rows[places]]),
        np.concatenate([labels, labels[places]]),
        2,
        (rows[:0], labels[:0]),
        origins=origins,
    )
    assert fitted.right is not None
    assert len(fitted.right) == 120
    assert fitted.right.mean() < 0.7


def pictures(folder: Path, count: int) -> Path:
    """Strokes that lean left or right, at any place, in any strength: turning and cutting them
    shows a learner what does not matter."""
    draw = np.random.default_rng(0)
    with DatasetWriter(folder, {"image": "image"}) as writer:
        for number in range(count * 2):
            label = number % 2
            pixels = np.zeros((16, 16), np.float32)
            start = draw.integers(2, 8)
            for step in range(8):
                pixels[4 + step, start + (step if label else 7 - step) // 2] = draw.uniform(60, 255)
            pixels += draw.uniform(0, 90, pixels.shape)
            written = io.BytesIO()
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(written, "PNG")
            split = "train" if number < count else "test"
            name = ("left", "right")[label]
            writer.add(Example(f"{number}", written.getvalue(), name, split))  # type: ignore[arg-type]
        writer.close(Schema("image-classification", ("left", "right"), {}))
    return folder


def image_job(data: Path, folder: Path) -> TrainJob:
    job = job_for("full", data, folder, base="scratch:resnet")
    return replace(job, task="image-classification")


def test_what_does_not_help_is_dropped_and_said(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 400)
    plain = job_for("linear", data, tmp_path / "off", settings={"augment": "off"})
    tried = job_for("linear", data, tmp_path / "auto")
    assert train(plain).notes == ()
    result = train(tried)
    assert result.figures["rows"] == 300
    assert "augmentation dropped" in result.notes[0]
    weights = "weights.safetensors"
    assert (plain.out / weights).read_bytes() == (tried.out / weights).read_bytes()


def test_what_is_asked_for_by_name_is_learned_from(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 400)
    job = job_for("linear", data, tmp_path, settings={"augment": ["typo", "words"]})
    result = train(job)
    assert 500 < result.figures["rows"] <= 602
    assert "as the settings ask (typing slips, lost words)" in result.notes[0]


def test_a_sure_gain_is_kept() -> None:
    def fitted(losses: np.ndarray, right: int) -> logistic.Fitted:
        hits = np.arange(len(losses)) < right
        return logistic.Fitted(np.zeros(0), np.zeros(0), 1.0, float(losses.mean()), losses, hits)

    losses = np.random.default_rng(0).uniform(0.2, 0.8, 200)
    plain = fitted(losses, 150)
    assert augment.helps(plain, fitted(losses - 0.05, 150))
    assert not augment.helps(plain, fitted(losses - 0.05, 149)), "fewer are right"
    shaken = losses + np.random.default_rng(1).normal(0, 0.5, 200)
    assert not augment.helps(plain, fitted(shaken - shaken.mean() + 0.499, 160)), "may be luck"
    assert not augment.helps(plain, logistic.Fitted(np.zeros(0), np.zeros(0), 1.0, 0.0))


def test_the_linear_baseline_answers_for_dear_trainings_and_the_answer_outlives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures(tmp_path / "data", 120)
    dataset = Dataset(data)
    job = image_job(data, tmp_path)
    checkpoints.claim(job)
    settings = full.Settings(augment_share=2.0)
    first = augment_trial.decided(job, settings, all_rows(dataset), dataset.schema)
    assert len(first.notes) == 1
    asked = []
    monkeypatch.setattr(augment_trial, "_trial", lambda *given: asked.append(given))
    again = augment_trial.decided(job, settings, all_rows(dataset), dataset.schema)
    assert again.notes == first.notes
    assert (again.added is None) == (first.added is None)
    assert not asked
    named = full.Settings(augment=("rotation",))
    monkeypatch.undo()
    other = image_job(data, tmp_path / "n")
    checkpoints.claim(other)
    forced = augment_trial.decided(other, named, all_rows(dataset), dataset.schema)
    assert forced.added is not None
    assert len(forced.added.more) == 240


def test_settings_refuse_what_is_neither() -> None:
    assert linear.Settings(augment="off").augment == "off"
    assert linear.Settings(augment=["typo"]).augment == ("typo",)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="augment"):
        linear.Settings(augment="sometimes")  # type: ignore[arg-type]
