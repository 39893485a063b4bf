"""Answers drawn at random train at once where they are answered out of fold, and judge all the
same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.engines.cascade import Level, write_cascade
from feilun.families.base import Answers
from feilun.pipeline.context import Context
from feilun.pipeline.steps._drawn import answered_out_of_fold, part_out_of_fold, unanswered
from feilun.pipeline.steps._judged import judged_rows
from feilun.project import Project
from feilun.project.results import Turned
from feilun.store.drawn import DRAWN, Released
from feilun.store.records import ModelVersion
from feilun.training import out_of_fold
from helpers.linear import answered, linear_project
from helpers.rows import reviews

DRAW = 60


def _updated(project: Project, **overrides: object) -> tuple[Context, ModelVersion, Turned]:
    """An update on answers whose labels were drawn by lot: whoever is right on them knows them by
    heart."""
    project.run(method="linear")
    lot = random.Random(4)
    words = [f"w{number} x{number} {text}" for number, (text, _) in enumerate(reviews(2 * DRAW, 5))]
    answered(project, 2 * DRAW, rows=[(text, "") for text in words])
    for drawn in project.review(DRAW, drawn_only=True):
        drawn.label(lot.choice(("bad", "great")))
    for doubtful in project.review(20):
        doubtful.label("great")
    turned = project.update(
        overrides={"update.min_corrections": 3, "training.linear.min_rows": 1, **overrides}
    )
    context = project.scope.context()
    return context, context.store.catalog.model_versions(project.name)[-1], turned


@pytest.fixture(scope="module")
def updated(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Project, Context, ModelVersion, Turned]]:
    with linear_project(tmp_path_factory.mktemp("drawn"), rows=160) as project:
        yield project, *_updated(project)


def _drawn(context: Context, model: ModelVersion) -> tuple[Released, list[str]]:
    data = Released(context.store.artifacts.path(context.data_of(model).artifact))
    return data, list(data.released)


def test_they_train(updated: tuple[Project, Context, ModelVersion, Turned]) -> None:
    _, context, model, turned = updated
    data, ids = _drawn(context, model)
    assert len(ids) > DRAW // 2
    kept = out_of_fold.read(context.folder(model, ""))
    assert kept is not None
    assert set(out_of_fold.keys_of(ids).tolist()) <= set(kept.keys.tolist())
    assert len(kept.keys) == len(data.row_ids("train"))
    learned = [row for row, one in zip(*_columns(data), strict=True) if one == DRAWN]
    assert sorted(learned) == sorted(ids)
    assert any(f"{len(ids)} answers drawn at random train as well" in one for one in turned.notes)


def _columns(data: Released) -> tuple[list[str], list[str]]:
    return data.row_ids("train"), data.values("source", "train")


def test_they_judge_by_what_had_not_seen_them(
    updated: tuple[Project, Context, ModelVersion, Turned],
) -> None:
    """The version itself repeats many of the labels drawn by lot; what judges cannot."""
    project, context, model, turned = updated
    data, ids = _drawn(context, model)
    judges = judged_rows(context, context.data_of(model), [model])
    rows = judges.row_ids("test")
    assert set(ids) <= set(rows)
    assert judges.left_out == 0
    plan = context.store.catalog.run(turned.run).plan
    assert plan["tells"]["rows"] == len(rows), "the plan counts them, too"
    folder = context.folder(model)
    engine = open_engine(folder)
    raw, point = engine.raw(judges.items("test")), engine.card.point
    engine.close()
    direct = Answers(model.id, model.method, data.schema.labels, raw, point)
    honest = answered_out_of_fold(context, model, direct, rows)
    truth = np.array([data.schema.labels.index(one) for one in judges.values("label", "test")])
    lot = np.isin(rows, ids)
    assert (direct.raw[~lot] == honest.raw[~lot]).all()
    right = [(one.raw.argmax(axis=1) == truth)[lot].mean() for one in (direct, honest)]
    assert right[0] > right[1] + 0.2
    assert abs(right[1] - 0.5) < 0.2
    score = project.evaluate(model.id)
    assert score.rows == len(rows)
    accuracy = score.metrics["accuracy"]
    assert accuracy is not None
    assert accuracy["value"] == pytest.approx((honest.raw.argmax(axis=1) == truth).mean())
    said = " ".join(turned.stages[0].reasons)
    assert f"{len(ids)} of these rows were drawn from what customers ask now" in said


def test_a_part_of_it_answers_them_out_of_fold(
    updated: tuple[Project, Context, ModelVersion, Turned], tmp_path: Path
) -> None:
    """What columns of one kind add is judged on them, too: a part keeps such answers by itself."""
    _, context, model, _ = updated
    _, ids = _drawn(context, model)
    labels = context.dataset(context.data_of(model)).schema.labels
    asked = Answers("part", model.method, labels, np.zeros((len(ids) + 1, 2), np.float32), {})
    rows = [*ids, "another row"]
    honest = part_out_of_fold(context, model, context.folder(model, ""), asked, rows)
    assert honest is not None
    assert (honest.raw == answered_out_of_fold(context, model, asked, rows).raw).all()
    assert honest.raw[:-1].any(axis=1).all()
    assert not honest.raw[-1].any()
    out_of_fold.keep(tmp_path, ids[1:], np.zeros((len(ids) - 1, 2)))
    assert part_out_of_fold(context, model, tmp_path, asked, rows) is None, "one was not answered"
    assert part_out_of_fold(context, model, tmp_path, asked, rows[1:]) is not None
    plain = replace(model, config={**model.config, "drawn": False})
    assert part_out_of_fold(context, plain, tmp_path, asked, rows) is asked


def test_a_cascade_answers_them_by_its_stages(
    updated: tuple[Project, Context, ModelVersion, Turned],
) -> None:
    """A stage of before has not learned them and answers itself; the last one out of fold."""
    _, context, model, _ = updated
    catalog, artifacts = context.store.catalog, context.store.artifacts
    first = catalog.model_version("reviews@1")
    data, ids = _drawn(context, model)
    items = dict(zip(data.row_ids("train"), data.items("train"), strict=True))
    engine = open_engine(context.folder(first))
    scores = np.array([one["score"] for one in engine.predict([items[row] for row in ids])])
    own, card = engine.raw([items[row] for row in ids]), engine.card
    engine.close()
    middle = _between(scores)
    folder = artifacts.new()
    stages = [
        (Level("first", version=first.id, point=card.point), context.folder(first)),
        (Level("second"), context.folder(model)),
    ]
    write_cascade(folder / "version", stages, [middle])
    made = context.store.publish(folder / "version", "variant").ref
    both = replace(model, variant="cascade", variants={"cascade": {"artifact": made}})
    assert unanswered(context, both) == set()
    unknown = np.full((len(ids), len(data.schema.labels)), np.nan)
    asked = Answers(model.id, model.method, data.schema.labels, unknown, card.point)
    plain, mixed = (answered_out_of_fold(context, one, asked, ids).raw for one in (model, both))
    assert not np.isnan(plain).any()
    assert not np.isnan(mixed).any()
    sure = scores >= middle
    assert 0 < sure.sum() < len(sure)
    first_says, second_says = own.argmax(axis=1), plain.argmax(axis=1)
    found = mixed.argmax(axis=1)
    assert (found == np.where(sure, first_says, second_says)).all()


def _between(scores: np.ndarray) -> float:
    """In the widest gap of the middle half."""
    inner = np.sort(scores)[len(scores) // 4 : -len(scores) // 4]
    at = int(np.diff(inner).argmax())
    return float(inner[at : at + 2].mean())


def test_what_keeps_no_answers_out_of_fold_does_not_learn_them(tmp_path: Path) -> None:
    with linear_project(tmp_path, rows=160) as project:
        context, model, turned = _updated(project, **{"training.linear.bag": 2})
        _, ids = _drawn(context, model)
        assert model.config["drawn"] is False
        assert out_of_fold.read(context.folder(model, "")) is None
        assert set(ids) <= set(
            judged_rows(context, context.data_of(model), [model]).row_ids("test")
        )
        assert model.metrics["training"]["rows"] < len(_columns(_drawn(context, model)[0])[0])
        assert not any("train as well" in one for one in turned.notes)
