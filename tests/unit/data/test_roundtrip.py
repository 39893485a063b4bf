"""What any program writes is read back as it was, or it is said what is not: random tables by the
csv module, openpyxl, xlsxwriter, pyarrow and pandas, in random dialects and encodings."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import openpyxl
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from feilun.data.roles import known_names
from feilun.data.sources import Source, open_tables
from feilun.data.sources.base import BadRow
from feilun.errors import FeilunError
from helpers.builds import texts_task

WORDS = {
    "en": "the parcel arrived late and nobody answered my letters it's fine thanks",
    "fr": "très déçu la boîte était abîmée et le vendeur n'a pas répondu à où français",
    "de": "die Größe paßt nicht schöne Rückgabe für uns Ärger häufig natürlich",
    "es": "el envío llegó mañana la atención fue rápida señor también está año",
    "pl": "paczka przyszła za późno żałuję że kupiłem była zły ścieg ćwierć",
    "ru": "товар пришёл поздно и коробка была сломана не советую никому",
    "zh": "质量 很好 物流 太慢 客服 不理人 包装 破了 非常 满意 下次 还来 东西 不错",
    "ja": "とても 良い です が 配送 が 遅い 品質 は 最高 でした カタログ と 違う",
    "ko": "배송이 너무 늦었어요 품질은 정말 좋아요 다시 사고 싶습니다 포장이 찢어졌어요",
}
ENCODINGS = {
    "en": ["utf-8", "cp1252"],
    "fr": ["utf-8", "utf-8-sig", "utf-16", "cp1252"],
    "de": ["utf-8", "utf-16", "cp1252"],
    "es": ["utf-8", "cp1252"],
    "pl": ["utf-8", "utf-16", "cp1250"],
    "ru": ["utf-8", "utf-8-sig", "cp1251"],
    "zh": ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk"],
    "ja": ["utf-8", "shift_jis", "cp932"],
    "ko": ["utf-8", "utf-16", "euc-kr", "cp949"],
}
HEADERS = [["text", "label"], ["review", "category"], ["no", "text", "label"], ["label", "text"],
           ["评论", "标签"], ["text", "note", "label"]]  # fmt: skip
LABELS = ["good", "bad", "so so", "1", "TRUE", "n/a", "good, bad"]
MARKS = [",", ";", "\t", "|", '"', "'", "\n", "  ", "#", "-", "=", "/", ".", "!", "\\", "&", "<b>",
         "5", "3,5", "€", "NULL", "{", "[", "_x000D_", "%"]  # fmt: skip


def encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "ignore").decode(encoding)


@some.composite
def tables(draw: Any) -> tuple[str, list[str], list[list[str]]]:
    """An encoding, a header and rows of texts that it can write."""
    language = draw(some.sampled_from(sorted(WORDS)))
    encoding = draw(some.sampled_from(ENCODINGS[language]))
    header = draw(some.sampled_from(HEADERS))
    if any(cell != encodable(cell, encoding) for cell in header):
        header = HEADERS[0]
    words = WORDS[language].split()
    piece = some.one_of(
        some.sampled_from(words), some.sampled_from(words), some.sampled_from(MARKS)
    )
    text = some.lists(piece, min_size=1, max_size=9).map(" ".join)
    rows = []
    for number in range(draw(some.integers(3, 25))):
        row = []
        for name in header:
            if name in ("label", "category", "标签"):
                row.append(draw(some.sampled_from(LABELS)))
            elif name == "no":
                row.append(str(number))
            else:
                # A word stands before, so that nothing but text is a text.
                first = draw(some.sampled_from(words))
                row.append(encodable(f"{first} {draw(text)}", encoding))
        rows.append(row)
    return encoding, header, rows


Writer = Callable[[Path, str, list[str], list[list[str]], Callable[[Any], Any]], Path]


def by_csv(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    form = {
        "delimiter": draw(some.sampled_from(",;\t|")),
        "quoting": draw(
            some.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
        ),
        "lineterminator": draw(some.sampled_from(["\n", "\r\n"])),
    }
    # Without a quote in any text nothing tells whether a backslash stands for itself.
    if any('"' in cell for row in rows for cell in row) and draw(some.booleans()):
        form |= {"doublequote": False, "escapechar": "\\"}
    text = io.StringIO(newline="")
    if draw(some.booleans()):
        text.write(f"sep={form['delimiter']}{form['lineterminator']}")
    csv.writer(text, **form).writerows([header, *rows])
    file = file.with_suffix(".csv")
    file.write_bytes(text.getvalue().encode(encoding))
    return file


def by_openpyxl(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    book = openpyxl.Workbook()
    page = book.active
    above = draw(some.sampled_from([[], [["A title"]], [[], ["A title"], []]]))
    for row in [*above, header, *rows]:
        page.append(row)
    for line in page.iter_rows():
        for cell in line:
            if cell.value is not None:
                cell.value = cell.value.replace("_x000D_", "_x005F_x000D_")  # as Excel does
                cell.data_type = "s"  # also where it begins as a formula does
    file = file.with_suffix(".xlsx")
    book.save(file)
    return file


def by_xlsxwriter(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    import xlsxwriter

    file = file.with_suffix(".xlsx")
    form = {"constant_memory": draw(some.booleans()), "strings_to_formulas": False}
    with xlsxwriter.Workbook(file, form) as book:
        page = book.add_worksheet()
        for number, row in enumerate([header, *rows]):
            for place, cell in enumerate(row):
                page.write_string(number, place, cell)
    return file


def arrow(header: Any, rows: Any) -> pa.Table:
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(header)})


def by_parquet(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    file = file.with_suffix(".parquet")
    form = {"compression": draw(some.sampled_from(["snappy", "zstd", "none"]))}
    pq.write_table(arrow(header, rows), file, row_group_size=draw(some.integers(1, 9)), **form)
    return file


def by_arrow_csv(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    file = file.with_suffix(".csv")
    form = arrow_csv.WriteOptions(
        delimiter=draw(some.sampled_from(",;\t|")),
        quoting_style=draw(some.sampled_from(["needed", "all_valid"])),
    )
    arrow_csv.write_csv(arrow(header, rows), file, form)
    return file


def by_json(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    found = [dict(zip(header, row, strict=True)) for row in rows]
    form = {"ensure_ascii": draw(some.booleans())}
    if draw(some.booleans()):
        file = file.with_suffix(".jsonl")
        text = "".join(json.dumps(row, **form) + "\n" for row in found)
    else:
        file = file.with_suffix(".json")
        text = json.dumps(found, indent=draw(some.sampled_from([None, 2])), **form)
    file.write_bytes(text.encode(encoding))
    return file


def by_pandas(file: Path, encoding: str, header: Any, rows: Any, draw: Any) -> Path:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=header)
    kind = draw(some.sampled_from(["csv", "json", "jsonl", "xls"]))
    file = file.with_suffix(f".{kind}")
    if kind == "csv":
        sep = draw(some.sampled_from(",;\t|"))
        frame.to_csv(file, sep=sep, index=False, encoding=encoding)
    elif kind == "xls":
        # pandas writes the escapes of Python and cuts long cells unless it is told not to.
        frame = frame.map(lambda cell: " ".join(cell.split()))
        with pd.option_context("display.max_colwidth", None):
            text = frame.to_html(index=False)
        file.write_bytes(text.encode(encoding, "xmlcharrefreplace"))
    else:
        frame.to_json(file, orient="records", lines=kind == "jsonl", force_ascii=False)
    return file


WRITERS: list[Writer] = [by_csv, by_csv, by_openpyxl, by_parquet, by_arrow_csv, by_json]
WRITERS += [by_xlsxwriter] if importlib.util.find_spec("xlsxwriter") else []
WRITERS += [by_pandas] if importlib.util.find_spec("pandas") else []


def check(folder: Path, data: Any) -> None:
    """Writes a table and compares what is read: every row that was written, or a bad row, or a
    refusal; and what is a guess is told."""
    encoding, header, rows = data.draw(tables())
    writer = data.draw(some.sampled_from(WRITERS))
    file = writer(folder / "table", encoding, header, rows, data.draw)
    try:
        (table,) = open_tables(Source(file), known_names(texts_task(), {}))
        found = list(table.rows())
    except FeilunError as error:  # which is a sentence, unlike any other
        hypothesis.event(f"refused: {error.code}")
        return
    if table.details.get("guessed"):
        hypothesis.event("a guess that is told")
        return
    assert list(table.columns) == header
    assert len(found) == len(rows)
    html = table.details["format"] == "HTML"
    for row, wanted in zip(found, rows, strict=True):
        if isinstance(row, BadRow):
            assert row.reason()
            hypothesis.event(f"bad row: {row.code}")
            continue
        cells = ["" if cell is None else str(cell) for cell in row.values.values()]
        if html:  # in which space is what divides words
            wanted = [" ".join(cell.split()) for cell in wanted]
        assert cells == wanted


FORM = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


@hypothesis.settings(max_examples=60, derandomize=True, **FORM)  # type: ignore[arg-type]
@given(data=some.data())
def test_what_programs_write_is_read_back(tmp_path: Path, data: Any) -> None:
    check(tmp_path, data)


@pytest.mark.slow
@hypothesis.settings(max_examples=10_000, **FORM)  # type: ignore[arg-type]
@given(data=some.data())
def test_what_programs_write_is_read_back_ten_thousand_times(tmp_path: Path, data: Any) -> None:
    check(tmp_path, data)
