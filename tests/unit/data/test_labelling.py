"""Label Studio, doccano, CSV: out, in, and round again; for texts and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from feilun.data.clean.mending import Mending
from feilun.data.clean.named import read_ids, read_named
from feilun.data.clean.recipe import cleaning
from feilun.data.export import export
from feilun.data.sources import Source
from feilun.errors import Conflict, InvalidData, UsageError
from feilun.store.dataset import Dataset
from helpers.builds import bad_rows, build_version, images_task, rows_of, table_of, texts_task
from helpers.pictures import write_digits
from helpers.rows import reviews

FILES = ["rows.json", "rows.jsonl", "rows.csv"]
LABELS = ("good, 好", 'so "so"', "bad\n坏")


@pytest.fixture
def texts(tmp_path: Path) -> Dataset:
    """Rows with everything that a format can stumble over."""
    odd = [
        'a "quoted", text',
        "two\nlines\r\nthree",
        "  space around  ",
        "=1+1",
        "emoji 👍🏽",
        "逗号，引号“”",
        "tab\there",
    ]
    rows = [
        {
            "text": f"{text} {odd[n % len(odd)]}",
            "label": LABELS[n % 3],
            "id": f"order-{n}",
            "group": f"g{n // 2}",
            "user": f"客户{n // 5}",
        }
        for n, (text, _) in enumerate(reviews(90))
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return build_version(tmp_path / "v1", file)[0]


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    return build_version(tmp_path / "v1", write_digits(tmp_path / "d", 60), task=images_task())[0]


def held(data: Dataset) -> set[tuple[Any, ...]]:
    return {(e.row_id, e.item, e.label, e.group, e.subject) for e in data.examples()}


@pytest.mark.parametrize("name", [*FILES, "doccano.csv"])
def test_texts_come_back_as_they_went(tmp_path: Path, texts: Dataset, name: str) -> None:
    file = tmp_path / "out" / name
    done = export(texts, file, format="doccano" if name == "doccano.csv" else None)
    assert (done.rows, done.media) == (90, None)
    back, report = build_version(tmp_path / "v2", file)
    assert report.bad == 0
    assert held(back) == held(texts)
    assert not list(file.parent.glob(".*")), "nothing half-written stays"


@pytest.mark.parametrize("name", FILES)
def test_pictures_come_back_as_they_went(tmp_path: Path, pictures: Dataset, name: str) -> None:
    file = tmp_path / "out" / name
    done = export(pictures, file)
    assert done.media == tmp_path / "out" / "rows_files"
    assert len(list(done.media.iterdir())) == 60
    back, report = build_version(tmp_path / "v2", file, task=images_task())
    assert report.bad == 0
    assert held(back) == held(pictures)


def test_a_part_or_named_rows_alone(tmp_path: Path, texts: Dataset) -> None:
    assert export(texts, tmp_path / "test.csv", split="test").rows == texts.size("test")
    wanted = texts.row_ids()[3:7]
    named = tmp_path / "suspects.csv"
    named.write_text(
        "\ufeffrow_id,label,keep,given\n" + "".join(f"{i},,,x\n" for i in wanted), "utf-8"
    )
    export(texts, tmp_path / "some.jsonl", only=read_ids(named))
    lines = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text("utf-8").splitlines()]
    assert [line["row_id"] for line in lines] == wanted
    assert all(isinstance(line["label"], list) for line in lines)
    with pytest.raises(InvalidData) as caught:
        export(texts, tmp_path / "none.csv", only={"nobody"})
    assert caught.value.code == "formats.nothing_to_export"
    assert not (tmp_path / "none.csv").exists()


def test_nothing_is_written_over_and_no_format_is_guessed(tmp_path: Path, texts: Dataset) -> None:
    (tmp_path / "there.csv").write_text("mine", "utf-8")
    with pytest.raises(Conflict):
        export(texts, tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text("utf-8") == "mine"
    with pytest.raises(UsageError) as caught:
        export(texts, tmp_path / "rows.xlsx")
    assert "label-studio" in caught.value.message()


def test_doccano_takes_pictures_as_lines_alone(tmp_path: Path, pictures: Dataset) -> None:
    with pytest.raises(InvalidData) as caught:
        export(pictures, tmp_path / "rows.csv", format="doccano")
    assert caught.value.code == "formats.csv_pictures"


def test_the_interface_fits_the_tasks(tmp_path: Path, texts: Dataset) -> None:
    done = export(texts, tmp_path / "rows.json")
    assert done.config is not None
    view = ElementTree.fromstring(done.config.read_text("utf-8"))
    (choices,) = view.findall("Choices")
    task = json.loads((tmp_path / "rows.json").read_text("utf-8"))[0]
    (result,) = task["annotations"][0]["result"]
    assert result["from_name"] == choices.get("name")
    assert result["to_name"] == choices.get("toName") == view.find("Text").get("name")  # type: ignore[union-attr]
    assert view.find("Text").get("value") == "$text"  # type: ignore[union-attr]
    assert "text" in task["data"]
    values = [choice.get("value") for choice in choices]
    assert values == list(texts.schema.labels)
    assert result["value"]["choices"][0] in values


def test_labels_from_a_labelling_tool_mend_the_rows_they_are_of(
    tmp_path: Path, texts: Dataset
) -> None:
    file = tmp_path / "rows.json"
    export(texts, file)
    tasks = json.loads(file.read_text("utf-8"))
    for task in tasks[:7]:
        task["annotations"][0]["result"][0]["value"]["choices"] = ["neu 新"]
    file.write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")
    again, report = build_version(tmp_path / "v2", file, previous=texts)
    assert held(again) == held(texts), "data add brings rows, it does not overrule labels"
    (said,) = [notice for notice in report.warnings if notice.code == "formats.labels_stay"]
    assert said.params["rows"] == 7
    assert "7 rows are here already" in said.text()
    one = cleaning(relabel=str(file))
    mending = Mending([one], named=read_named(texts_task(), one.relabel, None))
    mended, _ = build_version(tmp_path / "v3", previous=texts, mending=mending)
    assert sum(e.label == "neu 新" for e in mended.examples()) == 7


# What others write


def annotated(text: str, *answers: Any, **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it; an answer is a list of choices."""
    annotations = [
        {
            "id": number,
            "completed_by": number,
            "was_cancelled": answer is None,
            "ground_truth": False,
            "lead_time": 4.2,
            "result": []
            if answer is None
            else [
                {
                    "id": "x",
                    "from_name": "sentiment",
                    "to_name": "text",
                    "type": "choices",
                    "value": {"choices": answer},
                }
            ],
        }
        for number, answer in enumerate(answers)
    ]
    return {
        "id": 7,
        "annotations": annotations,
        "file_upload": "up.csv",
        "drafts": [],
        "predictions": [],
        "data": {"text": text},
        "meta": {},
        "created_at": "2026-11-22T07:00:00Z",
        **more,
    }


def write(file: Path, value: Any, indent: int | None = None) -> Path:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=indent), "utf-8")
    return file


@pytest.mark.parametrize("indent", [None, 2])
def test_what_label_studio_exports(tmp_path: Path, indent: int | None) -> None:
    tasks = [
        annotated("好吃", ["great"]),
        annotated("three people", ["bad"], ["great"], ["bad"]),
        annotated("skipped", None),
        annotated("nobody yet"),
        annotated("both", ["bad", "great"]),
        annotated("stars", extra=1),
    ]
    tasks[-1]["annotations"] = [
        {"result": [{"from_name": "r", "type": "rating", "value": {"rating": 4}}]}
    ]
    table = table_of(write(tmp_path / "export.json", tasks, indent))
    assert table.details["format"] == "Label Studio"
    rows = rows_of(table)
    assert [row["label"] for row in rows if isinstance(row, dict)] == [
        ["great"],
        ["bad"],
        ["great"],
        ["bad"],
        None,
        None,
        ["bad", "great"],
        4,
    ]
    more = [annotated(text, [label]) for text, label in reviews(60)]
    data, report = build_version(tmp_path / "v1", write(tmp_path / "all.json", [*tasks[:5], *more]))
    found = {e.item: e.label for e in data.examples()}
    assert found["three people"] == "bad"
    assert found["好吃"] == "great"
    assert report.bad == 2
    assert report.sources[0].details["left_out"] == {"formats.not_examples": 1}
    codes = [row["code"] for row in bad_rows(tmp_path / "v1")]
    assert sorted(codes) == ["data.empty_label", "formats.several_labels"]


def test_ground_truth_goes_before_everybody(tmp_path: Path) -> None:
    task = annotated("x", ["bad"], ["bad"], ["great"])
    task["annotations"][2]["ground_truth"] = True
    (row,) = rows_of(table_of(write(tmp_path / "a.json", [task])))
    assert isinstance(row, dict)
    assert row["label"] == ["great"]


def test_a_second_question_is_a_column_of_its_own(tmp_path: Path) -> None:
    tasks = []
    for text, label in reviews(40):
        task = annotated(text, [label])
        second = {
            "from_name": "topic",
            "type": "choices",
            "value": {"choices": ["tea" if "tea" in text else "else"]},
        }
        task["annotations"][0]["result"].append(second)
        tasks.append(task)
    file = write(tmp_path / "a.json", tasks)
    source = Source(file, columns={"label": "topic"})
    data, _ = build_version(tmp_path / "v1", source)
    assert data.schema.labels == ("else", "tea")


def test_files_that_label_studio_served_are_found_beside_the_export(tmp_path: Path) -> None:
    write_digits(tmp_path / "my pictures", 40)
    tasks = []
    for file in sorted((tmp_path / "my pictures").rglob("*.png")):
        task = annotated("", [file.parent.name])
        where = f"my%20pictures/{file.parent.name}/{file.name}"
        task["data"] = {"image": f"/data/local-files/?d={where}"}
        tasks.append(task)
    data, report = build_version(
        tmp_path / "v1", write(tmp_path / "a.json", tasks), task=images_task()
    )
    assert (len(data), report.bad) == (40, 0)


def test_what_doccano_exports(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": n + 1, "text": text, "label": [label], "Comments": []}
        for n, (text, label) in enumerate(reviews(60))
    ]
    rows += [
        {"id": 90, "text": "unlabelled 未标注", "label": [], "Comments": []},
        {"id": 91, "text": "two at once", "label": ["bad", "great"], "Comments": ["hm"]},
    ]
    lines = tmp_path / "all.jsonl"
    lines.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    array = write(tmp_path / "all.json", rows)
    for number, file in enumerate((lines, array)):
        data, report = build_version(tmp_path / f"v{number}", file)
        assert {(e.item, e.label) for e in data.examples()} == set(reviews(60))
        codes = sorted(row["code"] for row in bad_rows(tmp_path / f"v{number}"))
        assert codes == ["data.empty_label", "formats.several_labels"]
        assert report.bad == 2
    table = tmp_path / "all.csv"
    table.write_text(
        "id,text,label,Comments\n"
        + "".join(f'{r["id"]},"{r["text"]}",{r["label"][0]},\n' for r in rows[:60]),
        "utf-8",
    )
    data, _ = build_version(tmp_path / "v9", table)
    assert {(e.item, e.label) for e in data.examples()} == set(reviews(60))


@pytest.mark.parametrize(
    ("value", "format"),
    [
        ([{"text": "a", "data": 1, "annotations": []}], "JSON"),
        ([{"data": {"text": "a"}, "label": "x"}], "JSON"),
        ([{"data": {"text": "a"}, "predictions": []}], "Label Studio"),
        ([{"data": {"text": "a"}, "completions": []}], "Label Studio"),
    ],
)
def test_only_tasks_are_taken_for_tasks(tmp_path: Path, value: Any, format: str) -> None:
    table = table_of(write(tmp_path / "a.json", value))
    table.close()
    assert table.details["format"] == format


def test_a_task_that_is_none_is_a_bad_row(tmp_path: Path) -> None:
    assert rows_of(table_of(write(tmp_path / "a.json", [annotated("x", ["a"]), {"text": "y"}])))[
        1
    ] == ("formats.no_task")
