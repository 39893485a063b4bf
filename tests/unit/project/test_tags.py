"""A project of tags from the file to an update by a correction; everything is real."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.feedback.collect import accept
from feilun.project import Workspace
from feilun.project.project import Project
from feilun.store.ledger_records import Prediction

PARTS = {
    "late": ("The parcel came two weeks late.", "快递晚了两个星期。"),
    "damaged": ("The box was torn and wet.", "包装破了，里面湿了。"),
    "refund": ("I want my money back.", "我要求退款。"),
}
OPENINGS = ("Hello,", "To whom it may concern:", "Once more:", "你好，", "Order 77:", "Again:",
            "Dear shop,", "您好！")  # fmt: skip


def _rows() -> Iterator[list[object]]:
    for opening, lang in itertools.product(OPENINGS, (0, 1)):
        for count in range(4):
            for tags in itertools.combinations(PARTS, count):
                said = " ".join(PARTS[tag][lang] for tag in tags) or ("Thank you!", "谢谢！")[lang]
                yield [f"{opening} {said}", *(int(tag in tags) for tag in PARTS)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tags") / "letters.csv"
    with found.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", *PARTS])
        writer.writerows(_rows())
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace(tmp_path_factory.mktemp("workspace")) as made:
        yield made


@pytest.fixture(scope="module")
def project(workspace: Workspace, file: Path) -> Project:
    made = workspace.init("letters", task="text-tagging")
    settings = made.file.read_text("utf-8")
    more = "\n[data]\nnear_duplicates = false\n[update]\nmin_corrections = 1\nnew_label_rows = 3\n"
    made.file.write_text(f"{settings}{more}", "utf-8")
    added = made.add(file).to_json()
    assert any("damaged" in one and "refund" in one for one in added["report"]["warnings"])
    made.run()
    return made


def test_the_wheel_turns_with_tags(workspace: Workspace, project: Project, file: Path) -> None:
    text = "Hi! 快递晚了两个星期。 I want my money back."
    answered = project.predict(text, explain=True)
    (output,) = answered.outputs
    assert {one["label"] for one in output["tags"]} == {"late", "refund"}
    assert output["explanation"]["for"] == output["tags"][0]["label"]
    assert output["explanation"]["parts"]
    assert answered.tables()[0].rows[0][-1].startswith(f"{output['tags'][0]['label']}: ")
    told = project.evaluate(on=file).to_json()
    f1 = told["metrics"]["micro_f1"]
    assert 0.9 < f1["low"] <= f1["value"] <= f1["high"] <= 1
    assert [one["label"] for one in told["labels"]] == ["damaged", "late", "refund"]
    folder = workspace.folder / "letters" / "reports"
    report = (folder / "letters@1-decision.html").read_text("utf-8")
    assert "逐个标签" in report
    assert "Tag by tag" in report

    store = workspace.store

    def answer(number: int, text: str) -> str:
        name = f"p{number}"
        row = Prediction(
            name, 0, text, {"tags": []}, "[]", 0.9, None, "letters@1", "letters", "ada"
        )
        store.ledger.commit([], [row])
        return name

    with pytest.raises(InvalidData):
        accept(store.catalog, store.ledger, answer(1, "x y"), 0, {"late": "hm"}, customer="ada")
    accept(store.catalog, store.ledger, answer(2, "晚了！"), 0, ["late"], customer="ada")
    accept(store.catalog, store.ledger, answer(3, "Rude!"), 0, ["rude", "late"], customer="ada")
    updated = project.update().to_json()
    data = store.catalog.latest_data("letters")
    assert data is not None
    assert data.info["feedback"]
    # One row is too few for a tag that nobody has put into a file: it waits.
    assert data.info["waiting"] == {"rude": 1}
    assert project.live is not None, updated
    assert project.live.id == "letters@2"
    schema = store.catalog.project("letters")
    assert schema.task == "text-tagging"


def test_rows_that_all_have_the_same_tags_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "same.csv"
    file.write_text("text,tags\n" + "\n".join(f"letter {n},late|paid" for n in range(30)), "utf-8")
    with pytest.raises(InvalidData) as caught:
        workspace.init("same", task="text-tagging").add(file)
    assert caught.value.code == "data.one_class"


def test_more_tags_than_anybody_has_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    rows = [f"letter {n},a{n}|b{n}" for n in range(1500)]
    file.write_text("text,tags\n" + "\n".join(rows), "utf-8")
    with pytest.raises(InvalidData) as caught:
        workspace.init("many", task="text-tagging").add(file)
    assert caught.value.code == "data.too_many_labels"


def test_tags_that_never_part_are_found_and_made_one(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "twins.csv"
    rows = [f"parcel {n} is slow,late|delayed" for n in range(40)]
    rows += [f"box {n} is torn,damaged" for n in range(40)]
    file.write_text("text,tags\n" + "\n".join(rows), "utf-8")
    project = workspace.init("twins", task="text-tagging")
    added = project.add(file).to_json()
    assert any("delayed = late" in one for one in added["report"]["warnings"])
    found = {one["code"]: one for one in project.audit().to_json()["findings"]}
    assert found["tags_together"]["params"]["pairs"] == ["delayed = late"]
    project.clean(merge_labels={"delayed": "late"})
    data = workspace.store.catalog.latest_data("twins")
    assert data is not None
    assert set(data.counts["train"]) == {"damaged", "late"}
