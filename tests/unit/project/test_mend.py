"""Cleaning, going back and unmasking as verbs: what they change, and what they leave alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun import messages
from feilun.errors import Conflict, InvalidData, NotFound
from feilun.project import Project, Workspace
from feilun.store.ledger_records import Prediction
from feilun.types import Example
from helpers.cli import feilun, feilun_json
from helpers.rows import write_reviews


@pytest.fixture
def project(workspace_dir: Path) -> Iterator[Project]:
    with Workspace(workspace_dir) as workspace:
        project = workspace.init("reviews")
        project.add(_file(workspace_dir / "reviews.csv"))
        yield project


def _file(file: Path) -> Path:
    """60 reviews, six of them with a number."""
    write_reviews(file, 60)
    lines = file.read_text("utf-8").splitlines()
    lines[1:7] = [line.replace(" no. ", " 电话13812345678 no. ") for line in lines[1:7]]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def _rows(project: Project) -> list[Example]:
    return list(project.scope.context().dataset(project.scope.data()).examples())


def _everything(folder: Path) -> dict[str, str]:
    """Every file but locks and what SQLite keeps beside its databases."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and "locks" not in f.parts and not f.name.endswith(("-wal", "-shm"))
    }


def test_a_dry_run_shows_everything_and_changes_nothing(project: Project) -> None:
    folder = project.workspace.folder
    before, rows = _everything(folder), _rows(project)
    shown = project.clean(mask=("phone",), reversible=True, drop_duplicates="near", dry_run=True)
    assert (shown.version, shown.parent, shown.dry_run) == (None, "reviews:1", True)
    (step,) = [s for s in shown.steps if s["step"] == "mask"]
    assert step["rows"] == 6
    was, now = step["examples"][0]
    assert "13812345678" in was
    assert "13812345678" not in now
    json.dumps(shown.to_json())
    words = " ".join(str(cell) for t in shown.tables() for row in t.rows for cell in row)
    assert "13812345678" in words
    assert _everything(folder) == before
    assert _rows(project) == rows
    assert not (folder / ".feilun" / "vaults").exists()


def test_cleaning_makes_a_version_that_says_what_it_is(project: Project) -> None:
    cleaned = project.clean(mask="all", rename_labels={"bad": "poor"})
    data = project.scope.data()
    assert (cleaned.version, data.parent, data.reason) == ("reviews:2", "reviews:1", "clean")
    assert data.info["recipe"] == [
        {
            "rename_labels": {"bad": "poor"},
            "mask": ["email", "phone", "id", "bank", "company", "plate"],
        }
    ]
    assert "13812345678" not in json.dumps(data.info, ensure_ascii=False)
    assert {row.label for row in _rows(project)} == {"poor", "great"}
    assert any("reviews:1" in note for note in cleaned.notes), "the old version still holds it"
    listed = project.show()
    assert listed.rows[-1]["recipe"]
    assert any("masked" in note for table in listed.tables() for note in table.notes)
    assert project.recipe().rows[0]["rename_labels"] == {"bad": "poor"}
    assert 'rename_labels = {bad = "poor"}' in project.recipe_toml()
    added = project.add(write_reviews(project.workspace.folder / "more.csv", 90))
    assert added.version == "reviews:3"
    assert {row.label for row in _rows(project)} == {"poor", "great"}
    assert any("labels renamed" in note for table in added.tables() for note in table.notes)


def test_the_test_split_is_spoken_of_loudly(project: Project) -> None:
    (first, *_) = [row for row in _rows(project) if row.split == "test"]
    file = project.workspace.folder / "bad.csv"
    file.write_text(f"row_id\n{first.row_id}\nnobody\n", "utf-8")
    cleaned = project.clean(drop_rows=str(file))
    assert any("test split changed: 1 rows left it" in note for note in cleaned.notes)
    assert any("nobody" in note for note in cleaned.notes)
    file.write_text("row_id\nnobody\n", "utf-8")
    with pytest.raises(InvalidData) as caught:
        project.clean(drop_rows=str(file))
    assert caught.value.code == "clean.none_found"
    assert project.scope.data().id == "reviews:2"


def test_nothing_to_do_is_refused_and_a_recipe_for_later_is_not(project: Project) -> None:
    with pytest.raises(InvalidData) as caught:
        project.clean()
    assert caught.value.code == "clean.nothing_to_do"
    cleaned = project.clean(drop_long=100_000)
    assert cleaned.steps == []
    assert any("added later" in note for note in cleaned.notes)
    assert project.scope.data().info["recipe"] == [{"drop_long": 100_000}]
    project.clean(forget_recipe=True)
    assert "recipe" not in project.scope.data().info or not project.scope.data().info["recipe"]


def test_an_earlier_version_is_the_latest_again(project: Project) -> None:
    first = _rows(project)
    project.add(write_reviews(project.workspace.folder / "wrong.csv", 200, seed=9))
    used = project.use_data("1")
    assert (used.version, used.target, used.unchanged) == ("reviews:3", "reviews:1", False)
    assert _rows(project) == first
    versions = project.workspace.store.catalog.data_versions("reviews")
    assert [v.id for v in versions] == ["reviews:1", "reviews:2", "reviews:3"]
    assert versions[2].artifact == versions[0].artifact
    assert versions[2].parent == "reviews:2"
    table = next(iter(project.show().tables()))
    assert table.rows[2][1] == "back to reviews:1"
    assert [row[3] for row in table.rows] == [
        "+60",
        f"+{versions[1].info['new']}",
        table.rows[2][3],
    ]
    assert table.rows[2][3] == f"−{versions[1].info['new']}"
    assert project.use_data("reviews:1").unchanged
    with pytest.raises(NotFound) as caught:
        project.use_data("7")
    assert "reviews:2" in caught.value.message()
    more = project.add(write_reviews(project.workspace.folder / "right.csv", 90, seed=4))
    assert more.version == "reviews:4"
    assert {r.item for r in first} < {row.item for row in _rows(project)}


def test_what_tells_two_data_versions_apart(project: Project) -> None:
    rows = _rows(project)
    project.clean(mask=("phone",), rename_labels={"bad": "poor"})
    found = project.diff_data()
    assert (found.version, found.against) == ("reviews:2", "reviews:1")
    assert (list(found.labels_came), list(found.labels_went)) == (["poor"], ["bad"])
    for split, one in found.splits.items():
        of = [row for row in rows if row.split == split]
        masked = [row for row in of if "13812345678" in str(row.item)]
        assert (one.before, one.after) == (len(of), len(of))
        assert (one.came, one.left) == (len(masked), len(masked))  # they have no ids of their own
        assert one.relabelled == sum(row.label == "bad" and row not in masked for row in of)
    assert "6" in " ".join(found.tables()[0].notes)
    rows = _rows(project)
    gone = rows[:3]
    listed = project.workspace.folder / "gone.csv"
    listed.write_text("\n".join(["row_id", *(row.row_id for row in gone)]), "utf-8")
    project.clean(drop_rows=str(listed))
    project.add([{"text": f"A wholly new one, {n}", "label": "great"} for n in range(4)])
    found = project.diff_data("4", "2")
    left = {split: one.left for split, one in found.splits.items()}
    assert left == {split: sum(row.split == split for row in gone) for split in left}
    assert sum(one.came for one in found.splits.values()) == 4
    assert not any(one.relabelled or one.mended for one in found.splits.values())
    first = project.diff_data("1")
    assert first.against is None
    assert sum(one.came for one in first.splits.values()) == len(rows)
    assert not any(one.before or one.left for one in first.splits.values())
    with pytest.raises(NotFound) as caught:
        project.diff_data("9")
    assert "reviews:4" in caught.value.message()


def test_what_was_learnt_meanwhile_can_be_learnt_again(project: Project) -> None:
    ledger, catalog = project.workspace.store.ledger, project.workspace.store.catalog
    soon = datetime.now(UTC) + timedelta(days=1)
    answer = Prediction(
        "p1",
        0,
        input="text",
        output={"label": "bad"},
        label="bad",
        score=0.9,
        margin=0.8,
        model_version="reviews@1",
        project="reviews",
        customer="ada",
        expires=soon,
    )
    ledger.commit([], [answer])
    said = ledger.add_feedback("p1", 0, "great", source="operator")
    data = project.scope.data()
    catalog.add_data_version(
        "reviews",
        data.artifact,
        "feedback",
        parent=data.id,
        counts=data.counts,
        info={"feedback": [said.id], "changed": True, "run": "r1"},
    )
    ledger.mark_used([said.id], "reviews:2")
    project.add(write_reviews(project.workspace.folder / "more.csv", 90))
    used = project.use_data("1")
    assert any("--relearn" in note for note in used.notes)
    assert ledger.waiting("reviews") == 0
    assert project.scope.data().info.get("feedback") is None
    project.use_data("3")
    project.use_data("1", relearn=True)
    assert ledger.waiting("reviews") == 1


def test_masks_are_undone_in_any_text_file(project: Project) -> None:
    folder = project.workspace.folder
    with pytest.raises(NotFound) as caught:
        project.unmask(folder / "reviews.csv")
    assert caught.value.code == "clean.no_vault"
    project.clean(mask=("phone",), reversible=True)
    masked = folder / "masked.csv"
    project.export_data(masked)
    text = masked.read_text("utf-8")
    assert "13812345678" not in text
    assert text.count("【电话_") == 6
    found = project.unmask(masked)
    back = folder / "masked.unmasked.csv"
    assert found == {"file": str(back), "known": 6, "unknown": 0}
    assert back.read_text("utf-8").count("13812345678") == 6
    assert back.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        project.unmask(masked)
    masked.write_text("【电话_bcdfghjkmnpq】 unknown\n", "utf-8")
    assert project.unmask(masked, folder / "out.txt")["unknown"] == 1
    assert (folder / "out.txt").read_text("utf-8") == "【电话_bcdfghjkmnpq】 unknown\n"


def test_the_vault_is_in_no_backup(project: Project, tmp_path: Path) -> None:
    project.clean(mask=("phone",), reversible=True)
    made = project.workspace.backup(tmp_path / "backup")
    assert not [
        f for f in (tmp_path / "backup").rglob("*") if "vault" in str(f.relative_to(tmp_path))
    ]
    assert any("vaults" in note for table in made.tables() for note in table.notes)


def test_the_whole_way_on_the_command_line(workspace_dir: Path) -> None:
    feilun("init", "reviews", cwd=workspace_dir)
    _file(workspace_dir / "reviews.csv")
    feilun_json("data", "add", "reviews.csv", cwd=workspace_dir)
    said = feilun_json(
        "data",
        "clean",
        "--mask",
        "phone,bank",
        "--rename-label",
        "bad=差评",
        "--dry-run",
        cwd=workspace_dir,
    )
    assert said["version"] is None
    assert {step["step"] for step in said["steps"]} == {"mask", "rename_labels"}
    done = feilun(
        "data",
        "clean",
        "--mask",
        "phone",
        "--rename-label",
        "bad=差评",
        cwd=workspace_dir,
        FEILUN_LANG="zh",
    )
    assert done.returncode == 0, done.stderr
    assert "清洗" in done.stdout
    recipe = workspace_dir / "recipe.toml"
    recipe.write_text(feilun("data", "recipe", "--toml", cwd=workspace_dir).stdout, "utf-8")
    assert feilun_json("data", "recipe", cwd=workspace_dir)["rows"][0]["mask"] == ["phone"]
    used = feilun_json("data", "use", "1", cwd=workspace_dir)
    assert used["version"] == "reviews:3"
    told = feilun_json("data", "diff", "2", cwd=workspace_dir)
    assert (told["against"], told["labels_came"]) == ("reviews:1", ["差评"])
    again = feilun_json("data", "clean", "--recipe", "recipe.toml", cwd=workspace_dir)
    assert {step["step"] for step in again["steps"]} == {"mask", "rename_labels"}
    wrong = feilun("data", "clean", "--mask", "shoe", cwd=workspace_dir)
    assert wrong.returncode == 2
    assert "email" in wrong.stderr
    wrong = feilun("data", "clean", cwd=workspace_dir)
    assert (wrong.returncode, "--mask" in wrong.stderr) == (2, True)


def test_everything_is_said_in_chinese_too(project: Project) -> None:
    messages.use("zh")
    shown = project.clean(mask=("phone",), rename_labels={"bad": "差评"}, dry_run=True)
    words = [table.title for table in shown.tables()] + list(shown.notes)
    assert any(
        "个人信息" in str(cell) for table in shown.tables() for row in table.rows for cell in row
    )
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in word) for word in words if word)
