"""A workspace: making projects, keys whose curl line works, and what a worker runs."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feilun.errors import Conflict, InvalidSettings, NotFound, UsageError
from feilun.project import Workspace
from feilun.project.worker import Due, due, execute
from feilun.tasks.base import names


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as workspace:
        yield workspace


def test_a_project_is_made_once_and_its_name_is_checked(workspace: Workspace) -> None:
    project = workspace.init("reviews")
    assert project.config().project.task == "text-classification"
    with pytest.raises(Conflict):
        workspace.init("reviews")
    with pytest.raises(InvalidSettings):
        workspace.init("../reviews")
    with pytest.raises(UsageError) as caught:
        workspace.init("other", "no-such-task")
    assert "text-classification" in caught.value.message()
    assert not (workspace.folder / "other").exists()


def test_a_settings_file_that_is_there_is_taken(workspace: Workspace) -> None:
    """From a repository, or where an earlier ``init`` was killed half way."""
    workspace.init("reviews")
    text = workspace.project().file.read_text("utf-8") + "\n[data]\ntest = 0.3\n"
    for name in ("again", "renamed"):
        (workspace.folder / name).mkdir()
    (workspace.folder / "again" / "feilun.toml").write_text(text.replace('"reviews"', '"again"'))
    (workspace.folder / "renamed" / "feilun.toml").write_text(text)
    assert workspace.init("again").config().data.test == 0.3
    with pytest.raises(Conflict) as caught:
        workspace.init("renamed")
    assert "reviews" in caught.value.message()


def test_a_replica_without_settings_files_leaves_prices_alone(workspace: Workspace) -> None:
    """It serves what the database and the artifacts say; the files are on another machine."""
    project = workspace.init("reviews")
    catalog = workspace.store.catalog
    text = project.file.read_text("utf-8")
    project.file.write_text(text.replace("price_per_1000 = 0.0", "price_per_1000 = 2.5"), "utf-8")
    workspace.apply_prices()
    before = catalog.prices()
    shutil.rmtree(project.file.parent)
    workspace.apply_prices()
    assert catalog.prices() == before
    assert [price.amount for price in before] == [2_500_000]


def test_a_file_that_speaks_of_another_project_is_refused(workspace: Workspace) -> None:
    project = workspace.init("reviews")
    text = project.file.read_text("utf-8").replace('name = "reviews"', 'name = "books"')
    project.file.write_text(text.replace("text-classification", "image-classification"), "utf-8")
    with pytest.raises(InvalidSettings) as caught:
        project.config()
    assert len(caught.value.params["faults"]) == 2
    assert not workspace.doctor().ok


def test_which_project_is_meant(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        workspace.project()
    workspace.init("one")
    assert workspace.project().name == "one"
    workspace.init("two")
    with pytest.raises(UsageError) as caught:
        workspace.project()
    assert "two" in caught.value.message()
    with pytest.raises(NotFound):
        workspace.project("three")


@pytest.mark.parametrize("task", names())
def test_the_curl_line_carries_an_input_that_answers(workspace: Workspace, task: str) -> None:
    workspace.init("it", task)
    words = shlex.split(workspace.create_key("O'Brien", project="it").curl)
    body = json.loads(words[words.index("-d") + 1])
    assert body["model"] == "it"
    assert body["inputs"][0]
    with pytest.raises(NotFound):
        workspace.create_key("Bob", project="none")


def test_scheduled_updates_come_due_once(workspace: Workspace) -> None:
    project = workspace.init("reviews")
    broken = workspace.init("broken")
    broken.file.write_text("[project]\n", "utf-8")
    with project.file.open("a", encoding="utf-8") as file:
        file.write('\n[update]\nschedule = "0 2 * * *"\n')
    said: list[str] = []
    assert due(workspace.scope, said.append) == []  # a new schedule begins with its next time
    assert any("broken" in line for line in said)
    catalog = workspace.store.catalog
    catalog.set_setting("schedule:reviews", datetime(2020, 1, 1, tzinfo=UTC).isoformat())
    (task,) = due(workspace.scope, said.append)
    assert (task.project, task.kind) == ("reviews", "update")
    assert execute(workspace.scope, task, said.append, said.append) == 1  # nothing to update
    assert due(workspace.scope, said.append) == []


def test_a_queued_turn_waits_while_another_process_turns(workspace: Workspace) -> None:
    workspace.init("reviews")
    name = workspace.project().enqueue("run", method="linear", overrides={"training.seed": 3})
    catalog = workspace.store.catalog
    said: list[str] = []
    (task,) = due(workspace.scope, said.append)
    assert task == Due(
        "reviews",
        "run",
        run=name,
        options={
            "set": {"training.method": "linear", "training.seed": 3},
            "restart": False,
            "lang": "en",
        },
    )
    with workspace.store.lock("reviews"):
        assert execute(workspace.scope, task, said.append, said.append) is None
    assert catalog.run(name).state == "queued"
    # and ends as its command ended: there is no data yet
    assert execute(workspace.scope, task, said.append, said.append) == 2
    assert catalog.run(name).state == "failed"
    assert "no data" in str(catalog.run(name).error)
    with pytest.raises(InvalidSettings):
        workspace.project().enqueue("run", method="magic")


def test_a_project_that_is_there_may_be_taken_as_it_is(workspace_dir: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        workspace.init("reviews", exist_ok=True)
        assert workspace.init("reviews", exist_ok=True).name == "reviews"
        with pytest.raises(Conflict):
            workspace.init("reviews")
        with pytest.raises(Conflict):
            workspace.init("reviews", task="image-classification", exist_ok=True)
        assert [project.name for project in workspace.projects()] == ["reviews"]
