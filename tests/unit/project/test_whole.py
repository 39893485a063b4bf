"""An archived project answers no more and is not listed; nothing of it is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from feilun import messages
from feilun.errors import Conflict, NotFound
from feilun.project import Workspace
from helpers.cli import feilun
from helpers.serving import add_version, client, make_key, make_workspace, serving


def test_what_is_archived_answers_no_more_and_comes_back(tmp_path: Path) -> None:
    messages.use("en")
    with make_workspace(tmp_path) as store:
        workspace = Workspace.over(store)
        version = add_version(store, "reviews").id
        store.catalog.set_live("reviews", version)
        with serving(store) as server, client(server.address, make_key(store).secret) as http:
            asked = {"inputs": "great", "model": "reviews"}
            assert http.post("/v1/predict", json=asked).status_code == 200
            billed = store.ledger.usage()
            [table] = workspace.archive("reviews").tables()
            assert any(version in note for note in table.notes)
            until = time.monotonic() + 120
            while http.post("/v1/predict", json=asked).status_code == 200:
                assert time.monotonic() < until  # the server looks for changes itself
                time.sleep(0.05)
            assert http.post("/v1/predict", json=asked).status_code == 503  # nothing is live
            assert "reviews" not in [project.name for project in workspace.projects()]
            for verb in (workspace.project, workspace.archive):
                with pytest.raises(Conflict, match="is archived"):
                    verb("reviews")
            assert sum(row.events for row in store.ledger.usage()) >= sum(r.events for r in billed)
            assert store.catalog.model_version(version).id == version
            workspace.unarchive("reviews")
            assert workspace.project("reviews").live is None
            store.catalog.set_live("reviews", version)
            until = time.monotonic() + 120
            while http.post("/v1/predict", json=asked).status_code != 200:
                assert time.monotonic() < until
                time.sleep(0.05)
        with pytest.raises(Conflict, match="not archived"):
            workspace.unarchive("reviews")
        with pytest.raises(NotFound):
            workspace.archive("nothing")
        said = [act.action for act in store.catalog.acts()]
        assert {"project.archive", "project.unarchive"} <= set(said)


def test_the_commands_put_away_and_take_back(tmp_path: Path) -> None:
    assert feilun("init", "reviews", cwd=tmp_path).returncode == 0
    done = feilun("project", "archive", "reviews", cwd=tmp_path)
    assert (done.returncode, "reviews is archived" in done.stdout) == (0, True)
    refused = feilun("data", "show", "--project", "reviews", cwd=tmp_path)
    assert refused.returncode == 2
    assert "feilun project restore reviews" in refused.stderr
    assert feilun("project", "restore", "reviews", cwd=tmp_path).returncode == 0
    assert "reviews" in feilun("status", cwd=tmp_path).stdout


def test_a_renamed_project_is_found_by_both_names_and_bills_as_before(tmp_path: Path) -> None:
    messages.use("en")
    with make_workspace(tmp_path) as store:
        workspace = Workspace.over(store)
        version = add_version(store, "reviews").id
        store.catalog.set_live("reviews", version)
        with serving(store) as server, client(server.address, make_key(store).secret) as http:
            done = workspace.rename("reviews", "客户评价")
            assert done.rows[0]["project"] == "客户评价"
            until = time.monotonic() + 120
            for model in ("客户评价", "reviews", version.replace("reviews", "客户评价"), version):
                asked = {"inputs": "great", "model": model}
                while (answer := http.post("/v1/predict", json=asked)).status_code != 200:
                    assert time.monotonic() < until, answer.text
                    time.sleep(0.05)
                assert answer.json()["model"] == version
        # One project, one line of usage, under the name that never changes.
        assert [row["project"] for row in workspace.usage(project="客户评价").rows] == ["reviews"]
        assert workspace.project("客户评价").model(version).id == version
        assert workspace.project("reviews").called == "客户评价"
        made = workspace.create_key("Acme", project="客户评价")
        assert made.project == "reviews"
        with pytest.raises(Conflict, match=r"客户评价.*still answers to it"):
            workspace.init("reviews")
        with pytest.raises(Conflict, match="already"):
            workspace.init("客户评价")
        workspace.init("other")
        with pytest.raises(Conflict, match="former name"):
            workspace.rename("other", "reviews")
        # Its own first name may come back.
        workspace.rename("客户评价", "reviews")
        assert [project.called for project in workspace.projects()] == ["other", "reviews"]
        assert workspace.project("客户评价").name == "reviews"


def test_a_plan_may_name_a_renamed_project(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'currency = "EUR"\n[[rates]]\nproject = "客户评价"\nendpoint = "客户评价"\n'
        'unit = "inputs"\ntiers = [{ per_1000 = "5" }]\n',
        "utf-8",
    )
    with Workspace(tmp_path / "w") as workspace:
        workspace.init("reviews")
        workspace.rename("reviews", "客户评价")
        shown = workspace.plans.set(plan, name="basic")
        [rate] = shown.document["rates"]
        assert (rate["project"], rate["endpoint"], shown.unknown) == ("reviews", "reviews", [])


def test_the_folder_and_the_settings_move_with_the_name(tmp_path: Path) -> None:
    assert feilun("init", "reviews", cwd=tmp_path).returncode == 0
    file = tmp_path / "reviews" / "feilun.toml"
    file.write_text(file.read_text("utf-8") + "\n# ours\n", "utf-8")
    (tmp_path / "reviews" / "notes.txt").write_text("mine", "utf-8")
    done = feilun("project", "rename", "reviews", "客户评价", cwd=tmp_path)
    assert (done.returncode, "客户评价" in done.stdout) == (0, True), done.stderr
    assert not file.exists()
    moved = (tmp_path / "客户评价" / "feilun.toml").read_text("utf-8")
    assert 'name = "客户评价"' in moved
    assert "# ours" in moved
    assert (tmp_path / "客户评价" / "notes.txt").read_text("utf-8") == "mine"
    status = feilun("status", cwd=tmp_path)
    assert "客户评价" in status.stdout
    bad = feilun("project", "rename", "客户评价", "a b", cwd=tmp_path)
    assert bad.returncode == 2
    (tmp_path / "taken").mkdir()
    taken = feilun("project", "rename", "客户评价", "taken", cwd=tmp_path)
    assert (taken.returncode, "exists already" in taken.stderr) == (2, True)


def test_a_renaming_that_was_killed_is_finished_by_another(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        workspace.init("reviews")
        workspace.store.catalog.rename_project("reviews", "ratings")  # killed here
        (tmp_path / "reviews").rename(tmp_path / "ratings")  # or here
        workspace.rename("reviews", "ratings")
        assert workspace.project("ratings").config().project.name == "ratings"


def test_what_is_deleted_is_gone_but_what_was_billed_stays(tmp_path: Path) -> None:
    messages.use("en")
    with make_workspace(tmp_path) as store:
        workspace = Workspace.over(store)
        version = add_version(store, "reviews")
        store.catalog.set_live("reviews", version.id)
        secret = make_key(store, project="reviews").secret
        with serving(store) as server, client(server.address, secret) as http:
            asked = {"inputs": "great", "model": "reviews"}
            assert http.post("/v1/predict", json=asked).status_code == 200
        billed = store.ledger.usage()
        assert sum(row.events for row in billed) == 1
        with pytest.raises(Conflict, match=f"{version.id}, so it is not deleted"):
            workspace.delete("reviews")
        workspace.archive("reviews")
        [gone] = workspace.delete("reviews").rows
        assert (gone["model_versions"], gone["inputs"], gone["billed"]) == (2, 1, True)
        assert store.ledger.usage() == billed
        assert store.ledger.verify().ok
        assert not any(map(store.artifacts.exists, {version.weights} - {None}))
        assert store.ledger.recent_predictions("reviews") == []  # those whose inputs are kept
        assert [r["state"] for r in workspace.keys().rows if r["project"] == "reviews"] == [
            "revoked"
        ]
        with pytest.raises(NotFound):
            workspace.project("reviews")
        # The name is free; what is new is billed apart.
        again = workspace.init("reviews")
        assert (again.called, again.name) == ("reviews", "reviews-2")
        assert add_version(store, "reviews-2").id == "reviews-2@1"
        assert workspace.project("reviews").models()[0].id == "reviews-2@1"


def test_delete_says_what_would_go_and_leaves_the_files_of_others(tmp_path: Path) -> None:
    assert feilun("init", "评价", cwd=tmp_path).returncode == 0
    (tmp_path / "评价" / "notes.txt").write_text("mine", "utf-8")
    for page in ("reports/评价@1.html", "audit/评价-1.html", "bad_rows.jsonl"):
        (tmp_path / "评价" / page).parent.mkdir(exist_ok=True)
        (tmp_path / "评价" / page).write_text("rows of customers", "utf-8")
    asked = feilun("project", "delete", "评价", cwd=tmp_path)
    assert (asked.returncode, "feilun project delete 评价 --yes" in asked.stderr) == (2, True)
    assert "评价" in feilun("status", cwd=tmp_path).stdout
    done = feilun("project", "delete", "评价", "--yes", cwd=tmp_path)
    assert (done.returncode, "stay; remove them yourself" in done.stdout) == (0, True)
    assert [path.name for path in (tmp_path / "评价").iterdir()] == ["notes.txt"]
    assert feilun("init", "评价", cwd=tmp_path).returncode == 0
