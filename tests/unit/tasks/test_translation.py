"""Texts and their translations in the forms that files have for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.data.reading import open_readings
from feilun.data.sources import BadRow, Source
from feilun.errors import InvalidData
from feilun.modalities.text import language_names
from feilun.tasks import base as tasks

TASK = tasks.get("translation")


def _read(file: Path, text: str, task: Any = TASK) -> list[Any]:
    file.write_text(text, "utf-8")
    (reading,) = open_readings(Source(file), task)
    return [one.code if isinstance(one, BadRow) else (one.item, one.label) for one in reading]


@pytest.mark.parametrize(
    "head",
    [
        "en,zh",
        "en-US,zh_CN",
        "English,Chinese",
        "英文,中文",
        "source,target",
        "原文,译文",
        "msgid,msgstr",
        "src,tgt",
        "text,translation",
    ],
)
def test_tables_of_two_languages(tmp_path: Path, head: str) -> None:
    rows = "".join(f"Open file {n},打开文件 {n}\n" for n in range(3))
    found = _read(tmp_path / "pairs.csv", f"{head}\n{rows}")
    assert found[1] == ("Open file 1", "打开文件 1")
    told = _read(
        tmp_path / "more.csv",
        f"id,{head},remark\n" + "".join(f"{n},Open file {n},打开文件 {n},{n}\n" for n in range(3)),
    )
    assert told[1] == ("Open file 1", "打开文件 1")


def test_records_of_hugging_face(tmp_path: Path) -> None:
    rows = [
        {"translation": {"en": "Open", "zh": "打开"}},
        {"translation": {"en": "Close", "zh": "关闭", "de": "Schließen"}},
        {"translation": {"en": "Alone"}},
        {"translation": {"en": "", "zh": "空"}},
        {"translation": {"en": "Later", "zh": None}},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert _read(tmp_path / "a.jsonl", text) == [
        ("Open", "打开"),
        ("Close", "关闭"),
        "tasks.no_such_language",
        "data.empty_input",
        "data.empty_label",
    ]
    back = TASK.bound({"source": "zh", "target": "en"})
    assert _read(tmp_path / "b.jsonl", text, back)[0] == ("打开", "Open")
    german = TASK.bound({"target": "de"})
    assert _read(tmp_path / "c.jsonl", text, german)[:2] == [
        "tasks.no_such_language",
        ("Close", "Schließen"),
    ]
    assert back.check({"en": "Open", "zh": "打开"}) == "打开"
    assert back.check({"text": {"en": "Open", "zh": "打开"}}) == "打开"  # type: ignore[dict-item]


def test_a_direction_picks_the_columns(tmp_path: Path) -> None:
    text = "de,en,zh\nÖffnen,Open,打开\nSchließen,Close,关闭\n"
    assert _read(tmp_path / "a.csv", text)[0] == ("Öffnen", "Open")
    task = TASK.bound({"source": "en", "target": "zh-CN"})
    assert _read(tmp_path / "b.csv", text, task)[0] == ("Open", "打开")
    assert task.bound({"source": "en", "target": "zh-CN"}) is task
    only = TASK.bound({"source": "zh"})
    assert _read(tmp_path / "c.csv", text, only)[0] == ("打开", "Öffnen")


def test_a_text_alone_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("text\nOpen the window\nClose it\n", "utf-8")
    (reading,) = open_readings(Source(file), TASK, need_label=False)
    assert [one.item for one in reading] == ["Open the window", "Close it"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "item", ["", " \n", {"text": " "}, {"xx": "a"}, ["a"], {"en": 1.5, "b": 2}]
)
def test_what_is_no_text_is_refused(item: Any) -> None:
    with pytest.raises(InvalidData):
        TASK.check(item)


def test_braces_are_no_languages() -> None:
    for text in ('{"name": "x"}', "{0} of {1}", '{"en": ', "{}"):
        assert TASK.check(text) == text


def test_languages_are_known_by_their_names() -> None:
    names = ("zh-Hans-CN", "Chinese", "中文", "zh_CN.UTF-8")
    assert {language_names.code_of(name) for name in names} == {"zh"}
    for name in ("id", "no", "text", "zebra", "", "en route"):
        assert language_names.code_of(name) is None
    assert language_names.pick(["zh-TW", "en", "zh-CN"], "", "zh-CN") == ("zh-TW", "zh-CN")
    assert language_names.pick(["fr"], "", "") == ("fr", None)


def test_where_nothing_is_known_the_text_stays() -> None:
    assert TASK.unanswered("Open %s", {"untranslated": "source"}) == "Open %s"
    assert TASK.unanswered("Open %s", {"untranslated": "empty"}) == ""
