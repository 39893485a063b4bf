"""Exports of labelling tools: what was rejected is no example, several labels are several."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from feilun.config import DataConfig
from feilun.data.reading import open_readings
from feilun.data.sources import LeftOut, Source, format_of, open_tables
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset
from feilun.tasks import base
from helpers.builds import (
    bad_rows,
    build_version,
    images_task,
    rows_of,
    table_of,
    texts_task,
)
from helpers.pictures import write_digits
from helpers.rows import reviews

TEXTS = [text for text, _ in reviews(60)]


def lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return file


def cells(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def label_of(number: int) -> str:
    return ("praise", "complaint")[number % 2]


def held(data: Dataset) -> dict[Any, str | None]:
    return {example.item: example.label for example in data.examples()}


def prodigy(number: int) -> dict[str, Any]:
    return {
        "text": TEXTS[number],
        "_input_hash": number,
        "_task_hash": -number,
        "label": label_of(number),
        "_view_id": "classification",
        "answer": ("accept", "accept", "reject", "accept", "accept", "ignore")[number % 6],
        "_timestamp": 1760000000 + number,
    }


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("write", "suffix"), [(lines, "jsonl"), (cells, "csv")])
def test_prodigy_accepts(tmp_path: Path, write: Any, suffix: str, plain: bool) -> None:
    rows = [prodigy(number) for number in range(60)]
    if plain:
        rows = [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]
    data, report = build_version(tmp_path / "v1", write(tmp_path / f"a.{suffix}", rows))
    assert held(data) == {r["text"]: r["label"] for r in rows if r["answer"] == "accept"}
    assert (report.read, report.bad) == (40, 0)
    (said,) = [notice for notice in report.warnings if notice.code == "formats.not_examples"]
    assert said.params == {"file": f"a.{suffix}", "rows": 20}
    assert said.text("en").startswith("20 rows of")
    assert "20 行未采用" in said.text("zh")


def test_prodigy_choices(tmp_path: Path) -> None:
    rows = [
        {
            "text": TEXTS[number],
            "options": [{"id": "praise", "text": "P"}, {"id": "complaint", "text": "C"}],
            "accept": [label_of(number)] if number else ["praise", "complaint"],
            "answer": "accept",
            "_input_hash": number,
        }
        for number in range(60)
    ]
    data, report = build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows))
    assert held(data) == {TEXTS[number]: label_of(number) for number in range(1, 60)}
    assert [row["code"] for row in bad_rows(tmp_path / "v1")] == ["formats.several_labels"]
    assert report.sources[0].details["tool"] == "Prodigy"


def test_an_answer_is_no_verdict_elsewhere(tmp_path: Path) -> None:
    rows = [{"text": text, "answer": ("accept", "reject")[n % 2]} for n, text in enumerate(TEXTS)]
    source = Source(lines(tmp_path / "a.jsonl", rows), columns={"label": "answer"})
    data, report = build_version(tmp_path / "v1", source)
    assert set(data.schema.labels) == {"accept", "reject"}
    assert report.read == 60
    own = Source(
        lines(tmp_path / "b.jsonl", [prodigy(number) for number in range(60)]),
        columns={"label": "answer"},
    )
    assert set(build_version(tmp_path / "v2", own)[0].schema.labels) == {
        "accept",
        "reject",
        "ignore",
    }


def test_a_look_tells_what_is_left_out(tmp_path: Path) -> None:
    from feilun.data.audit.overview import audit_source

    file = lines(tmp_path / "a.jsonl", [prodigy(number) for number in range(60)])
    look = audit_source(Source(file), task=texts_task())
    assert [n.params["rows"] for n in look.warnings if n.code == "formats.not_examples"] == [20]


def test_one_label_accepted_or_rejected(tmp_path: Path) -> None:
    rows = [prodigy(number) | {"label": "SPAM"} for number in range(60)]
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows))
    assert caught.value.code == "formats.one_class"
    assert caught.value.params == {"label": "SPAM", "rows": 40, "rejected": 20}


def test_all_rejected(tmp_path: Path) -> None:
    rows = [prodigy(number) | {"answer": "reject"} for number in range(60)]
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows))
    assert caught.value.code == "formats.all_left_out"
    assert caught.value.params["rows"] == 60


def test_what_was_rejected_can_still_be_predicted(tmp_path: Path) -> None:
    from feilun.data.reading import read

    file = lines(tmp_path / "a.jsonl", [prodigy(number) for number in range(60)])
    every = list(read(Source(file), texts_task(), need_label=False))
    assert [example.item for example in every] == TEXTS
    assert len(list(read(Source(file), texts_task()))) == 40


def nested(number: int) -> dict[str, Any]:
    said: list[dict[str, Any]] = [{"value": label_of(number), "user_id": "u1"}]
    if number == 4:
        said.append({"value": "complaint", "user_id": "u2"})
    return {
        "id": f"r{number}",
        "fields": {"text": TEXTS[number]},
        "metadata": {},
        "suggestions": {"kind": {"value": "complaint", "score": 0.5, "agent": "m"}},
        "responses": {} if number in (1, 2) else {"kind": said},
        "vectors": {},
        "status": "pending" if number == 1 else "discarded" if number == 2 else "completed",
        "_server_id": str(number),
    }


def flat(number: int) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "status": "completed",
        "_server_id": str(number),
        "text": TEXTS[number],
        "kind.responses": [label_of(number), "complaint"],
        "kind.responses.users": ["u1", "u2"],
        "kind.responses.status": [
            "submitted" if number > 2 else ("draft", "draft", "discarded")[number],
            "submitted" if number == 4 else "discarded" if number == 2 else "draft",
        ],
        "kind.suggestion": "complaint",
        "kind.suggestion.score": None,
        "kind.suggestion.agent": None,
    } | ({} if number != 1 else {"kind.responses": None, "kind.responses.status": None})


def older(number: int) -> dict[str, Any]:
    status = "submitted" if number != 2 else "discarded"
    said = [{"user_id": "u1", "value": label_of(number), "status": status}]
    if number == 4:
        said.append({"user_id": "u2", "value": "complaint", "status": "submitted"})
    return {
        "text": TEXTS[number],
        "kind": [] if number == 1 else said,
        "kind-suggestion": "complaint",
        "kind-suggestion-metadata": {"type": None},
        "external_id": None,
        "metadata": "{}",
    }


@pytest.mark.parametrize("record", [nested, flat, older])
def test_argilla(tmp_path: Path, record: Any) -> None:
    rows = [record(number) for number in range(60)]
    data, report = build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows))
    drafts = {0, 1} if record is flat else {1}
    expected = {TEXTS[n]: label_of(n) for n in range(60) if n not in {2, 4} | drafts}
    found = held(data)
    assert {k: v for k, v in found.items() if k != TEXTS[4]} == expected
    table = table_of(tmp_path / "a.jsonl")
    answers = Counter(row.values["label"] for row in table.rows() if row.number == 5)
    assert answers == {"praise": 1, "complaint": 1}, "each person's answer is a row"
    assert [row["code"] for row in bad_rows(tmp_path / "v1")] == ["data.empty_label"] * len(drafts)
    assert [n.params["rows"] for n in report.warnings if n.code == "formats.not_examples"] == [1]


def test_argilla_of_the_first_releases(tmp_path: Path) -> None:
    rows = [
        {
            "text": TEXTS[number],
            "prediction": [{"label": "complaint", "score": 0.9}],
            "prediction_agent": "m",
            "annotation": label_of(number) if number != 1 else None,
            "annotation_agent": "a",
            "status": ("Default", "Discarded", "Validated")[min(number, 1) + (number > 2)],
        }
        for number in range(60)
    ]
    table = table_of(lines(tmp_path / "a.jsonl", rows))
    assert sum(isinstance(row, LeftOut) for row in table.rows()) == 2
    data, _ = build_version(tmp_path / "v1", tmp_path / "a.jsonl")
    assert held(data) == {TEXTS[n]: label_of(n) for n in range(60) if n not in (1, 2)}


def test_label_studio_as_csv(tmp_path: Path) -> None:
    rows = [
        {
            "id": number,
            "text": TEXTS[number],
            "about": '{"choices": ["praise", "urgent"]}' if number % 6 == 5 else label_of(number),
            "annotator": number % 2 + 1,
            "lead_time": 2.5 + number,
        }
        for number in range(60)
    ]
    data, report = build_version(tmp_path / "v1", cells(tmp_path / "a.csv", rows))
    assert held(data) == {TEXTS[n]: label_of(n) for n in range(60) if n % 6 != 5}
    assert report.sources[0].roles is not None
    assert report.sources[0].roles.label == "about", "not the person who labelled"
    assert {row["code"] for row in bad_rows(tmp_path / "v1")} == {"formats.several_labels"}
    (reading,) = open_readings(Source(tmp_path / "a.csv"), base.get("text-tagging"))
    assert reading.roles.label == "about", "names, and lists where there are several"
    by_person = Source(tmp_path / "a.csv", columns={"group": "annotator"})
    assert build_version(tmp_path / "v2", by_person)[1].sources[0].roles.group == "annotator"  # type: ignore[union-attr]


def test_times_of_label_studio_still_divide(tmp_path: Path) -> None:
    rows = [
        {
            "text": TEXTS[n],
            "q": label_of(n),
            "annotation_id": n,
            "lead_time": 1.5,
            "created_at": f"2026-01-01T{n // 60:02}:{n % 60:02}:00Z",
        }
        for n in range(60)
    ]
    settings = DataConfig(split_by="time")
    data, _ = build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows), settings=settings)
    newest = {example.item for example in data.examples("test")}
    assert newest == set(TEXTS[-len(newest) :])


def test_other_answers_of_label_studio(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": TEXTS[n], "stars": [{"rating": n % 2 + 1}], "annotation_id": n, "lead_time": 1}
        for n in range(60)
    ]
    data, _ = build_version(tmp_path / "v1", lines(tmp_path / "a.jsonl", rows))
    assert held(data) == {TEXTS[n]: str(n % 2 + 1) for n in range(60)}
    small = [{"text": "a", "q": {"choices": ["x", "y"]}, "annotation_id": 1, "lead_time": 2.5}]
    file = tmp_path / "min.json"
    file.write_text(json.dumps(small), "utf-8")
    assert rows_of(table_of(file)) == [{"text": "a", "q": ["x", "y"]}]
    (cell,) = rows_of(table_of(cells(tmp_path / "a.csv", [rows[0] | {"stars": '[{"rating": 4}]'}])))
    assert isinstance(cell, dict)
    assert cell["stars"] == [4]


def test_what_everybody_skipped_in_label_studio(tmp_path: Path) -> None:
    tasks = [
        {
            "id": number,
            "data": {"text": TEXTS[number]},
            "annotations": [
                {
                    "was_cancelled": number in (3, 5),
                    "result": [
                        {"from_name": "q", "value": {"choices": [label_of(number)]}},
                    ],
                }
            ],
        }
        for number in range(60)
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks), "utf-8")
    data, report = build_version(tmp_path / "v1", tmp_path / "a.json")
    assert held(data) == {TEXTS[n]: label_of(n) for n in range(60) if n not in (3, 5)}
    assert report.bad == 0
    assert [n.params["rows"] for n in report.warnings if n.code == "formats.not_examples"] == [2]


def test_doccano_as_csv(tmp_path: Path) -> None:
    labels = ["praise", "complaint", "praise#urgent", "C#", "F#", "complaint"]
    rows = [
        {"id": number, "data": TEXTS[number], "label": labels[number % 6]} for number in range(60)
    ]
    data, _ = build_version(tmp_path / "v1", cells(tmp_path / "a.csv", rows))
    assert held(data) == {TEXTS[n]: labels[n % 6] for n in range(60) if n % 6 != 2}
    assert len(bad_rows(tmp_path / "v1")) == 10
    usual = [{"id": n, "text": TEXTS[n], "label": labels[n % 3]} for n in range(60)]
    found = rows_of(table_of(cells(tmp_path / "b.csv", usual)))
    assert {row["label"] for row in found if isinstance(row, dict)} == set(labels[:3])
    both = [{"id": n, "text": TEXTS[n], "label": ("a", "b", "a#b")[n % 3]} for n in range(60)]
    found = rows_of(table_of(cells(tmp_path / "c.csv", both)))
    assert [row["label"] for row in found if isinstance(row, dict)][:3] == ["a", "b", ["a", "b"]]


def cvat(folder: Path, subset: bool, beside: str) -> tuple[Path, list[Path]]:
    """An export of CVAT with a tag for each of 40 digits but the first three."""
    pictures = sorted(write_digits(folder / "all", 40).rglob("*.png"), key=lambda path: path.name)
    said = []
    for number, path in enumerate(pictures):
        part = ("Train", "Validation", "Test")[number % 10 // 8 + (number % 10 == 9)]
        place = folder / beside.format(part=part)
        place.mkdir(parents=True, exist_ok=True)
        path = path.rename(place / f"{number} & <{path.parent.name}>.png")
        tag = f'<tag label="is {path.stem[-2]}" source="manual"></tag>'
        inner = (
            ("", tag + '<tag label="faint"/>', '<box label="x"/>')[number] if number < 3 else tag
        )
        name = path.name.replace("&", "&amp;").replace("<", "&lt;")
        own = f' subset="{part}"' if subset else ""
        said.append(f'<image id="{number}" name="{name}"{own} width="8">{inner}</image>')
    file = folder / "annotations.xml"
    file.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f"<meta><task/></meta>{''.join(said)}</annotations>",
        "utf-8",
    )
    return file, pictures


@pytest.mark.parametrize(
    ("subset", "beside"), [(False, "images"), (False, "."), (True, "images/{part}")]
)
@pytest.mark.parametrize("named", [True, False])
def test_cvat(tmp_path: Path, subset: bool, beside: str, named: bool) -> None:
    file, _ = cvat(tmp_path / "d", subset, beside)
    source = file if named else file.parent
    assert format_of(source) == "cvat"
    data, report = build_version(tmp_path / "v1", source, task=images_task())
    assert len(data) == 37
    assert all(label.startswith("is ") for label in data.schema.labels)
    assert sorted(row["code"] for row in bad_rows(tmp_path / "v1")) == [
        "data.empty_label", "data.empty_label", "formats.several_labels",
    ]  # fmt: skip
    assert len(report.sources) == (3 if subset else 1)
    if subset:
        assert (data.size("validation"), data.size("test")) == (4, 4)


def test_cvat_without_a_class(tmp_path: Path) -> None:
    file = tmp_path / "annotations.xml"
    head = '<?xml version="1.0"?>\n<annotations><meta/>'
    image = '<image id="0" name="a.png"><box label="cat"/><polygon label="dog"/></image>'
    cases = {
        "formats.cvat_no_tags": head + image * 2 + "</annotations>",
        "formats.cvat_no_images": head + '<track id="0" label="cat"/></annotations>',
        "data.damaged": head + image,
        "formats.xml_doctype": head.replace(
            "<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'
        )
        + "</annotations>",
    }
    for code, text in cases.items():
        file.write_text(text)
        with pytest.raises(InvalidData) as caught:
            open_tables(Source(file))
        assert caught.value.code == code
        if code == "formats.cvat_no_tags":
            assert caught.value.params == {"file": file, "images": 2, "shapes": 4}


def test_brat_says_what_it_is(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("the kettle was fine")
        (tmp_path / f"{number}.ann").write_text("T1\tThing 4 10\tkettle\n" if number else "")
    for place in (tmp_path, tmp_path / "1.ann"):
        with pytest.raises(InvalidData) as caught:
            format_of(place)
        assert caught.value.code == "formats.brat"
        assert caught.value.params["file"] == tmp_path / "1.ann"
