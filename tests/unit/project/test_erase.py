"""Erasing a person: nothing of them is left on disk, money stays, versions that learnt are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.data.erasure import Selection
from feilun.errors import NotFound, UsageError
from feilun.project import Project, Workspace, erasing
from feilun.store.ledger_records import Event, Prediction
from helpers.linear import QUICK
from helpers.rows import reviews

NAME = "Zoë 李伟"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data versions, the first with a row about somebody; a version that learnt from it; a
    kept call, corrected, and another's."""
    rows = [
        {"text": text, "label": label, "id": f"r{n}"}
        for n, (text, label) in enumerate(reviews(60, noise=0.0))
    ]
    rows[3]["text"] = f"{NAME.upper()} says: {rows[3]['text']}"
    rows[4]["text"] = "Somebody whom only the id of the row names, at length."
    folder = tmp_path_factory.mktemp("template")
    with Workspace(folder) as workspace:
        project = workspace.init("reviews")
        project.add(rows, split="train")
        project.add([{"text": f"more {n} of it", "label": "great"} for n in range(3)])
        project.run(method="linear", overrides=QUICK)
        for number, text in enumerate((f"I am {NAME}", "I am nobody", rows[4]["text"])):
            answer = Prediction(
                f"call-{number}", 0, text, {"label": "bad"}, "bad", 0.6, 0.2, "reviews@1", "reviews"
            )
            event = Event(f"call-{number}", amount=5, customer="ada", project="reviews")
            workspace.store.ledger.commit([event], [answer])
        workspace.store.ledger.add_feedback("call-0", 0, "great", source="operator")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Iterator[Project]:
    """The template's project in a workspace of its own."""
    shutil.copytree(template, tmp_path / "shop")
    with Workspace(tmp_path / "shop") as workspace:
        yield workspace.project()


def _bytes(folder: Path) -> bytes:
    """Everything on disk, with what Parquet holds."""
    found = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    import pyarrow.parquet as pq

    for file in folder.rglob("*.parquet"):
        found += json.dumps(pq.read_table(file).to_pylist(), ensure_ascii=False).encode()
    return found


def test_nothing_is_left_but_what_was_charged(project: Project) -> None:
    workspace = project.workspace
    catalog = workspace.store.catalog
    before = {version.id: version.artifact for version in catalog.data_versions("reviews")}
    seen = workspace.erase(NAME, rows=["r4"], dry_run=True)
    assert [version.artifact for version in catalog.data_versions("reviews")] == [*before.values()]
    assert seen.act is None
    done = workspace.erase(NAME, rows=["r4"])
    assert (seen.data, seen.calls, seen.models) == (done.data, done.calls, done.models)
    assert [(one["version"], one["train"]) for one in done.data] == [
        ("reviews:1", 2),
        ("reviews:2", 2),
    ]
    assert (done.calls, done.feedback) == (2, 1)
    assert [(one["version"], one["rows"]) for one in done.models] == [("reviews@1", 2)]
    workspace.close()
    disk = _bytes(workspace.folder).decode("utf-8", "replace").casefold()
    assert NAME.casefold() not in disk
    assert "whom only the id" not in disk
    assert "i am nobody" in disk
    with Workspace(workspace.folder) as again:
        counts = again.store.catalog.data_versions("reviews")[-1].counts
        assert sum(n for split in counts.values() for n in split.values()) == 61
        assert again.store.ledger.counts("reviews")["predictions"] == 1
        assert sum(event.amount for event in again.store.ledger.events()) == 15
        assert again.store.ledger.verify().ok
        assert again.store.catalog.live("reviews") is not None
        assert again.project().predict("more of it")
        assert again.project().run(method="linear", overrides=QUICK)


def test_the_log_proves_it_and_does_not_tell_it(project: Project) -> None:
    done = project.workspace.erase(NAME)
    act = next(a for a in project.workspace.acts.list(5).rows if a["action"] == "person.erase")
    assert act["number"] == done.act
    assert act["detail"]["calls"] == 1
    assert NAME not in json.dumps(act, ensure_ascii=False)
    chosen = Selection((NAME,))
    assert erasing.receipt_fits(act["detail"], done.receipt, chosen)
    assert not erasing.receipt_fits(act["detail"], done.receipt, Selection(("Anna",)))
    assert not erasing.receipt_fits(act["detail"], "another", chosen)
    assert erasing.pending(project.workspace.scope) == {}


def test_what_is_erased_stays_out(project: Project) -> None:
    row = {"text": f"{NAME.upper()} says: {reviews(60, noise=0.0)[3][0]}", "label": "great"}
    project.workspace.erase(NAME)
    added = project.add([row, {"text": "quite another one", "label": "great"}])
    assert "quite another one" in str(project.rows("quite another").rows)
    assert not project.rows(NAME).rows, added


def test_a_killed_erasure_is_finished(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the calls are gone and before the rows are: what is told is the whole."""
    workspace = project.workspace
    whole = workspace.erase(NAME, dry_run=True)
    with monkeypatch.context() as patch:
        patch.setattr(erasing, "without", _killed)
        with pytest.raises(KeyboardInterrupt):
            workspace.erase(NAME)
    assert workspace.store.ledger.counts("reviews")["predictions"] == 2
    assert len(erasing.pending(workspace.scope)) == 1
    workspace.work(once=True, say=lambda _: None)
    assert erasing.pending(workspace.scope) == {}
    assert not project.rows(NAME).rows
    act = next(a for a in workspace.acts.list(9).rows if a["action"] == "person.erase")
    assert act["detail"]["calls"] == whole.calls
    assert act["detail"]["models"] == [one["version"] for one in whole.models]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_reports_that_quote_it_go(project: Project) -> None:
    """A report shows rows of the test split: what one of them says is in no file any more."""
    workspace, model = project.workspace, project.model()
    folder = workspace.store.artifacts.path(str(model.record.report))
    told = "".join(file.read_text("utf-8") for file in folder.rglob("*") if file.suffix == ".json")
    rows = [row["input"] for row in project.rows("", split="test", limit=99).rows]
    quoted = next((text for text in rows if text in told), None)
    if quoted is None:  # nothing was wrong: a word of the report's own stands for it
        quoted = "accuracy"
        assert quoted in told
    workspace.erase(quoted)
    assert project.model().record.report is None
    assert not project.model().metrics.get("decisions")
    assert not folder.exists()


def test_rows_without_labels_are_erased_too(project: Project) -> None:
    project.add_corpus([{"text": f"{NAME} has a question"}, {"text": "Nobody has one"}])
    votes = project.labelling
    votes.start(["great", "bad"])
    for item in votes.queue("mei"):
        item.label("bad")
    done = project.workspace.erase(NAME)
    assert [one["version"] for one in done.data][-1] == "reviews:corpus1"
    assert (votes.state().rows, votes.state().labelled) == (1, 1)
    assert not project.workspace.erase(NAME, dry_run=True).data


def test_who_is_not_named_is_not_erased(project: Project) -> None:
    erase = project.workspace.erase
    with pytest.raises(UsageError):
        erase()
    with pytest.raises(UsageError):
        erase("a")
    with pytest.raises(NotFound):
        erase("Anna", project="nothing")
    assert erase("Nobody of this name").data == []
