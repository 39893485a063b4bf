"""Times as files write them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openpyxl import Workbook

from feilun.cli.app import run
from feilun.data._warnings import source_warnings
from feilun.data.dates import by_column
from feilun.data.outcome import SourceReport
from feilun.data.sources.base import LeftOut, Table
from feilun.errors import InvalidData
from feilun.modalities.times import moment, written_out
from feilun.project import Workspace
from feilun.types import Row

THREE = datetime(2026, 3, 1, 15, 5, tzinfo=UTC).timestamp()
DAY = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01 15:05:00 UTC",
        "2026-03-01 15:05:00 GMT",
        "2026-03-01T15:05:00Z",
        "2026-03-01 15:05 +0000",
        "2026-03-01 23:05:00+08",
        "01.03.2026 15:05",
        "1.3.2026, 15:05:00",
        "2026年3月1日 下午3:05",
        "2026年3月1日下午3:05:00",
        "2026年03月01日 15时05分",
        "2026年3月1日 星期日 15:05",
        "2026/3/1 3:05 PM",
        "20260301150500",
        "20260301150500.0",
        20260301150500,
        20260301150500.0,
        "202603011505",
        "2026-03-01 15:05:00.000",
        "March 1, 2026 3:05 PM",
        "Sunday, Mar 1st, 2026 at 3:05 pm",
        "Sun, 1 Mar 2026 15:05:00 +0000",
        "1. März 2026, 15:05 Uhr",
        "So., 1. Mrz. 2026 um 15:05",
        str(int(THREE)),
        str(int(THREE) * 1000),
        "46082.628472222226",
        46082.628472222226,
    ],
)
def test_a_moment(text: str | float) -> None:
    assert moment(text, "time") == pytest.approx(THREE, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "01.03.2026",
        "2026年3月1日",
        "20260301",
        20260301,
        "46082",
        46082,
        "1 March 2026",
        "01-Mar-2026",
        "Mar 1, 2026",
        "1st of march 2026",
        "1. März 2026",
        "Sonntag, 1. März 2026",
    ],
)
def test_a_day(text: str | int) -> None:
    assert moment(text, "time") == DAY


@pytest.mark.parametrize("text", ["2026年3月1日 上午12:05", "2026-03-01 12:05 am"])
def test_midnight(text: str) -> None:
    assert moment(text, "time") == DAY + 300


@pytest.mark.parametrize(
    "text", ["²", "1²", "01/02/2026", "31.02.2026", "20261301", "2026-03-01 ²"]
)
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(InvalidData) as caught:
        moment(text, "when")
    assert (caught.value.code, caught.value.params["column"]) == ("splits.bad_time", "when")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("13/04/2026", "2026-04-13"),
        ("04-13-2026", "2026-04-13"),
        ("3/3/2026 9:05 PM", "2026-03-03"),
    ],
)
def test_slashes_are_taken_where_they_are_one_day_only(text: str, day: str) -> None:
    assert datetime.fromtimestamp(moment(text, "time") or 0, UTC).date().isoformat() == day


@pytest.mark.parametrize(
    ("cells", "given", "read", "says"),
    [
        (["02/01/2026", "13/04/2026"], None, ["2026-01-02", "2026-04-13"], "data.dates_day_first"),
        (["1/2/26", "4/13/26 9:05 PM"], None, ["2026-01-02", "2026-04-13 9:05 PM"], "month_first"),
        (["01.02.26", "1.3.2026"], None, ["2026-02-01", "2026-03-01"], "data.dates_day_first"),
        (["1/2/2026", "2/1/2026"], None, ["2026-02-01", "2026-01-02"], "data.dates_assumed"),
        (["1/2/2026", "2/1/2026"], False, ["2026-01-02", "2026-02-01"], "data.dates_month_first"),
        (["13/1/2026", "1/13/2026"], None, ["13/1/2026", "1/13/2026"], "data.dates_mixed"),
        (["13/1/2026", "1/13/2026"], True, ["2026-01-13", "2026-01-13"], "data.dates_day_first"),
        (["13/1/2026", "soon"], None, ["13/1/2026", "soon"], ""),
        (["13.1.2026", "1.2.2026"], None, ["13.1.2026", "1.2.2026"], ""),
    ],
)
def test_the_column_decides_what_stands_first(
    cells: list[str], given: bool | None, read: list[str], says: str
) -> None:
    rows = iter([Row(n, {"when": cell}) for n, cell in enumerate(cells, 1)])
    table = by_column(Table("a.csv", ["when"], rows), {"when"}, given)
    report = SourceReport("a.csv", 2, 0, None, table.details)
    assert [row.values["when"] for row in table.rows()] == read
    [*told] = source_warnings([report])
    assert len(told) == bool(says)
    for one in told:
        assert says in one.code
        assert "when" in one.said("en")
        assert "when" in one.said("zh")


def test_a_row_beyond_the_first_that_shows_another_order_ends_the_reading() -> None:
    cells = ["1/2/2026"] * 1000 + ["1/13/2026"]

    def table(given: bool | None) -> Table:
        rows = iter([Row(n, {"when": cell}) for n, cell in enumerate(cells, 1)])
        return by_column(Table("a.csv", ["when"], rows), {"when"}, given)

    with pytest.raises(InvalidData) as caught:
        list(table(None).rows())
    assert (caught.value.code, caught.value.params["row"]) == ("data.dates_turn", 1001)
    assert "--month-first" in caught.value.hint()
    assert [*table(False).rows()][-1].values == {"when": "2026-01-13"}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_dates_with_slashes_are_dates_in_a_table(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        [f"{1 + n % 28:02}/{1 + n % 12:02}/2026 0{n % 9}:30", str(n / 7), "ab"[n % 2]]
        for n in range(60)
    ]
    file = tmp_path / f"rows.{kind}"
    table = [["bought", "amount", "label"], *rows]
    if kind == "csv":
        file.write_text("".join(",".join(row) + "\n" for row in table), "utf-8")
    else:
        book = Workbook()
        assert book.active is not None
        for row in table:
            book.active.append(row)
        book.save(file)
    with Workspace(tmp_path) as workspace:
        project = workspace.init("shop", task="tabular-classification")
        found = project.preview(file)
        assert found.added is not None
        [shown] = [column for column in found.columns if column.name == "bought"]
        assert shown.examples[0] == "2026-01-01 00:30"
        project.add(file)
        task = project.scope.task
        assert {column.name: column.kind for column in task.columns}["bought"] == "date"
        assert task.check({"bought": "13/04/2026"})["bought"] == "13/04/2026"
        with pytest.raises(InvalidData):
            task.check({"bought": "01/02/2026"})
        with pytest.raises(InvalidData):
            task.check({"bought": "31/02/2026"})
    assert run(["data", "preview", str(file), "--workspace", str(tmp_path), "--month-first"]) == 0
    assert "with the month first" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("day_first", [True, False])
def test_a_column_of_dates_is_read_as_each_of_its_cells(day_first: bool) -> None:
    """Days are looked up and the time of day stays as it is: that changes no cell."""
    parts = (
        ("1", "03", "13", "40", "1３"),
        ("/", ".", "-"),
        ("1", "02", "13", "19"),
        ("2026", "26", "026"),
        ("", ",", " ", ", ", "\t", "  ", "\u3000"),
        ("", "9:05", "09:05:11 PM", "12:00 +02:00", "x", "9:05\n"),
    )
    texts = [
        f"{a}{mark}{b}{mark}{year}{gap}{clock}"
        for a, mark, b, year, gap, clock in itertools.product(*parts)
    ]
    known = ["01/02/2026"] * 1000  # by which the column is taken as dates
    rows = [Row(number, {"when": text}) for number, text in enumerate([*known, *texts], 2)]
    table = by_column(Table("t", ["when"], iter(rows)), {"when"}, day_first)
    read = [row.values["when"] for row in table.rows()][1000:]

    def alone(text: str) -> str:
        try:
            return written_out(text, day_first)
        except ValueError:
            return text

    assert read == [alone(text) for text in texts]
    assert len(set(read) - set(texts)) > 15


def test_what_is_left_out_stays_left_out_with_its_dates_read() -> None:
    rows = [Row(2, {"when": "13/04/2026"}), LeftOut(3, {"when": "14/04/2026"}, "formats.total")]
    table = by_column(Table("t", ["when"], iter(rows)), {"when"}, None)
    kept = list(table.rows())
    assert [row.values["when"] for row in kept] == ["2026-04-13", "2026-04-14"]
    assert [type(row) for row in kept] == [Row, LeftOut]
