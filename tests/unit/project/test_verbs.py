"""The verbs of Python on a linear project from first row to rollback; everything is real.

The tests share one workspace with one server and go on from one another, in their order.
"""

from __future__ import annotations

import asyncio
import csv
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.errors import Conflict, CorruptArtifact, InvalidData, NotFound, Refused, UsageError
from feilun.project import Project, Workspace
from feilun.project.answers import predict_folder
from feilun.project.results import Turned
from feilun.project.status import run_state
from feilun.serving.process import temporary_server
from feilun.table import Result
from helpers.linear import QUICK, answered, linear_project
from helpers.rows import write_reviews


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    folder = tmp_path_factory.mktemp("verbs")
    with linear_project(folder) as project:
        text = project.file.read_text("utf-8")
        more = "\n[task]\nfeature_bits = 12\n[update]\nmin_corrections = 12\nnew_label_rows = 4\n"
        project.file.write_text(text + more, "utf-8")
        # The tests' own environment is not there yet when this fixture is made.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEILUN_LANG", "en")
            with temporary_server(folder, project.workspace.settings):
                yield project


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported") / "reviews.v1"


def _shown(result: Result) -> str:
    """A result as people read it; as JSON and as HTML it must hold too."""
    json.dumps(result.to_json(), allow_nan=False)
    tables = list(result.tables())
    page = result._repr_html_()
    assert all(html.escape(note) in page for table in tables for note in table.notes)
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    rows = [str(cell) for table in tables for row in table.rows for cell in row]
    return "\n".join([*(t.title for t in tables), *rows, *(n for t in tables for n in t.notes)])


def test_nothing_can_be_asked_before_there_is_a_version(project: Project) -> None:
    assert project.live is None
    assert project.models() == []
    for verb in (project.evaluate, project.rollback, lambda: project.predict("tea")):
        with pytest.raises(NotFound):
            verb()
    with pytest.raises(UsageError):
        project.add("reviews.csv", split="half")


def test_run(project: Project) -> None:
    async def cell() -> Turned:
        return project.run(method="linear")

    turned = asyncio.run(cell())  # an event loop runs, as in a notebook; the others have none
    assert turned.promoted
    assert turned.live == "reviews@1"
    assert "reviews@1" in _shown(turned)
    assert turned.report is not None
    assert turned.report.is_file()
    assert [m.id for m in project.models()] == ["reviews@1"]
    assert "reviews@1" in project.models()[0]._repr_html_()
    assert "reviews@1" in project._repr_html_()


def test_the_same_run_again_does_nothing_and_says_so(project: Project) -> None:
    again = project.run(method="linear")
    assert len(project.models()) == 1
    assert any("--restart" in note for note in again.notes)


def test_predict(project: Project) -> None:
    answer = project.predict(["lovely tea, will buy again", "awful bread, money wasted"])
    assert [output["label"] for output in answer.outputs] == ["great", "bad"]
    assert answer.model == "reviews@1"
    assert "great" in _shown(answer)
    whole = project.predict("tea", all_scores=True).outputs[0]
    assert set(whole["scores"]) == {"great", "bad"}
    # longer than the name of a file may be
    assert len(project.predict_files(["tasteless " * 40]).outputs) == 1
    with pytest.raises(NotFound):
        project.predict_files(["missing.csv"])


def test_evaluate_on_a_file(project: Project, tmp_path: Path) -> None:
    found = project.evaluate(on=write_reviews(tmp_path / "other.csv", 30, seed=3, noise=0.0))
    assert found.rows == 30
    assert found.metrics["accuracy"] is not None
    assert "reviews@1" in _shown(found)
    # A label that the version does not know counts as wrong; all versions are judged on all rows.
    right = [
        {"review": text, "score": project.predict(text).outputs[0]["label"]}
        for text in ("tea is fine", "dull and stale", "a lovely cup")
    ]
    other = {"review": "it came too late", "score": "late"}
    judged = project.evaluate(on=[*right, other])
    assert judged.rows == 4
    assert judged.metrics["accuracy"]["value"] == 0.75
    assert [(one["label"], one["right"]) for one in judged.labels][-1] == ("late", 0)
    assert ["late" in note and "1" in note for note in judged.reasons] == [True]
    assert project.evaluate(on=right).reasons == []
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("review,score\ntea is fine,other\nbread is fine,another\n", "utf-8")
    with pytest.raises(InvalidData) as caught:
        project.evaluate(on=foreign)
    assert "great" in caught.value.message()


def test_deploying_what_is_live_changes_nothing(project: Project) -> None:
    done = project.deploy("live")
    assert (done.version, done.previous, done.forced) == ("reviews@1", None, False)
    with pytest.raises(UsageError):
        project.deploy(force=True, reason="  ")


def test_export_and_import(project: Project, exported: Path, tmp_path: Path) -> None:
    names = project.export("live", exported)
    assert {"about.json", "README.md", "report.html", "feilun.json"} <= set(names)
    assert "reviews.v1" in (exported / "README.md").read_text("utf-8")
    with pytest.raises(Conflict):
        project.export("live", exported)
    text = "stale coffee, never again"
    expected = project.predict(text).outputs
    assert predict_folder(exported, [text]).outputs == expected  # no workspace at all
    with Workspace(tmp_path / "other") as other:
        model = other.import_version(exported)
        there = model.project
        assert there.predict(text).outputs == expected
        assert there.live is not None
        for verb in (there.evaluate, there.compress):
            with pytest.raises(NotFound) as caught:
                verb()
            assert caught.value.code == "pipeline.no_rows_of_version"
        model.export(tmp_path / "again")
        refused = there.update()
        assert not refused.promoted
        assert "data add" in refused.reason
        other.init("pictures", "image-classification")
        with pytest.raises(InvalidData) as wrong:
            other.import_version(exported, project="pictures")
        assert wrong.value.code == "project.other_task"
    (tmp_path / "again" / "feilun.json").write_text("{}", "utf-8")
    with Workspace(tmp_path / "third") as third:
        with pytest.raises(CorruptArtifact):
            third.import_version(tmp_path / "again")
        with pytest.raises(InvalidData):
            third.import_version(tmp_path)


def test_an_imported_version_is_refused_by_the_gate_and_can_be_forced(
    project: Project, exported: Path
) -> None:
    model = project.workspace.import_version(exported)
    assert model.id == "reviews@2"
    with pytest.raises(NotFound):
        model.deploy()
    done = model.deploy(force=True, reason="tried elsewhere")
    assert (done.version, done.previous, done.forced) == ("reviews@2", "reviews@1", True)
    assert done.golden is not None
    assert "reviews@1" in _shown(done)
    catalog = project.workspace.store.catalog
    live = catalog.live("reviews")
    assert live is not None
    assert (live.forced, live.reason) == (True, "tried elsewhere")


def test_a_second_rollback_goes_further_back(project: Project) -> None:
    with pytest.raises((NotFound, Refused)):
        project.deploy("reviews@9")
    project.train(method="linear", overrides={**QUICK, "training.seed": 4})
    project.deploy("reviews@3", force=True, reason="the third")
    proved = project.model("reviews@3").record.metrics["golden"]
    assert proved["equal"] == proved["total"] > 0
    assert str(proved["total"]) in _shown(project.model("reviews@3").golden())
    back = project.rollback(reason="too slow")
    assert back.version == "reviews@2"
    assert "reviews@3" in _shown(back)
    assert project.releases().rows[0]["reason"].endswith("reviews@3: too slow")
    assert project.rollback().version == "reviews@1"
    with pytest.raises(NotFound):
        project.rollback()
    assert project.live is not None
    assert project.live.id == "reviews@1"
    kept = project.workspace.store.catalog.usable("reviews", 1)
    assert "reviews@1" in kept
    # what the run had put live is not what answers now
    assert project.run(method="linear").live == "reviews@1"


def test_feedback_and_update(project: Project, tmp_path: Path) -> None:
    early = project.update()
    assert not early.promoted
    assert "12" in early.reason
    said = answered(project, 80)
    file = tmp_path / "corrections.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prediction_id", "label"])
        # Turned round: what learns them is worse, so the update is refused.
        turned = [(call, "bad" if label == "great" else "great") for call, label in said[:74]]
        writer.writerows([*turned, ("call-unknown", "bad"), (said[74][0], "so-so")])
    added = project.add_feedback(file)
    assert added.accepted == 75
    assert [fault["row"] for fault in added.refused] == [76]
    assert "76" in _shown(added)
    queue = list(project.review())
    assert len([item for item in queue if item.why == "doubtful"]) in (4, 5)
    assert len(queue) in (5, 6)  # one is drawn from all answers
    queue[0].label("great")
    lots = list(project.review(3, drawn_only=True))
    for item in lots:
        item.label(str(item.prediction.label))  # the live version is right on what was drawn

    updated = project.update()
    assert updated.data_version == "reviews:2"
    version = project.model(updated.stages[-1].version).record
    assert version.parent == "reviews@1"
    words = _shown(updated)
    assert "so-so" in words  # a new label waits, and is said to
    assert re.search(r"[4-7][0-9] corrections train and judge nothing.*: [34]\b", words)
    context = project.scope.context()
    data = context.dataset(context.store.catalog.data_version("reviews:2"))
    sources = dict(zip(data.row_ids(), data.values("source"), strict=True))
    assert {sources[row] for row in data.row_ids("test")} >= {"feedback-drawn"}
    assert {sources[row] for row in data.row_ids("train")} >= {"feedback"}
    for split in ("validation", "test"):
        assert "feedback" not in {sources[row] for row in data.row_ids(split)}
    # What was answered before is out of the draw: the errors among it train now.
    assert list(project.review(3, drawn_only=True)) == []
    # Refused, its corrections count on: the same rows give the same version, judged once more.
    assert not updated.promoted
    assert "stay in reviews:2 and count for the next update" in words
    again = project.update()
    assert again.stages[-1].version == version.id
    assert "counts as no new attempt" in _shown(again)


def test_a_killed_collection_of_corrections_learns_nothing_twice(project: Project) -> None:
    """Killed between the data version and the end of the step: the same step finds its version."""
    from feilun.pipeline.steps import collect

    for call, truth in answered(project, 14, seed=11):
        project.workspace.store.ledger.add_feedback(call, 0, truth, source="operator")
    context = project.scope.context()
    object.__setattr__(context, "run_id", "reviews-update-killed")
    first = collect(context)
    assert first["data_version"] == "reviews:3"
    assert collect(context) == first
    # Nor does it get lost where the run is begun anew: nothing was trained on it yet.
    object.__setattr__(context, "run_id", "reviews-update-anew")
    assert collect(context) == first
    assert project.workspace.store.ledger.waiting("reviews") == 0


def test_gc_keeps_what_is_live(project: Project) -> None:
    live = project.live
    assert live is not None
    would = project.workspace.gc(keep=1, dry_run=True)
    done = project.workspace.gc(keep=1)
    assert would.rows[0]["versions"] == done.rows[0]["versions"]
    assert "model versions" in _shown(done)
    assert project.predict("tea").model == live.id
    pruned = [m for m in project.models() if m.record.pruned]
    for model in pruned:
        with pytest.raises(NotFound):
            model.predict("tea")


def test_status(project: Project) -> None:
    catalog = project.workspace.store.catalog
    name = project.enqueue("update", overrides={"update.min_corrections": 3})
    assert catalog.run(name).config["set"] == {"update.min_corrections": 3}
    catalog.update_run(name, state="running", pid=2**22 + 1)  # a process that cannot be
    status = project.workspace.status("reviews")
    run = next(run for run in status.runs if run["run"] == name)
    assert run["state"] == "interrupted"
    assert "interrupted" in _shown(status)
    catalog.update_run(name, state="failed", error="the disk is full")
    assert "the disk is full" in _shown(project.workspace.status())


def test_a_run_is_never_taken_for_interrupted_as_it_begins_or_ends(project: Project) -> None:
    store = project.workspace.store
    begun = store.catalog.add_run("reviews-train-7", "reviews", "train", state="running")
    assert run_state(store, begun)["state"] == "running"
    before = store.catalog.update_run(begun.id, state="running", pid=2**22 + 1)
    store.catalog.update_run(begun.id, state="finished")  # and its process has ended
    assert run_state(store, before)["state"] == "finished"


def test_a_long_list_is_sent_in_several_calls(project: Project, tmp_path: Path) -> None:
    [server] = project.workspace.store.catalog.servers()
    key = project.workspace.create_key("Long").secret
    file = str(write_reviews(tmp_path / "long.csv", 700))
    here = project.predict_files([file])
    there = project.predict_files([file], url=server.address, key=key)
    assert [one["inputs"] for one in there.calls] == [512, 188]
    assert there.usage is not None
    assert there.usage["inputs"] == 700
    assert there.id is None
    assert [one["label"] for one in there.outputs] == [one["label"] for one in here.outputs]
    assert there.model == here.model
    # Explaining takes fewer at a time, which the server says only when it is asked for more.
    few = project.predict_files(
        [f"tea {n}" for n in range(40)], url=server.address, key=key, explain=True
    )
    assert sum(one["inputs"] for one in few.calls) == 40
    assert len(few.calls) > 1
    assert all("explanation" in output for output in few.outputs)
