"""A project of records from files to an update by a correction; everything is real."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.errors import CorruptArtifact, UsageError
from feilun.families.records import RECORDS
from feilun.project import Project, Workspace
from feilun.store.dataset import DatasetWriter
from feilun.types import Example, Schema
from helpers.invoices import invoices
from helpers.jobs import job_for, train

ROWS = invoices(160)
TEXT = "Invoice no. B-77 of 03.05.2024 for Kira Lopez: taxi, total 1,250.75 EUR."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Trained on a table with a column for each field, but for one row without a record."""
    folder = tmp_path_factory.mktemp("records")
    table = folder / "invoices.csv"
    with table.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["id", "text", "number", "customer", "date", "total", "category"])
        for place, (text, one) in enumerate(ROWS):
            name = one["customer"]["name"]
            cells = [one["number"] or "", name, one["date"], one["total"], one["category"]]
            rows.writerow([place, text, *cells])
    with Workspace(folder / "space") as workspace:
        project = workspace.init("invoices", task="extraction")
        project.add(table)
        project.run(overrides={"evaluation.robustness": False})
        yield project


def _folder(project: Project) -> Path:
    model = project.live_or_newest
    assert model is not None
    return project.scope.context().folder(model.record)


def test_a_table_with_a_column_a_field_becomes_an_extractor(project: Project) -> None:
    (output,) = project.predict(TEXT).outputs
    assert output["record"] == {
        "category": "travel",
        "customer": "Kira Lopez",
        "date": "2024-05-03",
        "number": "B-77",
        "total": 1250.75,
    }
    total = output["fields"]["total"]
    assert TEXT[total["start"] : total["end"]] == "1,250.75"
    (other,) = project.predict("Thanks, see you tomorrow at the office!").outputs
    assert other["score"] < 0.2 < output["score"]


def test_each_field_is_judged_by_itself(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "judge.jsonl"
    plain = [
        {"text": text, "record": {**one, "customer": one["customer"]["name"]}}
        for text, one in invoices(60, seed=7)
    ]
    file.write_text("\n".join(map(json.dumps, plain)), "utf-8")
    found = project.evaluate(on=file).to_json()
    assert found["metrics"]["f1"]["value"] > 0.95
    assert found["metrics"]["exact_rows"]["value"] > 0.8
    reports = project.file.parent / "reports"
    report = (reports / "invoices@1-decision.html").read_text("utf-8")
    fields = report[report.index("各个字段") :]
    assert all(name in fields for name in ("category", "customer", "date", "number", "total"))


def test_the_same_item_alone_and_among_others_is_read_alike(project: Project) -> None:
    engine = open_engine(_folder(project))
    texts = [text for text, _ in ROWS[:20]]
    together = engine.raw(texts)
    for place in (0, 7, 19):
        (alone,) = engine.raw([texts[place]])
        assert [one.value for one in alone] == [one.value for one in together[place]]
        assert np.allclose([o.score for o in alone], [o.score for o in together[place]], atol=1e-5)
    engine.close()


def test_files_that_are_cut_short_are_no_extractor(project: Project, tmp_path: Path) -> None:
    folder = _folder(project)
    for name in ("extractor.json", "weights.safetensors", "crf/0.crfsuite"):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy, copy_function=shutil.copyfile)
        whole = (copy / name).read_bytes()
        (copy / name).unlink()
        (copy / name).write_bytes(whole[: 2 if "crf" in name else len(whole) // 2])
        with pytest.raises(CorruptArtifact):
            open_engine(copy)


def test_what_cannot_be_learnt_is_said(project: Project, tmp_path: Path) -> None:
    rows = [(f"order {n} came", f'{{"code":"x{n * 7}"}}') for n in range(40)]
    with DatasetWriter(tmp_path / "data", {"text": "text"}, RECORDS.stratum) as writer:
        for number, (text, target) in enumerate(rows):
            writer.add(Example(f"row-{number}", text, target, "train"))
        writer.close(Schema("extraction", ("code",), {}))
    job = replace(job_for("extractor", tmp_path / "data", tmp_path), task="extraction")
    (note,) = train(job).notes
    assert "code" in note
    with closing(open_engine(job.out)) as engine:
        (output,) = engine.predict(["order 3 came"])
    assert output["record"] == {"code": None}
    assert output["score"] == 0
    with pytest.raises(UsageError, match="extraction"):
        project.run(method="crf")
    bad = tmp_path / "bad.jsonl"
    lines = [{"text": f"{n} goods", "record": {"goods": [{"name": "tea"}]}} for n in range(3)]
    good = {"text": "one more", "record": {"total": 3}}
    bad.write_text("\n".join(map(json.dumps, [*lines, good])), "utf-8")
    assert project.add(bad).report["bad"] == 3
