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
            until = time.monotonic() + 30
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
            until = time.monotonic() + 30
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
