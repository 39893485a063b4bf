"""Rows that a Python program has at hand: every form gives the same rows as a file does."""

from __future__ import annotations

import io
from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from feilun import messages
from feilun.data.reading import open_readings
from feilun.data.sources import BadRow, Held, Source, open_tables
from feilun.errors import FeilunError, InvalidData
from feilun.project import Project, Workspace
from feilun.tasks.base import get
from feilun.types import Example
from helpers.linear import QUICK, linear_project
from helpers.rows import reviews, write_reviews

ROWS = reviews(60, noise=0.0)
TEXTS, LABELS = [text for text, _ in ROWS], [label for _, label in ROWS]
DICTS = [{"review": text, "score": label} for text, label in ROWS]
TABLE = pa.table({"review": TEXTS, "score": LABELS})
Named = namedtuple("Named", "review score")


class Stream:
    """What polars gives, and every other frame: a capsule with a stream of Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


FORMS: dict[str, Callable[[], Any]] = {
    "dictionaries": lambda: DICTS,
    "tuples": lambda: ROWS,
    "lists": lambda: [list(row) for row in ROWS],
    "a header and tuples": lambda: [("review", "label"), *ROWS],
    "named tuples": lambda: [Named(*row) for row in ROWS],
    "a generator": lambda: (row for row in DICTS),
    "a dictionary of columns": lambda: {"review": TEXTS, "score": LABELS},
    "an Arrow table": lambda: TABLE,
    "record batches": lambda: TABLE.to_batches(max_chunksize=7)[0].from_pylist(DICTS),
    "a reader": lambda: TABLE.to_reader(max_chunksize=7),
    "a stream": lambda: Stream(TABLE),
    "a stream of dictionaries": lambda: Stream(
        TABLE.set_column(1, "score", TABLE["score"].dictionary_encode())
    ),
    "pandas": lambda: pd.DataFrame(DICTS),
    "pandas with an index": lambda: pd.DataFrame(DICTS, index=range(100, 160)).sample(
        frac=1, random_state=1
    ),
    "a dataset": lambda: datasets.Dataset.from_list(DICTS),
    "a shuffled dataset": lambda: datasets.Dataset.from_list(DICTS).shuffle(seed=1),
    "a dataset with classes": lambda: datasets.Dataset.from_list(DICTS).class_encode_column(
        "score"
    ),
    "a dataset that streams": lambda: datasets.Dataset.from_list(DICTS).to_iterable_dataset(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_rows(form: str) -> None:
    [reading] = open_readings(Source(Held.place(FORMS[form]())), get("text-classification"))
    found = list(reading)
    assert all(isinstance(row, Example) for row in found)
    assert sorted((e.item, e.label) for e in found) == sorted(ROWS)  # type: ignore[union-attr]


def test_a_dictionary_of_datasets_keeps_its_division() -> None:
    whole = datasets.Dataset.from_list(DICTS)
    parts = datasets.DatasetDict(
        train=whole.select(range(40)), dev=whole.select(range(40, 50)), test=whole.select([50, 51])
    )
    tables = open_tables(Source(Held.place(parts)))
    assert [(t.split, len(list(t.rows()))) for t in tables] == [
        ("train", 40),
        ("validation", 10),
        ("test", 2),
    ]
    assert tables[1].name == "DatasetDict/dev"


def test_cells_become_what_files_hold() -> None:
    stream = io.BytesIO()
    picture = Image.new("RGB", (3, 3), (9, 8, 7))
    picture.save(stream, "PNG")
    cells = {
        "a": np.int64(3),
        "b": np.float32(0.5),
        "c": Decimal("1.25"),
        "d": datetime(2026, 3, 1, 15, 5, tzinfo=UTC),
        "e": pd.NA,
        "f": pd.NaT,
        "g": bytearray(b"x"),
        "h": ("x", "y"),
        "i": Path("a.png"),
        "j": np.array([1, 2]),
        "k": picture,
        "l": True,
        7: "a column with a number for a name",
    }
    [table] = open_tables(Source(Held.place([cells])))
    [row] = table.rows()
    assert list(row.values.values()) == [
        3, 0.5, 1.25, "2026-03-01T15:05:00+00:00", None, None, b"x", ["x", "y"], "a.png", [1, 2],
        stream.getvalue(), True, "a column with a number for a name",
    ]  # fmt: skip
    assert list(row.values)[-1] == "7"


def test_a_frame_of_mixed_cells_and_times_is_read() -> None:
    frame = pd.DataFrame(
        {
            "review": ["a", "b", "c"],
            "score": [1, "two", None],
            "when": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "took": pd.to_timedelta(["1 s", None, "2 s"]),
        }
    )
    [table] = open_tables(Source(Held.place(frame)))
    rows = [row.values for row in table.rows()]
    assert [row["score"] for row in rows] == [1, "two", None]
    assert rows[0]["when"] == "2026-01-01T00:00:00"
    assert rows[1]["when"] is None
    [table] = open_tables(Source(Held.place(frame[["review", "took", "when"]])))
    assert [row.values["when"] for row in table.rows()][1] is None


def test_rows_that_are_none_are_bad_rows_with_their_numbers() -> None:
    [table] = open_tables(Source(Held.place([*DICTS[:2], "text", {"review": object()}])))
    found = [(row.number, row.reason("en")) for row in table.rows() if isinstance(row, BadRow)]
    assert [number for number, _ in found] == [3, 4]
    assert "a str is no row" in found[0][1]
    assert "column review holds a object" in found[1][1]
    [table] = open_tables(Source(Held.place([*ROWS[:2], ("a", "b", "c"), None])))
    found = [(row.number, row.reason("en")) for row in table.rows() if isinstance(row, BadRow)]
    assert found[0] == (3, "the row has 3 cells where the header has 2")
    assert found[1][0] == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a.csv", "b.csv"], "str holds no rows"),
        (7, "int holds no rows"),
        (None, "NoneType holds no rows"),
        (b"bytes", "bytes holds no rows"),
        ([], "no rows"),
        ({"review": "one text"}, "dict holds no rows"),
        ({"review": ["a"], "score": ["b", "c"]}, "review: 1, score: 2"),
        (pa.chunked_array([["a"]]), "gives no table of Arrow"),
        (pd.Series(["a"]), "gives no table of Arrow"),
        (pa.table([["a"], ["b"]], names=["x", "x"]), "columns of the same name"),
        (pa.table({"x": []}), "no rows"),
    ],
)
def test_what_has_no_rows_is_told_in_a_line(tmp_path: Path, given: Any, said: str) -> None:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("reviews")
        with pytest.raises(FeilunError) as caught:
            project.add(given)
        shown = f"{caught.value.message('en')} {caught.value.hint('en')}"
        assert said in shown
        assert len(shown) < 500
        assert "'" not in caught.value.message("zh") or "bytes" in said
        assert workspace.store.catalog.latest_data("reviews") is None


def test_a_list_is_the_same_data_version_as_the_file(tmp_path: Path) -> None:
    with linear_project(tmp_path) as project:
        first = project.workspace.store.catalog.latest_data("reviews")
        again = project.add(DICTS)
        assert again.unchanged
        other = project.add(
            [{"review": TEXTS[0], "score": "great" if LABELS[0] == "bad" else "bad"}]
        )
        assert other.relabel == "project.add(rows, ..., relabel=True)"
        more = project.add(pd.DataFrame(reviews(80, noise=0.0)[60:], columns=["review", "score"]))
        assert not more.unchanged
        assert first is not None
        assert more.report["new"] == 20
        assert more.report["sources"][-1]["name"] == "DataFrame"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    messages.use("en")
    with linear_project(tmp_path_factory.mktemp("held"), 80) as project:
        project.train(method="linear", overrides=QUICK)
        yield project


def test_predict_evaluate_and_audit_take_what_add_takes(trained: Project, tmp_path: Path) -> None:
    by_file = trained.evaluate(on=write_reviews(tmp_path / "new.csv", 60, noise=0.0))
    for form in (DICTS, pd.DataFrame(DICTS), datasets.Dataset.from_list(DICTS)):
        assert trained.evaluate(on=form).metrics == by_file.metrics
    expected = trained.predict(TEXTS).outputs
    for frame in (TABLE, pd.DataFrame(DICTS), datasets.Dataset.from_list(DICTS), Stream(TABLE)):
        assert trained.predict(frame).outputs == expected
    corpus = trained.add_corpus([{"review": text} for text in TEXTS])
    assert (corpus.rows, corpus.sources) == (60, ["rows"])
    report = trained.audit([*DICTS, *DICTS[:5]])
    assert report.rows == 65
    assert report.audit["duplicates"] == 5
    assert trained.audit(row for row in DICTS).rows == trained.audit(TABLE.to_reader()).rows == 60
    with pytest.raises(InvalidData):
        trained.evaluate(on=["no rows"])
