"""Numbers as people write them: alone, in a column that says how, and through a whole table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from feilun import messages
from feilun.data.reading import open_readings
from feilun.data.sources.base import Source
from feilun.families.numbers import NUMBERS
from feilun.modalities.table import column_kinds
from feilun.numerals import Mark, convention, parse
from feilun.project import Workspace


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5", 5.0),
        (" -1.5e3 ", -1500.0),
        ("1.234", 1.234),
        ("1,234", 1234.0),
        ("0,234", 0.234),
        ("12,5", 12.5),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1.234.567", 1234567.0),
        ("1.234.567,89", 1234567.89),
        ("1 234,5", 1234.5),
        ("1\u202f234\u00a0567", 1234567.0),
        ("1'234.50", 1234.5),
        ("€ 12,50", 12.5),
        ("12,50 €", 12.5),
        ("$1,234.50", 1234.5),
        ("-$5", -5.0),
        ("US$ 5", 5.0),
        ("￥１２．５", 12.5),
        ("¥1,234", 1234.0),
        ("12.5元", 12.5),
        ("人民币 1,200.00", 1200.0),
        ("1.2万", 12000.0),
        ("3亿元", 3e8),
        ("CHF 1'000.00", 1000.0),
        ("12,50 kr", 12.5),
        ("1,5E+03", 1500.0),
        ("45 %", 0.45),
        ("4,5%", 0.045),
        ("(3)", -3.0),
        ("($1,200)", -1200.0),
        ("5,00-", -5.0),
        ("−7", -7.0),
    ],
)
def test_numbers_are_what_was_meant(written: str, meant: float) -> None:
    assert parse(written) == pytest.approx(meant)
    # Targets and cells of tables are read by the same rules.
    assert float(str(NUMBERS.target(written))) == pytest.approx(meant)
    assert column_kinds.number(written) == pytest.approx(meant)


NONE = (
    "one|1.2.3|1,23,456.7|12-3|1.234,5,6|%|€|--1|(5|-(5)|12 34|1_000||2026-01-02|12:30"
    "|01.02.2026|1.2万%|1 234 56|+49 30 123456"
)


@pytest.mark.parametrize("written", NONE.split("|"))
def test_what_is_none_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*"):
        parse(written)
    assert column_kinds.number(written) is None


@pytest.mark.parametrize(
    ("cells", "decimal", "read"),
    [
        (["1,234", "12,50"], ",", [1.234, 12.5]),
        (["1.234", "12,50"], ",", [1234, 12.5]),
        (["1,234", "5.5"], ".", [1234, 5.5]),
        (["1.234.567", "1.234"], ",", [1234567, 1234]),
        (["1 234,5", "2,345"], ",", [1234.5, 2.345]),
        (["1,234", "5,678"], ".", [1234, 5678]),
        (["45%", "1,5 %"], ",", [0.45, 0.015]),
    ],
)
def test_the_column_decides(cells: list[str], decimal: Mark, read: list[float]) -> None:
    found = convention([None, 3.0, "", *cells])
    assert found is not None
    assert found.decimal == decimal
    assert [parse(cell, found.decimal) for cell in cells] == pytest.approx(read)
    assert found.assumed == (cells == ["1,234", "5,678"])


def test_plain_columns_need_no_word() -> None:
    for cells in (["1.234", "2.5"], ["5", "-7"], ["a", "b"], [], [1.5, None]):
        assert convention(cells) is None
    mixed = convention(["1,5", "1.5"])
    assert mixed is not None
    assert (mixed.decimal, mixed.example) == (None, "1.5, 1,5")
    units = convention(["5%", "7", "€ 5", "$ 3"])
    assert units is not None
    assert (units.percent, units.currencies) == (0.25, ("$", "€"))


def write(file: Path, rows: list[tuple[str, str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=";").writerows([("Fläche", "Anteil", "Preis"), *rows])
    return file


def test_a_german_table_with_a_german_target(tmp_path: Path) -> None:
    messages.use("en")
    rows = [
        (f"{n},{n % 10}5", f"{n % 100},5 %", f"1.{n:03d},{n % 100:02d} €") for n in range(10, 80)
    ]
    rows.append(("1.250", "50 %", "2.500"))  # a thousand and some, as the rest of the column says
    with Workspace(tmp_path) as workspace:
        project = workspace.init("p", task="tabular-regression")
        added = project.add(write(tmp_path / "a.csv", rows), columns={"label": "Preis"})
        said = [note for table in added.tables() for note in table.notes]
        assert any("Fläche are read" in note and "10,05 is 10.05" in note for note in said), said
        source = Source(tmp_path / "a.csv")
        found = [
            one
            for reading in open_readings(source, project.task, {"label": "Preis"})
            for one in reading
        ]
    assert [one.item for one in found[:1]] == [{"Fläche": 10.05, "Anteil": pytest.approx(0.105)}]
    assert (found[0].label, found[-1].label) == ("1010.1", "2500")
    assert found[-1].item == {"Fläche": 1250.0, "Anteil": 0.5}


def test_what_no_cell_shows_is_told(tmp_path: Path) -> None:
    messages.use("en")
    rows = [{"size": n * 37 % 1009, "price": f"{n},{n * 7 % 900 + 100}"} for n in range(1, 80)]
    with Workspace(tmp_path) as workspace:
        project = workspace.init("p", task="tabular-regression")
        added = project.add(rows, columns={"label": "price"})
        said = [note for table in added.tables() for note in table.notes]
        assert any("does not show whether its commas" in note for note in said), said
