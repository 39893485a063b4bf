"""Training rows judge, too: answered by models that had not seen them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.evaluation.evaluate import Folded
from feilun.evaluation.expectation import together
from feilun.evaluation.gate import decide
from feilun.evaluation.result import Comparison, Evaluation
from feilun.evaluation.verdict import headline
from feilun.families.base import Answers
from feilun.pipeline.steps._folded import folded
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.store.drawn import DRAWN
from feilun.training import out_of_fold
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Item, Schema, Split
from helpers.jobs import job_for, train, write_dataset
from helpers.judged import answers, flipped, judged
from helpers.linear import answered, linear_project
from helpers.rows import reviews

LABELS = ("good", "bad")


def _split(number: int) -> Split:
    return ("train", "train", "train", "test")[number % 4]  # type: ignore[return-value]


def _table(folder: Path, task: str, rows: list[tuple[Item, str]], labels: tuple[str, ...]) -> Path:
    columns = {"weight": "number", "colour": "category"}
    with DatasetWriter(folder, columns) as writer:
        for number, (item, label) in enumerate(rows):
            writer.add(Example(f"row-{number}", item, label, _split(number)))
        writer.close(
            Schema(task, labels, {"inputs": [[name, kind] for name, kind in columns.items()]})
        )
    return folder


def _learned(name: str, task: str, data: Path, folder: Path) -> tuple[Path, TrainJob]:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    settings = Dataset(data).schema.settings
    job = TrainJob(name, task, data, None, out, scratch, task_settings=settings, threads=1, seed=3)
    chosen = method(name)
    chosen.train(job, chosen.Settings(), lambda progress: None)
    return out, job


def test_a_wrong_label_is_not_known_by_heart(tmp_path: Path) -> None:
    """Fitted, a linear model of many features repeats what it was told; out of fold it cannot."""
    texts = [(f"{text} {number}", label) for number, (text, label) in enumerate(reviews(240))]
    turned = [(t, "bad" if label == "great" else "great") for t, label in texts[:24]]
    data = write_dataset(tmp_path / "data", rows=turned + texts[24:])
    job = job_for("linear", data, tmp_path, settings={"augment": "off"})
    train(job)
    found = out_of_fold.read(job.out)
    assert found is not None
    dataset = Dataset(data)
    ids, labels = dataset.row_ids("train"), dataset.labels("train")
    assert (found.keys == out_of_fold.keys_of(ids)).all()
    right = found.raw.argmax(axis=1) == labels
    wrong_label = np.array([int(row.split("-")[1]) < 24 for row in ids])
    assert right[wrong_label].mean() < 0.3
    assert right[~wrong_label].mean() > 0.85


def test_a_row_is_not_answered_by_what_learned_its_near_duplicate(tmp_path: Path) -> None:
    """Labels drawn by lot, each text twice: whoever meets the other copy knows the label."""
    draw = np.random.default_rng(0)
    with DatasetWriter(tmp_path / "data", {"text": "text"}) as writer:
        for number in range(120):
            text = " ".join(f"w{word}" for word in draw.integers(0, 5000, 12))
            label = LABELS[int(draw.integers(2))]
            for copy in range(2):
                row, group = f"row-{number}-{copy}", f"group-{number}"
                writer.add(Example(row, {"text": text}, label, "train", group))
        writer.close(Schema("text-classification", LABELS))
    out, _ = _learned("linear", "text-classification", tmp_path / "data", tmp_path)
    found = out_of_fold.read(out)
    assert found is not None
    right = found.raw.argmax(axis=1) == Dataset(tmp_path / "data").labels("train")
    assert right.mean() < 0.65


@pytest.mark.parametrize("kind", ["classes", "numbers", "tags"])
def test_groups_are_dealt_whole_and_labels_evenly(kind: str) -> None:
    groups = np.repeat(np.arange(60), 2)
    labels = groups % 2
    marks = np.stack([labels, 1 - labels], axis=1)
    targets = {"classes": labels, "numbers": labels * 1.5, "tags": marks}[kind]
    fold = out_of_fold.deal(targets, groups, seed=1)
    assert (fold[::2] == fold[1::2]).all()
    assert np.bincount(fold).tolist() == [40, 40, 40]
    if kind == "classes":
        assert all((labels[fold == number] == 0).sum() == 20 for number in range(3))
    assert (fold != out_of_fold.deal(targets, groups, seed=2)).any()


def test_copies_are_answered_by_none_that_learned_from_their_originals(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 240)
    job = job_for("linear", data, tmp_path, settings={"augment": ("typo",)})
    train(job)
    found = out_of_fold.read(job.out)
    assert found is not None
    assert len(found.keys) == Dataset(data).size("train"), "originals alone"


@pytest.mark.parametrize("name", ["linear", "trees"])
def test_numbers_and_classes_of_tables(tmp_path: Path, name: str) -> None:
    draw = np.random.default_rng(5)
    items: list[Item] = [
        {"weight": float(draw.normal()), "colour": str(draw.choice(["red", "blue"]))}
        for _ in range(320)
    ]
    price = [3 * one["weight"] + (2 if one["colour"] == "red" else 0) for one in items]  # type: ignore[index,operator]
    noise = draw.normal(0, 0.3, len(price))
    numbers = [repr(round(float(p + e), 3)) for p, e in zip(price, noise, strict=True)]
    words = ["dear" if p > 1 else "cheap" for p in price]
    rows = list(zip(items, numbers, strict=True))
    data = _table(tmp_path / "numbers", "tabular-regression", rows, ())
    out, _ = _learned(name, "tabular-regression", data, tmp_path / "n")
    found = out_of_fold.read(out)
    assert found is not None
    truth = np.array([float(one) for one in Dataset(data).values("label", "train")])
    assert found.raw.shape == (len(truth), 1)
    assert np.corrcoef(found.raw[:, 0], truth)[0, 1] > 0.9
    assert np.abs(found.raw[:, 0] - truth).mean() > 0.2, "the noise cannot be foreseen"
    rows = list(zip(items, words, strict=True))
    data = _table(tmp_path / "words", "tabular-classification", rows, ("cheap", "dear"))
    out, _ = _learned(name, "tabular-classification", data, tmp_path / "w")
    found = out_of_fold.read(out)
    assert found is not None
    labels = Dataset(data).labels("train")
    assert (found.raw.argmax(axis=1) == labels).mean() > 0.85


def test_nothing_is_kept_of_what_is_not_known(tmp_path: Path) -> None:
    out_of_fold.keep(tmp_path, None, np.zeros((3, 2)))
    out_of_fold.keep(tmp_path, ["a"], None)
    assert out_of_fold.read(tmp_path) is None
    (tmp_path / out_of_fold.FILE).write_bytes(b"torn")
    assert out_of_fold.read(tmp_path) is None
    with pytest.raises(ValueError, match="1 ids for 3 rows"):
        out_of_fold.keep(tmp_path, ["a"], np.zeros((3, 2)))


def test_two_measurements_weigh_by_their_precision_and_less_where_they_disagree() -> None:
    gain, error = together((0.02, 0.02), (0.01, 0.01))
    assert gain == pytest.approx(0.012)
    assert error < 0.01
    # Far apart, what the test rows say counts more than its precision alone would give it.
    far, its = together((-0.06, 0.02), (0.02, 0.005))
    pooled = (-0.06 / 0.02**2 + 0.02 / 0.005**2) / (1 / 0.02**2 + 1 / 0.005**2)
    assert -0.06 < far < -0.05 < pooled
    assert error < its < 0.02


def _with_folds(test: tuple[range, range], folds: tuple[range, range], **more: Any) -> Evaluation:
    """The rows that the candidate and the live version have wrong, of 100 test rows and of 2,000
    training rows."""
    truth, learned = np.arange(100) % 2, np.arange(2000) % 2
    beside = Folded(
        answers(LABELS, flipped(learned, folds[0], 2)),
        answers(LABELS, flipped(learned, folds[1], 2), name="reviews@1"),
        learned,
    )
    return judged(
        LABELS,
        truth,
        answers(LABELS, flipped(truth, test[0], 2)),
        {"live": answers(LABELS, flipped(truth, test[1], 2), name="reviews@1")},
        folded={"live": beside},
        **more,
    )


def _live(found: Evaluation) -> Comparison:
    live = found.against("live")
    assert live is not None
    return live


def test_what_few_test_rows_cannot_tell_the_folds_decide() -> None:
    worse = _with_folds((range(10), range(2, 13)), (range(400), range(50, 390)))
    live = _live(worse)
    assert live.known.value == pytest.approx(0.01)
    assert live.fold_rows == 2000
    decision = decide(worse)
    assert not decision.promote, "a point better on the test rows, by luck"
    better = _with_folds((range(10), range(3, 14)), (range(300), range(50, 390)))
    decision = decide(better)
    assert (decision.promote, decision.verdict) == (True, "better")
    assert _live(better).known.low < 0 < _live(better).evidence.low
    lines = " ".join(decision.sentences("en"))
    assert "100 test rows and 2,000 training rows, which both answered out of fold" in lines
    assert "交叉拟合" in " ".join(decision.sentences("zh"))
    assert "better" in headline(better, decision, "en")
    again = Evaluation.from_json(better.to_json())
    assert decide(again) == decision


def test_folds_do_not_speak_for_rows_of_another_kind() -> None:
    """On the test rows, where customers ask otherwise, it loses for certain."""
    found = _with_folds((range(40), range(20)), (range(360), range(390)))
    assert not decide(found).promote


def test_corrections_do_not_judge(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=160) as project:
        project.run(method="linear")
        context = project.scope.context()
        catalog = context.store.catalog
        first = catalog.model_version("reviews@1")
        data = catalog.latest_data(project.name)
        assert data is not None
        project.train(method="linear")  # the same recipe on the same rows
        second = catalog.model_versions(project.name)[-1]
        point = answers(("bad", "great"), [0]).point

        def like(name: str) -> Answers:
            labels = context.dataset(data).schema.labels
            return Answers(name, "linear", labels, np.zeros((1, 2)), point)

        found = folded(context, data, (second, like(second.id)), (first, like(first.id)))
        assert found is not None
        assert len(found.truth) == data.counts["train"]["great"] + data.counts["train"]["bad"]
        assert (found.candidate.raw.argmax(axis=1) == found.truth).mean() > 0.7


@pytest.mark.slow
def test_drawn_answers_judge_once_and_train_then(tmp_path: Path) -> None:
    """And an update that learned corrections is not held against what it unlearned by them."""
    with linear_project(tmp_path, rows=160) as project:
        project.run(method="linear")
        context = project.scope.context()
        catalog = context.store.catalog
        first = catalog.model_version("reviews@1")
        seen: list[set[str]] = []
        for seed in (5, 6):
            truth = dict(answered(project, 60, seed))
            for drawn in project.review(24, drawn_only=True):
                drawn.label(truth[drawn.prediction.prediction_id])
            for item in project.review(60):
                item.label(truth[item.prediction.prediction_id])
            turned = project.update(overrides={"update.min_corrections": 3})
            data = catalog.latest_data(project.name)
            assert data is not None
            rows = context.dataset(data)
            judges = zip(rows.row_ids("test"), rows.values("source", "test"), strict=True)
            seen.append({row for row, source in judges if source == DRAWN})
        assert len(seen[0]) > 20
        assert len(seen[1]) > 20
        assert not seen[0] & seen[1]
        learned = rows.row_ids("train")
        assert seen[0] <= set(learned)
        assert seen[0] <= set(data.info["new_ids"])
        assert data.info["released"] == len(seen[0])
        updated = catalog.model_versions(project.name)[-1]
        assert updated.data_version == data.id
        labels = rows.schema.labels
        like = [Answers(one.id, "linear", labels, np.zeros((1, 2))) for one in (updated, first)]
        assert folded(context, data, (updated, like[0]), (first, like[1])) is None
        said = " ".join([*turned.notes, *turned.stages[0].reasons])
        assert f"{len(seen[1])} of these rows were drawn from what customers ask now" in said
