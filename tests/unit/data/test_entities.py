"""Files in which entities are marked: what the tools write, all read as the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.data.reading import read
from feilun.data.sources import BadRow, Held, Source, format_of, open_tables
from feilun.families.spans import spans_of
from feilun.tasks import base

TASK = base.get("token-classification")
ROWS = [("Maria Silva moved to Lisbon .", [(0, 11, "PER"), (21, 27, "LOC")]), ("Late again .", []),
        ("王小明住在上海。", [(0, 3, "PER"), (5, 7, "LOC")])]  # fmt: skip


def _read(source: Any, **options: Any) -> tuple[list[tuple[str, list[Any]]], list[BadRow]]:
    bad: list[BadRow] = []
    found = read(Source(source, **options), TASK, bad=bad.append)
    return [(str(one.item), list(spans_of(one.label or ""))) for one in found], bad


def _write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


BIO = """-DOCSTART- -X- O

Maria NNP B-PER
Silva NNP I-PER
moved VBD O
to TO O
Lisbon NNP B-LOC
. . O

Late RB O
again RB O
. . O

"""
BIOES = "\n".join(
    f"{word}\t{tag}"
    for word, tag in zip(
        "王小明住在上海。",
        ["B-PER", "I-PER", "E-PER", "O", "O", "B-LOC", "E-LOC", "O"],
        strict=True,
    )
)


@pytest.mark.parametrize("name", ["train.conll", "train.txt", "eng.train"])
def test_words_with_tags_in_lines(tmp_path: Path, name: str) -> None:
    file = _write(tmp_path, name, BIO + BIOES)
    assert format_of(file) == "conll"
    assert _read(file) == (ROWS, [])


def test_other_schemes_of_tags_tell_the_same(tmp_path: Path) -> None:
    for change in (("I-", "M-"), ("E-", "L-"), ("-PER", "_PER")):
        file = _write(tmp_path, "a.bmes", BIOES.replace(*change))
        assert _read(file)[0] == ROWS[2:]
    single = _write(tmp_path, "s.bio", "# sent_id 1\n沪\tS-LOC\n#\tO\n皖\tU-LOC\n")
    assert _read(single)[0] == [("沪#皖", [(0, 1, "LOC"), (2, 3, "LOC")])]


def test_a_line_without_a_tag_spoils_its_sentence_alone(tmp_path: Path) -> None:
    file = _write(tmp_path, "a.conll", BIO + "Anna B-PER\nalone\n\nRome\tB-LOC\n")
    rows, bad = _read(file, options=_options("conll"))
    assert rows == [*ROWS[:2], ("Rome", [(0, 4, "LOC")])]
    assert [(one.number, one.code) for one in bad] == [(14, "spans.bad_tag")]


def _options(name: str) -> Any:
    from feilun.data.sources import Options

    return Options(format=name)


def test_lists_of_words_and_tags() -> None:
    rows = [
        {"id": "7", "tokens": ["Maria", "Silva", "moved", "to", "Lisbon", "."],
         "ner_tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]},
        {"id": "8", "tokens": ["Late", "again", "."], "ner_tags": ["O"] * 3},
        {"id": "9", "tokens": ["Late"], "ner_tags": ["O", "O"]},
        {"id": "10", "tokens": ["Late"], "ner_tags": [0]},
        {"id": "11", "tokens": ["Late"], "ner_tags": ["PER"]},
    ]  # fmt: skip
    found, bad = _read(Held(rows))
    assert found == ROWS[:2]
    assert [one.code for one in bad] == ["spans.ragged", "spans.tags_are_numbers", "spans.bad_tag"]
    assert bad[0].reason("zh") == "有 1 个词元，却有 2 个标签"


NAMES = ["O", "B-PER", "I-PER", "B-LOC"]
NUMBERED = [
    {"tokens": ["Maria", "Silva", "moved", "to", "Lisbon", "."], "ner_tags": [1, 2, 0, 0, 3, 0]},
    {"tokens": ["Late", "again", "."], "ner_tags": [0, 0, 0]},
]


@pytest.mark.parametrize("names", [NAMES, {str(n): name for n, name in enumerate(NAMES)}])
def test_numbers_of_tags_with_a_column_of_their_names(names: Any) -> None:
    rows = [{**row, "tag_names": names} for row in NUMBERED]
    assert _read(Held(rows)) == (ROWS[:2], [])
    beyond = {"tokens": ["Late"], "ner_tags": [4], "tag_names": names}
    assert [one.code for one in _read(Held([*rows, beyond]))[1]] == ["spans.tags_are_numbers"]


_CLASS = {"_type": "ClassLabel", "names": NAMES}


@pytest.mark.parametrize(
    "feature",
    [{"_type": "List", "feature": _CLASS}, {"_type": "Sequence", "feature": _CLASS}, [_CLASS]],
)
def test_numbers_of_tags_with_the_features_of_a_dataset(tmp_path: Path, feature: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(NUMBERED)
    features = {"tokens": {"_type": "List", "feature": {"_type": "Value"}}, "ner_tags": feature}
    known = json.dumps({"info": {"features": features}})
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": known}), tmp_path / "a.parquet"
    )
    assert _read(tmp_path / "a.parquet") == (ROWS[:2], [])


@pytest.mark.parametrize("word", ["sequence", "list"])
def test_numbers_of_tags_in_a_repository_whose_card_names_them(tmp_path: Path, word: str) -> None:
    lines = "\n".join(f"          '{n}': {name}" for n, name in enumerate(NAMES))
    card = (
        "---\ndataset_info:\n  features:\n  - name: tokens\n"
        f"    {word}: string\n  - name: ner_tags\n    {word}:\n      class_label:\n"
        f"        names:\n{lines}\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: train\n    path: data/train.jsonl\n---\n"
    )
    (tmp_path / "README.md").write_text(card, "utf-8")
    (tmp_path / "data").mkdir()
    rows = "".join(json.dumps(row) + "\n" for row in NUMBERED)
    (tmp_path / "data" / "train.jsonl").write_text(rows, "utf-8")
    assert _read(tmp_path) == (ROWS[:2], [])


def test_tables_with_other_lists_stay_as_they_are() -> None:
    rows = [{"tokens": "a cheap one", "tags": ["x"], "text": "t"}]
    (table,) = open_tables(Source(Held(rows)))
    assert table.columns == ("tokens", "tags", "text")


@pytest.mark.parametrize(
    "row",
    [
        {"text": ROWS[2][0], "label": [[0, 3, "PER"], [5, 7, "LOC"]]},
        {
            "id": 1,
            "text": ROWS[2][0],
            "entities": [
                {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
                {"id": 2, "label": "LOC", "start_offset": 5, "end_offset": 7},
            ],
            "relations": [],
        },
        {"内容": ROWS[2][0], "实体": [{"start": 0, "end": 3, "label": "PER"}, [5, 7, "LOC"]]},
    ],
)
def test_lines_of_json(tmp_path: Path, row: dict[str, Any]) -> None:
    other = {**row, next(k for k in row if k in ("label", "entities", "实体")): []}
    lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in (row, other))
    rows, bad = _read(_write(tmp_path, "rows.jsonl", lines))
    assert (rows, bad) == ([ROWS[2], (ROWS[2][0], [])], [])


def test_spans_as_text_in_a_cell(tmp_path: Path) -> None:
    cell = '"[{""start"":0,""end"":3,""label"":""PER""},[5,7,""LOC""]]"'
    rows, bad = _read(
        _write(tmp_path, "rows.csv", f"text,entities\n{ROWS[2][0]},{cell}\n句子,[]\n")
    )
    assert (rows, bad) == ([ROWS[2], ("句子", [])], [])


def _task(text: str, *results: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text}, "annotations": [{"result": list(results)}]}


def _marked(start: int, end: int, label: str, piece: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": piece, "labels": [label]}
    return {"from_name": "ner", "to_name": "text", "type": "labels", "value": value}


def test_label_studio(tmp_path: Path) -> None:
    tasks = [
        _task(ROWS[2][0], _marked(0, 3, "PER", "王小明"), _marked(5, 7, "LOC", "上海")),
        _task("Late again ."),
        _task("😀 Maria", _marked(3, 8, "PER", "Maria")),  # an emoji is two to a browser
    ]
    rows, bad = _read(_write(tmp_path, "export.json", json.dumps(tasks)))
    assert (rows, bad) == ([ROWS[2], ROWS[1], ("😀 Maria", [(2, 7, "PER")])], [])


def test_classes_of_a_file_are_no_entities(tmp_path: Path) -> None:
    rows, bad = _read(_write(tmp_path, "rows.csv", "text,label\nvery nice,good\nnot so,bad\n"))
    assert not rows
    assert {one.code for one in bad} == {"spans.not_json"}
