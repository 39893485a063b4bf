"""Texts and pictures among the columns of a table: found, read beside the others, and told apart
by what each of them adds."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from feilun.config import DataConfig, EvaluationConfig
from feilun.data.outcome import BuildReport
from feilun.data.sources.base import Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.engines.card import parts_of
from feilun.engines.explain import explain
from feilun.errors import InvalidData
from feilun.evaluation.evaluate import evaluate
from feilun.evaluation.gate import decide
from feilun.evaluation.modalities import sentences
from feilun.evaluation.report import render
from feilun.evaluation.result import Evaluation
from feilun.families.base import Answers
from feilun.modalities.table.blocks import Texts
from feilun.modalities.table.features import TableFeatures
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.ablation import subsets, train_parts
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import ColumnSample
from helpers.bert import write_bert
from helpers.few import few

KINDS = {"months": "number", "note": "text", "photo": "image"}
GOOD = ("prompt", "friendly", "excellent", "lovely", "准时", "满意")
BAD = ("late", "rude", "broken", "awful", "迟到", "投诉")
FILLING = ("the", "parcel", "box", "arrived", "driver", "today", "again", "we", "ordered", "and")


def write(folder: Path, rows: int = 600) -> Path:
    """Customers who leave for two reasons, each half of the log-odds: few months, a bad note. The
    photo says nothing."""
    draw = random.Random(0)
    folder.mkdir()
    with (folder / "customers.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*KINDS, "churn"])
        for number in range(rows):
            months, bad = draw.randrange(60), draw.random() < 0.5
            words = [draw.choice(FILLING) for _ in range(6)] + [draw.choice(BAD if bad else GOOD)]
            draw.shuffle(words)
            note = " ".join(words) if draw.random() < 0.95 else ""
            image = Image.new("RGB", (8, 8), tuple(draw.randrange(256) for _ in range(3)))
            image.save(folder / f"{number}.png")
            odds = (2.5 if bad else -2.5) + (30 - months) / 10
            leaves = draw.random() < 1 / (1 + np.exp(-odds))
            writer.writerow([months, note, f"{number}.png", "yes" if leaves else "no"])
    return folder / "customers.csv"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildReport, Dataset]:
    folder = tmp_path_factory.mktemp("blocks")
    task = tasks.get("tabular-classification")
    report = build(
        [Source(write(folder / "rows"))],
        task=task,
        settings=DataConfig(),
        out=folder / "data",
        task_settings=task.Settings().model_dump(),
    )
    return report, Dataset(folder / "data")


@pytest.fixture(scope="module", params=few(["linear", "trees"], "trees"))
def version(
    request: pytest.FixtureRequest,
    built: tuple[BuildReport, Dataset],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    data = built[1]
    out = tmp_path_factory.mktemp(request.param)
    chosen = method(request.param)
    job = TrainJob(
        request.param,
        data.schema.task,
        data.folder,
        None,
        out,
        out,
        task_settings=data.schema.settings,
        threads=1,
    )
    settings: Any = chosen.Settings()
    chosen.train(job, settings, lambda _: None)
    assert train_parts(chosen, job, settings, lambda _: None) > 0
    return out


@pytest.mark.slow
def test_trees_also_see_what_an_encoder_knows_of_texts(
    built: tuple[BuildReport, Dataset], tmp_path: Path
) -> None:
    data = built[1]
    base = write_bert(tmp_path / "base", texts=[" ".join((*GOOD, *BAD, *FILLING))])
    task = tasks.of(data.schema)
    costs = [one.cost for one in task.processor(base, {}).encode(data.items("train")[:3])]
    assert min(costs) > 2
    job = TrainJob(
        "fusion", data.schema.task, data.folder, base, tmp_path / "out", tmp_path,
        task_settings=data.schema.settings, threads=1,
    )  # fmt: skip
    job.out.mkdir()
    fusion = method("fusion")
    assert fusion.supports(task, base) is None
    fusion.train(job, fusion.Settings(rounds=60), lambda _: None)
    engine: Any = open_engine(job.out, threads=1)
    by_words, by_vector = (engine._readers.readers["note", what] for what in ("", ".vectors"))
    assert by_words.coef.shape[1] > by_vector.coef.shape[1] == 32
    assert engine.owners.tolist().count(1) == 3, "length, words and vector of the note"
    items = [{"months": 30.0, "note": note, "photo": None} for note in (BAD[0], GOOD[0], None)]
    bad, good, nothing = engine.raw(items)[:, 1]
    assert bad > nothing > good
    assert (engine.raw(data.items("test")).argmax(1) == data.labels("test")).mean() > 0.75
    found = explain(engine, items[0], "yes", "no")
    assert found is not None
    parts = found.to_output()["parts"]
    assert max(parts, key=lambda one: one["weight"])["column"] == "note"
    engine.close()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a.png", "b.JPG", "", None], "image"),
        ([b"\x89PNG", b"\xff\xd8"], "image"),
        (["data:image/png;base64,AA", "data:image/png;base64,AB"], "image"),
        (["a.png", "none yet", "b.png"], "category"),
    ],
)
def test_columns_of_pictures_are_found_by_what_they_hold(values: list[Any], kind: str) -> None:
    task = tasks.get("tabular-regression")
    settings, _ = task.find_columns([ColumnSample("x", values)], {})
    assert settings["inputs"] == [["x", kind]]


def test_pictures_that_never_repeat_are_no_row_numbers() -> None:
    task = tasks.get("tabular-regression")
    samples = [ColumnSample("photo", [f"p/{n}.jpg" for n in range(50)])]
    assert task.find_columns(samples, {}) == ({"inputs": [["photo", "image"]]}, {})
    said, out = task.find_columns(
        [*samples, ColumnSample("n", [1, 5])], {"columns": {"photo": "ignore"}}
    )
    assert (said["inputs"], out) == ([["n", "number"]], {"photo": "tables.out_ignored"})


def test_how_each_column_was_read_is_told(built: tuple[BuildReport, Dataset]) -> None:
    report, data = built
    assert data.columns == KINDS
    said = {one.code: one for one in report.warnings}
    assert said["tables.read_text"].params == {"columns": ["note"], "count": 1}
    assert "photo" in said["tables.read_image"].text("en")
    assert "months" in said["tables.read_number"].text("zh")
    assert "[task.columns]" in said["tables.read_text"].hint("zh")


def test_both_reasons_are_learnt_together(
    built: tuple[BuildReport, Dataset], version: Path
) -> None:
    engine = open_engine(version)
    task = tasks.of(engine.card.schema)
    rows = [
        {"months": 2, "note": "the driver arrived rude and late"},
        {"months": 2, "note": "lovely box, 准时"},
        {"months": 58, "note": "the driver arrived rude and late"},
        {"months": 58, "note": "lovely box, 准时"},
        {"months": None, "note": None, "photo": None},
    ]
    raw = engine.raw([task.check(row) for row in rows])
    yes = engine.card.schema.labels.index("yes")
    odds = raw[:, yes] - raw[:, 1 - yes]
    assert odds[0] > odds[[1, 2]].max() > odds[[1, 2]].min() > odds[3]
    assert np.isfinite(odds).all()
    engine.close()


def test_an_explanation_adds_up_and_gives_no_picture_back(
    built: tuple[BuildReport, Dataset], version: Path
) -> None:
    engine = open_engine(version)
    first, second = (built[1].items("test")[n] for n in (0, 1))
    found = [explain(engine, item, "yes", "no") for item in (first, second)]
    assert found[0] is not None
    assert found[1] is not None
    yes = engine.card.schema.labels.index("yes")
    raw = engine.raw([first, second])
    odds = raw[:, yes] - raw[:, 1 - yes]
    sums = [sum(one.weights) for one in found if one is not None]
    assert odds[0] - odds[1] == pytest.approx(sums[0] - sums[1], abs=1e-3)
    parts = json.loads(json.dumps(found[0].to_output()))["parts"]
    assert {one["column"] for one in parts} == set(KINDS)
    assert any(str(one["value"]).endswith(" bytes") for one in parts if one["column"] == "photo")
    engine.close()


@pytest.fixture
def judged(built: tuple[BuildReport, Dataset], version: Path) -> Evaluation:
    data = built[1]
    items = data.items("test")

    def answers(folder: Path) -> Answers:
        engine = open_engine(folder)
        raw = engine.raw(items)
        engine.close()
        return Answers(folder.name, engine.card.method, engine.card.schema.labels, raw)

    return evaluate(
        answers(version),
        data.labels("test"),
        items=items,
        row_ids=data.row_ids("test"),
        schema=data.schema,
        train_counts={"yes": 1, "no": 1},
        settings=EvaluationConfig(resamples=200),
        parts={name: answers(folder) for name, folder in parts_of(version).items()},
        primary="roc_auc",
    )


def test_what_each_modality_adds_is_told(judged: Evaluation) -> None:
    found = {one.name: one for one in judged.modalities}
    assert {name: one.columns for name, one in found.items()} == {
        "values": ("months",),
        "text": ("note",),
        "image": ("photo",),
    }
    for name in ("values", "text"):
        assert found[name].adds.low > 0
        alone = found[name].alone
        assert alone is not None
        assert 0.6 < alone.value < judged.score().value
    useless = found["image"].alone
    assert useless is not None
    assert useless.low < 0.6
    assert found["image"].adds.low < 0.02
    english, chinese = sentences(judged, "en"), sentences(judged, "zh")
    assert any("the texts add +" in one and "keep" in one for one in english)
    assert any(one.startswith("在其余各列之外，文本") for one in chinese)
    assert Evaluation.from_json(json.loads(json.dumps(judged.to_json()))) == judged
    page = render(judged, decide(judged))
    assert "What texts, pictures and values add" in page
    assert "文本、图片和数值各自的贡献" in page


def test_parts_are_taught_where_there_is_more_than_one_modality() -> None:
    two = {"text": ("a",), "values": ("b", "c")}
    assert subsets(two) == {"alone-text": {"a"}, "alone-values": {"b", "c"}}
    three = subsets({**two, "image": ("d",)})
    assert three["without-text"] == {"b", "c", "d"}
    assert len(three) == 6
    assert subsets({"values": ("a", "b")}) == {}


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (b"no picture", "tables.no_picture"),
        ("cat.png", "tables.not_a_picture"),
        ([1], "tables.not_a_cell"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_column(cell: Any, code: str) -> None:
    task = tasks.get("tabular-classification").bound({"inputs": [["photo", "image"]]})
    with pytest.raises(InvalidData) as caught:
        task.check({"photo": cell})
    assert caught.value.code == code
    assert "photo" in caught.value.message("en")
    assert task.check({"photo": b""}) is None


def test_texts_come_back_from_json_and_rows_have_length_one() -> None:
    state = Texts.fit(["the box is late", None, "the box is broken", "全部都坏了，全部"])
    texts = Texts(json.loads(json.dumps(state)))
    rows = texts.transform(["the box", None, "", "全部"])
    assert rows.shape == (4, len(state["grams"]))
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1)).A1
    np.testing.assert_allclose(lengths, [1, 0, 0, 1], atol=1e-5)


def test_versions_of_before_knew_the_length_of_a_text_alone() -> None:
    spread = {"mean": 2.0, "scale": 1.0}
    old = TableFeatures((("note", "text"),), {"note": {"parts": [spread]}})
    np.testing.assert_array_equal(old.transform(["a b c"]).toarray(), [[1, 0]])
    assert old.blocks(["a b c"]) == {}
