"""A project of entities from the file to an update by a correction; everything is real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.feedback.collect import accept
from feilun.project import Workspace
from feilun.store.ledger_records import Prediction

PEOPLE = ["Anna Keller", "王小明", "Li Wei", "李芳", "Olga Meyer", "陈伟"]
PLACES = ["Oslo", "上海", "Porto", "武汉", "Vienna", "北京"]


def _file(folder: Path) -> Path:
    rows = []
    for person in PEOPLE:
        for place in PLACES:
            for before, middle in (("Dear ", " moved to "), ("请", "寄到"), ("", " wohnt in ")):
                start, second = len(before), len(before) + len(person) + len(middle)
                spans = [[start, start + len(person), "PER"], [second, second + len(place), "LOC"]]
                rows.append({"text": f"{before}{person}{middle}{place}.", "entities": spans})
    rows += [{"text": f"Order {n} is late. 订单{n}。", "entities": []} for n in range(60)]
    file = folder / "entities.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    bad = {"text": "short", "entities": [[0, 99, "PER"]]}
    (folder / "more.jsonl").write_text(json.dumps(bad) + "\n" + file.read_text("utf-8"), "utf-8")
    return file


@pytest.mark.slow
def test_the_wheel_turns_with_entities(tmp_path: Path, workspace_dir: Path) -> None:
    file = _file(tmp_path)
    with Workspace(workspace_dir) as workspace:
        project = workspace.init("ents", task="token-classification")
        settings = project.file.read_text("utf-8")
        project.file.write_text(f"{settings}\n[update]\nmin_corrections = 1\n", "utf-8")
        added = project.add(tmp_path / "more.jsonl")
        assert added.report["bad"] == 1
        (stage,) = project.run().stages
        assert (stage.version, stage.method) == ("ents@1", "crf")
        (output,) = project.predict("Dear Anna Keller moved to 上海.").outputs
        found = [(one["entity_group"], one["word"]) for one in output["entities"]]
        assert found == [("PER", "Anna Keller"), ("LOC", "上海")]
        (why,) = project.predict("请李芳寄到Oslo.", explain=True).outputs
        parts = {one["text"]: one["weight"] for one in why["explanation"]["parts"]}
        name = why["explanation"]["for"].split(" ", 1)[1]  # the least certain entity
        assert max(parts, key=lambda part: parts[part]) in (name, f"{name}.")
        (nothing,) = project.predict("Order 7 is late.", explain=True).outputs
        assert nothing == {"entities": [], "explanation": None}
        f1 = project.evaluate(on=file).to_json()["metrics"]["f1"]
        assert 0.9 < f1["low"] <= f1["value"] <= f1["high"] <= 1
        report = (workspace_dir / "ents" / "reports" / "ents@1-decision.html").read_text("utf-8")
        assert "各类实体" in report

        store = workspace.store
        answer = Prediction(
            "p1", 0, "请Zoë寄到拉萨.", {"entities": []}, "[]", None, None, "ents@1", "ents", "ada"
        )
        store.ledger.commit([], [answer])
        wrong = [{"start": 0, "end": 40, "label": "PER"}]
        with pytest.raises(InvalidData):
            accept(store.catalog, store.ledger, "p1", 0, wrong, customer="ada")
        right = [{"start": 1, "end": 4, "label": "PER"}, {"start": 6, "end": 8, "label": "LOC"}]
        accept(store.catalog, store.ledger, "p1", 0, right, customer="ada")
        project.update()
        data = store.catalog.latest_data("ents")
        assert data is not None
        assert data.info["feedback"]
        assert project.live is not None
        assert project.live.id == "ents@2"
