"""A cheap model answers what it is sure of, a dearer one the rest: engine, thresholds, variant."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feilun import Workspace, messages
from feilun.compression import cascade
from feilun.compression.cascade import Stage
from feilun.config import ProjectConfig
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.engines.cascade import CascadeEngine, Level, mixed, stages_of, write_cascade
from feilun.engines.explain import explain
from feilun.errors import CorruptArtifact
from feilun.families.classes import CLASSES
from feilun.families.tags import TAGS
from feilun.messages import LANGUAGES
from feilun.messages.sentences import from_kept, said_again, to_kept
from feilun.project import explored
from feilun.project.project import Project
from feilun.render.wording import metric_name
from feilun.table import to_jsonable
from feilun.types import Chunk, EngineRequest
from helpers.bert import write_bert
from helpers.rows import write_reviews
from helpers.tiny import LABELS, head_version, linear_version, schema, texts

ITEMS = [text for text in texts(150, seed=3) if text]
CONFIG = ProjectConfig.model_validate({"project": {"name": "any", "task": "text-classification"}})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A linear version and one with an encoder, at different temperatures."""
    folder = tmp_path_factory.mktemp("parts")
    linear, head = linear_version(folder / "linear"), head_version(folder / "head")
    for one, temperature in ((linear, 4.0), (head, 0.5)):
        write_card(one, replace(read_card(one), point={"temperature": temperature}))
    return linear, head


@pytest.fixture(scope="module")
def engine(
    parts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CascadeEngine]:
    folder = tmp_path_factory.mktemp("cascade") / "version"
    write_cascade(folder, [("linear", parts[0]), ("head", parts[1])], [_middle(parts[0])])
    opened = open_engine(folder, threads=1)
    assert isinstance(opened, CascadeEngine)
    yield opened
    opened.close()


def _middle(folder: Path) -> float:
    """How sure the version is of half of the items."""
    alone = open_engine(folder)
    return float(np.median([one["score"] for one in alone.predict(ITEMS)]))


def _submitted(engine: CascadeEngine, request: EngineRequest) -> Chunk:
    async def main() -> Chunk:
        (chunk,) = [chunk async for chunk in engine.submit(request)]
        return chunk

    return asyncio.run(main())


def test_each_stage_answers_what_it_is_sure_of(
    engine: CascadeEngine, parts: tuple[Path, Path]
) -> None:
    linear, head = (open_engine(one, threads=1) for one in parts)
    first, second = (one.predict(ITEMS, all_scores=True) for one in (linear, head))
    routes = engine.routes(ITEMS)
    assert 0.3 < routes.mean() < 0.7
    assert (routes == 1).tolist() == engine.passes(ITEMS).tolist()
    wanted = [
        pair[place] for place, pair in zip(routes, zip(first, second, strict=True), strict=True)
    ]
    decoded = CLASSES.decoder(engine.card.schema, engine.card.point)(engine.raw(ITEMS), True)
    for got in (engine.predict(ITEMS, all_scores=True), decoded):
        for one, other in zip(got, wanted, strict=True):
            assert CLASSES.differ(one, other).size < 1e-5
    raw, given = mixed(
        engine.card,
        engine.levels,
        engine.card.extra["thresholds"],
        [linear.raw(ITEMS), head.raw(ITEMS)],
    )
    assert given.tolist() == routes.tolist()
    assert np.allclose(raw, engine.raw(ITEMS), atol=1e-4)
    head.close()


def test_calls_count_what_answered(engine: CascadeEngine, parts: tuple[Path, Path]) -> None:
    chunk = _submitted(engine, EngineRequest(ITEMS, all_scores=True))
    routes = engine.routes(ITEMS)
    for got, wanted in zip(chunk.outputs, engine.predict(ITEMS, all_scores=True), strict=True):
        assert CLASSES.differ(got, wanted).size < 1e-3
    assert chunk.usage is not None
    passed = int(routes.sum())
    assert chunk.usage.inputs == len(ITEMS)
    assert chunk.usage.units == {"answers_linear": len(ITEMS) - passed, "answers_head": passed}
    alone = open_engine(parts[1], threads=1)
    dear = _submitted(alone, EngineRequest([ITEMS[row] for row in np.flatnonzero(routes)]))  # type: ignore[arg-type]
    alone.close()
    assert dear.usage is not None
    assert chunk.usage.tokens == dear.usage.tokens > 0  # those of the encoder's answers alone
    assert chunk.costs is not None
    assert sum(np.array(chunk.costs)[routes == 1]) == dear.usage.tokens


def test_vectors_come_from_the_stage_that_has_them(engine: CascadeEngine) -> None:
    chunk = _submitted(engine, EngineRequest(ITEMS[:4], vectors=True))
    assert all(len(one["vector"]) == 32 for one in chunk.outputs)


def test_an_answer_is_explained_by_the_stage_that_gave_it(engine: CascadeEngine) -> None:
    routes = engine.routes(ITEMS)
    found = [explain(engine, ITEMS[int(np.flatnonzero(routes == place)[0])]) for place in (0, 1)]
    assert [one.method for one in found if one] == ["exact", "occlusion"]


def test_the_nearest_to_a_switch_lie_on_both_sides(engine: CascadeEngine) -> None:
    near = engine.nearest(ITEMS, 3)
    assert sorted(engine.routes(ITEMS)[near].tolist()) == [0, 0, 0, 1, 1, 1]


def test_what_is_drawn_goes_to_the_last(parts: tuple[Path, Path], tmp_path: Path) -> None:
    write_cascade(tmp_path / "all", [("linear", parts[0]), ("head", parts[1])], [0.0], drawn=1.0)
    write_cascade(tmp_path / "none", [("linear", parts[0]), ("head", parts[1])], [0.0])
    every, none = (open_engine(tmp_path / name, threads=1) for name in ("all", "none"))
    assert isinstance(every, CascadeEngine)
    assert isinstance(none, CascadeEngine)
    assert every.routes(ITEMS).min() == 1
    assert none.routes(ITEMS).max() == 0
    assert np.abs(every.raw(ITEMS[:9]) - none.raw(ITEMS[:9])).max() > 0.1
    every.close()
    none.close()


def test_a_card_whose_thresholds_do_not_fit_is_refused(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "version"
    card = write_cascade(folder, [("linear", parts[0]), ("head", parts[1])], [0.5])
    shutil.rmtree(stages_of(folder)[1])
    with pytest.raises(CorruptArtifact):
        open_engine(folder)
    write_card(folder, replace(card, extra={**card.extra, "thresholds": []}))
    with pytest.raises(CorruptArtifact):
        open_engine(folder)


# Thresholds.


def _models(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and the logits of a cheap and a dear model: the cheap one knows how sure it may be,
    the dear one is right in nine of ten rows, whatever the row."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, rows)
    chance = draw.uniform(0.5, 1.0, rows)
    right = draw.random(rows) < chance
    margin = np.log(chance / (1 - chance + 1e-9))
    cheap = np.where((truth == 1) == right, margin, -margin)
    dear = np.where((truth == 1) == (draw.random(rows) < 0.9), 2.2, -2.2)
    logits = [np.stack([-one / 2, one / 2], axis=1).astype(np.float32) for one in (cheap, dear)]
    return truth, logits[0], logits[1]


@pytest.mark.slow
def test_the_switch_keeps_the_accuracy_asked_for() -> None:
    truth, cheap, dear = _models(1000)
    sure = 1 / (1 + np.exp(-np.abs(cheap[:, 1] - cheap[:, 0])))
    args = (CLASSES, "accuracy", truth, LABELS, sure, cheap, dear)
    free = cascade.switch(*args, 0.0, proven=False)
    paid = cascade.switch(*args, 0.03, proven=False)
    proven = cascade.switch(*args, 0.03)
    assert free is not None
    assert paid is not None
    assert proven is not None
    assert proven.loss.high <= 0.03 < paid.loss.high
    assert proven.share < paid.share
    assert cascade.switch(*args, 0.0) is None, "no rows prove that nothing is lost"
    # Where it is surer than the dear one it is as good; that is a fifth of the rows at least.
    assert free.threshold > paid.threshold > 0.5
    assert 0.2 <= free.share < paid.share < 1
    assert free.loss.value <= 0
    assert paid.loss.value <= 0.03
    assert paid.loss.low < paid.loss.value < paid.loss.high
    answers = np.where((sure >= paid.threshold)[:, None], cheap, dear).argmax(axis=1)
    lost = (dear.argmax(axis=1) == truth).mean() - (answers == truth).mean()
    assert paid.loss.value == pytest.approx(lost)


def test_a_model_that_cannot_tell_is_left_out() -> None:
    truth, cheap, dear = _models(400)
    for sure in (np.full(400, np.nan), np.zeros(400)):
        assert cascade.switch(CLASSES, "accuracy", truth, LABELS, sure, cheap, dear, 0.0) is None


@pytest.mark.slow
def test_three_stages_are_calibrated_on_what_comes_to_them() -> None:
    truth, cheap, dear = _models(2000)
    # Logits that are five times too large: a temperature mends them.
    fitted = cascade.fit(
        [Level("a"), Level("b"), Level("c")],
        [5 * cheap, 3 * dear, dear],
        truth,
        schema(),
        dear,
        0.02,
        CONFIG,
    )
    assert fitted is not None
    assert len(fitted.thresholds) == 2
    assert sum(one.share or 0 for one in fitted.levels) == pytest.approx(1, abs=1e-3)
    assert fitted.loss.value <= 0.02
    assert fitted.levels[0].point["temperature"] > 3 * fitted.levels[2].point["temperature"]
    assert 0.8 < fitted.point["temperature"] < 1.25
    stages = [
        Stage(level, Path(), speed)
        for level, speed in zip(fitted.levels, (1000.0, 100.0, 10.0), strict=True)
    ]
    first, second, _ = (one.share or 0 for one in fitted.levels)
    cost = 1 / 1000 + (1 - first) / 100 + (1 - first - second) / 10
    assert cascade.saved(fitted, stages) == pytest.approx(1 - 10 * cost)
    assert cascade.chains(stages[:2], stages[2]) == [
        [stages[0], stages[2]],
        [stages[1], stages[2]],
        stages,
    ]


def test_tags_are_answered_in_stages_too() -> None:
    draw = np.random.default_rng(0)
    truth = TAGS.truth(['["a"]', '["b"]'] * 150, ("a", "b"))
    marks = np.asarray(truth, np.float64)[:, :2]
    noisy = (marks * 2 - 1) * draw.uniform(0.1, 4, marks.shape) + draw.normal(0, 0.5, marks.shape)
    fitted = cascade.fit(
        [Level("a"), Level("b")],
        [noisy.astype(np.float32), ((marks * 2 - 1) * 3).astype(np.float32)],
        truth,
        replace(schema(), task="text-tagging", labels=("a", "b")),
        ((marks * 2 - 1) * 3).astype(np.float32),
        0.01,
        CONFIG,
    )
    assert fitted is not None
    assert 0.1 < (fitted.levels[0].share or 0) < 1


# The variant of a version.


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A head on a tiny encoder beside the linear baseline, which is as good."""
    folder = tmp_path_factory.mktemp("cascaded")
    base = write_bert(folder / "base")
    with Workspace(folder / "workspace") as workspace:
        made = workspace.init("reviews")
        made.add(write_reviews(folder / "reviews.csv", 1400))
        made.run(
            method="head",
            overrides={
                "project.base": str(base),
                "evaluation.robustness": False,
                "compression.variants": ["fp32"],
                # What 140 rows can prove.
                "compression.max_loss": 0.1,
            },
        )
        yield made


@pytest.mark.slow
def test_the_cascade_is_a_variant_and_is_chosen(project: Project) -> None:
    model = project.model("2")
    record = model.record
    assert record.variant == "cascade"
    figures = record.variants["cascade"]
    assert figures["loss"] <= 0.1
    told = {lang: from_kept(figures["note"], lang) for lang in LANGUAGES}
    assert all("linear" in words for words in told.values())
    assert told["en"].isascii()
    folder = project.workspace.store.artifacts.path(str(record.artifact()))
    card = read_card(folder)
    assert card.format == "cascade"
    assert [one["version"] for one in card.extra["stages"]] == ["reviews@1", ""]
    # Golden requests have proved both stages over HTTP.
    step = project.workspace.store.catalog.finished_step(str(record.run_id), "deploy:head")
    if step is not None:
        assert min(step.result["golden"]["levels"].values()) >= 10
    assert json.dumps(card.extra)  # plain values
    report = project.evaluate("2")
    assert report.report is not None
    page = report.report.read_text("utf-8")
    assert all(re.split("[(（]", words)[0] in page for words in told.values())


@pytest.mark.slow
def test_an_ensemble_of_what_is_at_hand_is_one_version(project: Project) -> None:
    overrides = {"evaluation.robustness": False, "compression.variants": ["fp32"]}
    overrides["compression.max_loss"] = 0.1
    project.run(method="ensemble", overrides=overrides)
    record = project.models()[-1].record
    assert record.method == "ensemble"
    weights = project.workspace.store.artifacts.path(str(record.weights))
    assert [one["method"] for one in read_card(weights).extra["stages"]] == ["linear", "head"]
    # The cheapest member answers first, and the mean of all where it is not sure.
    assert set(record.variants) == {"ensemble", "cascade"}
    assert project.predict(["lovely tea, will buy again"], model=record.id).outputs[0]["label"]


def test_notes_of_a_frontier_are_said_in_the_readers_language(tmp_path: Path) -> None:
    name = {"name": "any@1 cascade"}
    with messages.knowing():  # as a look is carried out
        kept = to_kept(messages.t("compression.cascade_none"))
        score = {"value": 0.9, "low": 0.8, "high": 1.0}
        figures = {"throughput": 900.0, "latency_ms": 1.0, "cost": 0.1, "bytes": 9, "joules": None}
        point = {**name, "score": score, "loss": score, **figures, "frontier": True}
        table = {"metric": "accuracy", "rows": 90, "data": "any:1", "currency": "USD"}
        table |= {
            "version": "any@1",
            "chosen": name["name"],
            "notes": [messages.t("tune.going_on")],
        }
        points = [{**point, "note": kept, "chosen": True}]
        found = explored.keep("any", tmp_path, {**table, "points": points})
        tables = messages.in_each(lambda: said_again(to_jsonable(list(found.tables()))))
    for lang in LANGUAGES:
        said = [messages.t(key, lang) for key in ("compression.cascade_none", "tune.going_on")]
        about = messages.t("project.frontier_point", lang, **name, words=said[0])
        assert {about, said[1]} <= set(tables[lang][0]["notes"])
    again = explored.kept(tmp_path)
    assert again is not None
    assert again.points[0]["note"] == messages.t("compression.cascade_none", "en")  # plain text


@pytest.mark.slow
def test_the_frontier_is_drawn_and_the_cheapest_is_taken(project: Project) -> None:
    found = project.explore()
    methods = {one.record.id: one.record.method for one in project.models()}
    assert {methods[one["version"]] for one in found.points} == {"linear", "head", "ensemble"}
    assert "reviews@2 fp32" in {one["name"] for one in found.points}
    costs = [one["cost"] for one in found.points]
    assert costs == sorted(costs)
    (chosen,) = [one for one in found.points if one["chosen"]]
    assert chosen["frontier"]
    assert chosen["loss"]["value"] <= 0.005
    cheaper = [one for one in found.points if one["cost"] < chosen["cost"]]
    assert all(one["loss"]["value"] > 0.005 for one in cheaper)
    record = project.model(found.version).record
    assert record.artifact() == record.variants[str(record.variant)]["artifact"]
    open_engine(project.workspace.store.artifacts.path(str(record.artifact()))).close()
    kept = {file.suffix: file.read_text("utf-8") for file in found.folder.iterdir()}
    assert json.loads(kept[".json"])["chosen"] == chosen["name"]
    assert chosen["name"] in kept[".txt"]
    again = explored.kept(project.file.parent)
    assert again is not None
    assert again.points == json.loads(kept[".json"])["points"]
    assert metric_name(again.metric, "zh") in again.picture("zh")
    assert kept[".svg"].startswith("<svg")
    assert kept[".svg"].count("<circle") == len(found.points)
    judged = project.evaluate(found.version)
    assert judged.report is not None
    assert kept[".svg"].count("<circle") <= judged.report.read_text("utf-8").count("<circle")
