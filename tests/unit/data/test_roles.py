"""Which column is what: guessed, overridden, refused with the columns there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.data.content import content_key, label_text, stored_key
from feilun.data.reading import read
from feilun.data.roles import resolve
from feilun.data.sources import Source
from feilun.errors import FeilunError, InvalidData
from feilun.store.dataset import media_path
from feilun.types import Roles
from helpers.builds import table_of, texts_task

REVIEWS = "id,review,score,user\n1,I like it very much,great,ann\n2,not for me at all,other,bob\n"


def roles_of(tmp_path: Path, content: str, /, need_label: bool = True, **columns: str) -> Roles:
    file = tmp_path / "a.csv"
    file.write_text(content, "utf-8")
    table = table_of(file)
    try:
        return resolve(table, texts_task(), columns, need_label)
    finally:
        table.close()


def test_roles_are_guessed(tmp_path: Path) -> None:
    expected = Roles({"text": "review"}, "score", "id", None, "user")
    assert roles_of(tmp_path, REVIEWS) == expected


def test_roles_are_overridden(tmp_path: Path) -> None:
    found = roles_of(tmp_path, REVIEWS, label="user", group="score")
    assert (found.inputs, found.label, found.group, found.subject) == (
        {"text": "review"}, "user", "score", None,
    )  # fmt: skip


def test_a_given_input_leaves_the_label_to_be_guessed(tmp_path: Path) -> None:
    text = "text,note,label\nsome words here,more words,x\nothers there,and more,y\n"
    found = roles_of(tmp_path, text, text="note")
    assert (found.inputs, found.label) == ({"text": "note"}, "label")
    found = roles_of(tmp_path, text, text="label")
    assert found.inputs == {"text": "label"}
    assert found.label not in ("label", None)


def test_a_given_label_leaves_the_input_to_be_guessed(tmp_path: Path) -> None:
    text = "text,review\nsome words here,x\nothers there,y\n"
    assert roles_of(tmp_path, text, label="text").inputs == {"text": "review"}


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"text": "comment"}, "data.unknown_column", "id, review, score, user"),
        ({"label": "stars"}, "data.unknown_column", "no column 'stars'"),
        ({"txet": "review"}, "data.unknown_role", "text, label, id, group, subject"),
    ],
)
def test_unknown_columns_and_roles(
    tmp_path: Path, columns: dict[str, str], code: str, said: str
) -> None:
    with pytest.raises(FeilunError) as caught:
        roles_of(tmp_path, REVIEWS, **columns)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_no_label_column(tmp_path: Path) -> None:
    text = "text\none thing\nanother thing\n"
    with pytest.raises(InvalidData) as caught:
        roles_of(tmp_path, text)
    assert caught.value.code == "data.no_label"
    assert "it has: text" in str(caught.value)
    assert roles_of(tmp_path, text, need_label=False).label is None


def test_no_input_column(tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        roles_of(tmp_path, "a,b\n1,2\n3,4\n")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1, "1"), (1.0, "1"), ("1.0", "1"), ("-3.00", "-3"), (0.5, "0.5"), ("0.5", "0.5"),
        (" good ", "good"), ("e\u0301", "é"), (True, "true"),
        (None, None), (float("nan"), None), ("", None), ("  ", None), ("NaN", None),
        ("null", None), ("#N/A", None), ("none", "none"),
    ],
)  # fmt: skip
def test_labels_as_text(value: str | float | None, label: str | None) -> None:
    assert label_text(texts_task(), value) == label


def test_content_keys() -> None:
    assert content_key(" caf\u00e9\n") == content_key("cafe\u0301")
    assert content_key("a") != content_key("A")
    assert content_key(b"a") != content_key("a")
    assert content_key(1) == content_key(1.0) != content_key("1")
    assert content_key({"a": "x", "b": "y"}) == content_key({"b": "y", "a": "x "})
    assert content_key({"a": "xy", "b": ""}) != content_key({"a": "x", "b": "y"})
    assert len(content_key({"a": None, "b": b"1"})) == 16


def test_stored_keys_are_content_keys() -> None:
    import hashlib

    data = b"png"
    name = hashlib.sha256(data).hexdigest()
    assert media_path(Path("d"), name).parent.name == name[:2]
    assert stored_key([("image", "image")], [name]) == content_key(data)
    assert stored_key([("text", "text")], ["x"]) == content_key("x")
    kinds = [("photo", "image"), ("age", "number"), ("text", "text")]
    assert stored_key(kinds, [name, 3.0, "x"]) == content_key(
        {"photo": data, "age": 3, "text": "x"}
    )


def test_reading_rows_to_predict_on(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\nsome words,good\n,bad\nmore words,\nsome words,good\n")
    found = list(read(Source(file), texts_task(), need_label=False))
    assert [(e.item, e.label) for e in found] == [
        ("some words", "good"), ("", "bad"), ("more words", None), ("some words", "good"),
    ]  # fmt: skip
    assert found[0].row_id == found[3].row_id != found[1].row_id
    assert found[0].source == "a.csv"
    with pytest.raises(InvalidData) as caught:
        list(read(Source(file), texts_task()))
    assert "a.csv, row 2: column text is empty" in str(caught.value)
    bad: list[int] = []
    assert len(list(read(Source(file), texts_task(), bad=lambda row: bad.append(row.number)))) == 2
    assert bad == [2, 3]


def test_booleans_are_one_label_however_they_are_written() -> None:
    ways = (True, "TRUE", "True", "true", " true ")
    assert {label_text(texts_task(), value) for value in ways} == {"true"}
    assert {label_text(texts_task(), value) for value in (False, "FALSE", "False")} == {"false"}
