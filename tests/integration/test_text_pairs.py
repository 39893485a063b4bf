"""Two texts and one answer: the whole wheel in both languages, and what is no pair."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun import messages
from feilun.errors import FeilunError, InvalidData
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from feilun.tasks import base as tasks
from feilun.types import ColumnSample, Item
from helpers.builds import bad_rows, build_version

ENGLISH = {
    "address": ["How do I change my address?", "Where can I enter my new address?"],
    "refund": ["How do I get a refund?", "Can I have the price refunded?"],
    "parcel": ["When will my parcel arrive?", "Where is my parcel now?"],
}
CHINESE = {
    "address": ["怎么修改收货地址？", "新地址要在哪里填写？"],
    "refund": ["怎么申请退款？", "退款要在哪里申请？"],
    "parcel": ["我的包裹什么时候到？", "包裹到哪里了？"],
}
SAME = {"text": "How do I get a refund?", "other": "Please, can I have the price refunded?"}
OTHERS = {"text": "怎么申请退款？", "other": "包裹到哪里了？"}


def _pairs(topics: dict[str, list[str]], before: list[str]) -> list[tuple[str, str, str]]:
    """Each sentence beside each, with words before both that say nothing."""
    draw = random.Random(0)
    said = [(topic, b + s) for topic, many in topics.items() for s in many for b in before]
    pairs = [(a, b, "same" if x == y else "different") for x, a in said for y, b in said if a != b]
    same = [pair for pair in pairs if pair[2] == "same"]
    others = draw.sample([pair for pair in pairs if pair[2] != "same"], len(same))
    return draw.sample(same + others, len(same + others))


def _csv(path: Path, head: tuple[str, ...], rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose model is live, on a CSV file in English and a JSONL file in Chinese."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("pairs")
    english = _pairs(ENGLISH, ["", "Hello, ", "Please: "])
    lines = [
        json.dumps({"句子1": a, "句子2": b, "标签": label}, ensure_ascii=False)
        for a, b, label in _pairs(CHINESE, ["", "你好，", "请问"])
    ]
    (folder / "b.jsonl").write_text("\n".join(lines), "utf-8")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("pairs", task="text-pair-classification")
        project.add(
            _csv(folder / "a.csv", ("question1", "question2", "is_duplicate"), english),
            folder / "b.jsonl",
        )
        project.run(method="linear")
        yield project


def test_it_learns_what_both_texts_share(project: Project, tmp_path: Path) -> None:
    held = _pairs(ENGLISH, ["Well, "]) + _pairs(CHINESE, ["麻烦问一下，"])
    found = project.evaluate(on=_csv(tmp_path / "held.csv", ("text", "other", "label"), held))
    accuracy = found.metrics["accuracy"]
    assert accuracy is not None
    assert 0.5 < accuracy["low"] <= accuracy["value"] <= accuracy["high"]


def test_it_answers_explains_and_is_corrected_over_http(project: Project) -> None:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        headers = {"Authorization": f"Bearer {workspace.create_key('Ada').secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            body: dict[str, Any] = {"model": "pairs", "inputs": [SAME, OTHERS], "explain": True}
            answer = http.post("/v1/predict", json=body).json()
            assert [one["label"] for one in answer["outputs"]] == ["same", "different"]
            parts = answer["outputs"][0]["explanation"]["parts"]
            assert {part["column"] for part in parts} == {"text", "other"}
            assert [p["value"] for p in parts if p["column"] == "text"][-1] == "refund?"
            correction = {"prediction_id": answer["id"], "index": 1, "label": "same"}
            assert http.post("/v1/feedback", json=correction).json()["label"] == "same"
            tensors = [
                {
                    "name": name,
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": [SAME[name], OTHERS[name]],
                }
                for name in ("text", "other")
            ]
            infer = http.post("/v2/models/pairs/infer", json={"inputs": tensors}).json()
            assert infer["outputs"][0]["data"] == ["same", "different"]
            alone = http.post("/v2/models/pairs/infer", json={"inputs": tensors[:1]})
            assert alone.status_code == 422
            for item, said in (
                ({"text": "a refund"}, "missing or blank: other"),
                ({"text": " ", "other": ""}, "missing or blank: text, other"),
                ("one text", "not two texts but str"),
            ):
                refused = http.post("/v1/predict", json={"model": "pairs", "inputs": [item]})
                assert refused.status_code == 422
                assert said in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "item",
    [
        {"text": "one"},
        {"text": "one", "other": None},
        {"text": float("nan"), "other": "two"},
        {"text": "one", "other": True},
        {"text": "one", "other": "two", "third": "three"},
    ],
)
def test_what_is_no_pair(item: Item) -> None:
    with pytest.raises(InvalidData):
        tasks.get("text-pair-classification").check(item)


def test_the_same_text_twice_is_a_pair() -> None:
    task = tasks.get("text-pair-classification")
    item = {"text": "退款", "other": "退款"}
    assert task.check(item) == item
    row = task.features({}).transform([item, {"text": "退款", "other": "地址"}]).toarray()
    assert row[0, -1] == row[0, -12] > 0  # equal texts: the last figure is 1
    assert row[1, -1] == row[1, -12] == 0


def test_a_changed_word_is_told_from_one_in_both() -> None:
    """The bag of both texts is the same; what they share is not."""
    features = tasks.get("text-pair-classification").features({"feature_bits": 12})
    block = 1 << 10
    (one,) = features.transform([{"text": "red shoe", "other": "red shoe"}]).toarray()
    (two,) = features.transform([{"text": "red red", "other": "shoe shoe"}]).toarray()
    assert one[2 * block : 3 * block].any()
    assert not one[3 * block : 4 * block].any()
    assert two[3 * block : 4 * block].sum() > one[3 * block : 4 * block].sum()


def test_rows_without_one_of_the_texts_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [(f"question {n}", f"reply {n % 7} {n}", "yn"[n % 2]) for n in range(40)]
    rows += [("alone", "", "y"), ("", "", "n"), ("twice", "twice", "y")]
    file = _csv(tmp_path / "a.csv", ("premise", "hypothesis", "label"), rows)
    data, _ = build_version(tmp_path / "v", file, task=tasks.get("text-pair-classification"))
    assert sum(1 for _ in data.examples()) == 41
    bad = bad_rows(tmp_path / "v")
    assert [row["row"] for row in bad] == [41, 42]
    assert "other" in bad[0]["reason"]


@pytest.mark.parametrize(
    ("head", "first", "second"),
    [
        (("Question1", "question2", "label"), "Question1", "question2"),
        (("hypothesis", "premise", "label"), "premise", "hypothesis"),
        (("label", "ours", "theirs"), "ours", "theirs"),
        (("ours", "other", "label"), "ours", "other"),
        (("问题1", "问题2", "是否重复"), "问题1", "问题2"),
    ],
)
def test_the_two_texts_are_found(head: tuple[str, ...], first: str, second: str) -> None:
    task = tasks.get("text-pair-classification")
    labels = [name for name in head if name not in (first, second)]
    columns = [
        ColumnSample(
            name, ["y", "n"] * 4 if name in labels else [f"{name} text {n}" for n in range(8)]
        )
        for name in head
    ]
    roles = task.recognise(columns)
    assert dict(roles.inputs) == {"text": first, "other": second}
    assert roles.label == labels[0]


def test_numbers_are_no_texts(tmp_path: Path) -> None:
    rows = [(str(n), str(n * 7), "yn"[n % 2]) for n in range(40)]
    file = _csv(tmp_path / "a.csv", ("first", "second", "label"), rows)
    with pytest.raises(FeilunError, match="first, second"):
        build_version(tmp_path / "v", file, task=tasks.get("text-pair-classification"))
    one = [(f"some text {n}", str(n), "yn"[n % 2]) for n in range(40)]
    file = _csv(tmp_path / "b.csv", ("first", "second", "label"), one)
    with pytest.raises(InvalidData, match="other"):
        build_version(tmp_path / "w", file, task=tasks.get("text-pair-classification"))
