"""Whoever mistypes, or types nothing at all, is told what to type; where an option stands does not
matter; names may be Chinese."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.cli.app import run
from feilun.errors import InvalidSettings, NotFound
from feilun.project import Workspace
from feilun.store.store import Store
from helpers.cli import feilun
from helpers.linear import QUICK
from helpers.rows import write_reviews
from helpers.serving import add_version, client, make_key, make_workspace, serving


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["rn"], "feilun run"),
        (["evalute"], "feilun evaluate"),
        (["add", "rows.csv"], "feilun data add"),
        (["data", "ad"], "feilun data add"),
        (["dta", "add"], "feilun data"),
        (["invoice", "prewiev"], "feilun invoice preview"),
    ],
)
def test_what_is_written_like_it_is_suggested(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed) == 2
    said = capsys.readouterr().err
    assert meant in said
    assert "audit verify" not in said  # three suggestions, not the whole list
    assert run([*typed, "--json"]) == 2
    assert meant in json.loads(capsys.readouterr().out)["error"]["message"]


def test_what_is_like_nothing_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["xyzzy"]) == 2
    assert "audit verify" in capsys.readouterr().err


def test_no_command_says_what_to_do_first(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEILUN_WORKSPACE", str(workspace_dir))
    assert run([]) == 2
    first = capsys.readouterr().err
    assert "feilun init" in first
    assert str(workspace_dir) in first
    assert run(["init", "reviews"]) == 0
    assert run([]) == 2
    again = capsys.readouterr().err
    assert "feilun status" in again
    assert "Begin with" not in again


def test_shared_options_stand_before_or_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    assert run(["--workspace", here, "init", "reviews"]) == 0
    assert run(["init", "digits", "--workspace", there]) == 0
    capsys.readouterr()
    for words in (
        ["--workspace", here, "--json", "status"],
        ["status", "--workspace", here, "--json"],
        ["--json", "status", "--workspace", here],
        ["--workspace", there, "status", "--json", "--workspace", here],  # the nearer one holds
    ):
        assert run(words) == 0
        [project] = json.loads(capsys.readouterr().out)["projects"]
        assert project["project"] == "reviews"
    assert run(["--workspace", here, "--json", "usage", "--days", "3"]) == 0
    assert "rows" in json.loads(capsys.readouterr().out)
    assert run(["--workspace", here, "--project", "nothing", "status"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_project_may_be_called_anything_small(tmp_path: Path) -> None:
    messages.use("en")
    with Workspace(tmp_path) as workspace:
        for name in ("评论分类", "größe", "отзывы", "レビュー", "v2-评论_1", "字" * 63):
            assert workspace.init(name).file.is_file()
            assert workspace.project(name).config().project.name == name
        assert workspace.project(unicodedata.normalize("NFD", "größe")).name == "größe"
        for name in (
            "Reviews",
            "评 论",
            "a/b",
            "..",
            "",
            "-a",
            "评论！",
            "ａ",
            "字" * 64,
            "😀",
            "a@1",
            "a:1",
        ):
            with pytest.raises(InvalidSettings, match="small letters of any script"):
                workspace.init(name)
        with pytest.raises(NotFound):
            workspace.project("评论")


def test_a_chinese_name_goes_round_and_is_listed(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("评论")
        assert project.versions().rows == []
        project.add(write_reviews(tmp_path / "a.csv", 80, noise=0.0))
        first = project.run(method="linear", overrides=QUICK)
        project.train(method="linear", overrides={**QUICK, "training.seed": 2})
        listed = project.versions()
        assert first.live == "评论@1"
        assert [row["version"] for row in listed.rows] == ["评论@2", "评论@1"]
        assert [row["verdict"] for row in listed.rows] == [None, "first"]
        assert listed.rows[1]["score"]["value"] > 0.5
        project.export("评论@1", tmp_path / "out")
    said = {"en": ["the first", "not judged", "live"], "zh": ["首个版本", "未评估", "线上"]}
    for lang, words in said.items():
        done = feilun("--workspace", str(tmp_path), "versions", cwd=tmp_path, FEILUN_LANG=lang)
        assert done.returncode == 0
        assert all(word in done.stdout for word in words)


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Store]:
    with make_workspace(tmp_path) as store:
        store.catalog.add_project("评论", "text-classification")
        store.catalog.set_live("评论", add_version(store, "评论").id)
        yield store


def test_a_chinese_name_is_called_over_http(named: Store) -> None:
    with serving(named) as server, client(server.address, make_key(named).secret) as http:
        answer = http.post("/v1/predict", json={"inputs": "great", "model": "评论"})
        assert (answer.status_code, answer.json()["model"]) == (200, "评论@1")
        assert "评论" in [one["id"] for one in http.get("/v1/models").json()["data"]]
        inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["great"]}]
        told = http.post("/v2/models/评论/infer", json={"inputs": inputs})
        assert (told.status_code, told.json()["model_name"]) == (200, "评论")
        assert http.get("/v2/models/%E8%AF%84%E8%AE%BA/ready").json()["name"] == "评论"
        assert http.post("/v1/predict", json={"inputs": "x", "model": "无此"}).status_code == 404
