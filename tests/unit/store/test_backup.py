"""Backups under load, restores that refuse what is wrong, gc, and the doctor's checks."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from feilun.errors import Conflict, CorruptArtifact, EnvironmentProblem, NotFound
from feilun.store import Store, open_store
from feilun.store.backup import backup, restore
from feilun.store.check import check
from feilun.store.gc import collect
from feilun.store.ledger_records import Event, Prediction


def publish(store: Store, content: str, kind: str = "weights") -> str:
    folder = store.artifacts.new()
    (folder / "weights.bin").write_text(content)
    return store.publish(folder, kind).ref


def add_version(store: Store, content: str) -> str:
    data = store.catalog.latest_data("reviews")
    return store.catalog.add_model_version(
        "reviews", "linear", weights=publish(store, content), data_version=data.id if data else None
    ).id


def call(store: Store, name: str, item: object = "tea", **changes: object) -> None:
    values = {"model_version": "reviews@1", "project": "reviews", "customer": "ann"} | changes
    answer = Prediction(name, 0, item, {"label": "x"}, "x", 0.5, 0.1, **values)  # type: ignore[arg-type]
    store.ledger.commit([Event(name, project="reviews", amount=5)], [answer])


@pytest.fixture
def store(any_store: Store) -> Store:
    catalog = any_store.catalog
    catalog.add_project("reviews", "text-classification")
    catalog.add_data_version("reviews", publish(any_store, "data", "data"), "add")
    catalog.set_live("reviews", add_version(any_store, "weights 1"))
    customer = catalog.add_customer("Ann")
    catalog.add_key(customer.id, "fl_a", "a" * 64)
    catalog.add_price("reviews", 1000, "USD")
    catalog.set_setting("name", {"zh": "飞轮\t\\N"})
    call(any_store, "c1", b"a picture")
    any_store.ledger.add_feedback("c1", 0, "y", source="operator")
    project = any_store.folder.parent / "reviews"
    project.mkdir()
    (project / "feilun.toml").write_text("[project]\nname = 'reviews'\n")
    return any_store


@pytest.fixture
def other_database(any_database: str | None) -> Iterator[str | None]:
    """Where to restore to: another empty database of the same kind."""
    if any_database is None:
        yield None
        return
    import psycopg

    url, _, query = any_database.partition("?")
    name = url.rpartition("/")[2]
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_restored")  # type: ignore[arg-type]
    yield f"{url}_restored?{query}"
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}_restored WITH (FORCE)")  # type: ignore[arg-type]


def test_a_restored_workspace_is_the_one_that_was_backed_up(
    store: Store, tmp_path: Path, other_database: str | None
) -> None:
    info = backup(store, tmp_path / "backup")
    assert (info.artifacts, info.inputs) == (2, 1)
    target = tmp_path / "new"
    assert restore(tmp_path / "backup", target, other_database) == info
    with open_store(target, other_database) as copy:
        assert copy.catalog.project("reviews") == store.catalog.project("reviews")
        assert copy.catalog.data_versions("reviews") == store.catalog.data_versions("reviews")
        assert copy.catalog.model_versions("reviews") == store.catalog.model_versions("reviews")
        assert copy.catalog.history("reviews") == store.catalog.history("reviews")
        assert copy.catalog.keys() == store.catalog.keys()
        assert copy.catalog.prices("reviews") == store.catalog.prices("reviews")
        assert copy.catalog.setting("name") == {"zh": "飞轮\t\\N"}
        assert copy.catalog.epoch() == store.catalog.epoch()
        assert list(copy.ledger.events()) == list(store.ledger.events())
        assert copy.ledger.prediction("c1") == store.ledger.prediction("c1")
        assert list(copy.ledger.feedback("reviews")) == list(store.ledger.feedback("reviews"))
        for ref in copy.catalog.needed():
            copy.artifacts.verify(ref)
        # And it goes on: numbers and ids continue, the ledger stays append-only.
        copy.catalog.set_live("reviews", add_version(copy, "weights 2"))
        assert copy.catalog.model_version("reviews@live").number == 2
        copy.catalog.add_price("reviews", 2000, "USD")
        call(copy, "c2")
        database = copy.databases["ledger"]
        with pytest.raises(Exception, match="append-only"), database.write() as connection:
            connection.execute(text("DELETE FROM events"))
    assert (target / "reviews" / "feilun.toml").exists()
    assert (target / ".feilun").stat().st_mode & 0o077 == 0


def test_a_backup_under_load_refers_to_nothing_that_is_missing(
    store: Store, tmp_path: Path, open_any: Callable[[], Store], other_database: str | None
) -> None:
    stop = threading.Event()

    def work() -> None:
        mine = open_any()
        number = 0
        while not stop.is_set():
            number += 1
            version = add_version(mine, f"weights of {number}")
            mine.catalog.set_live("reviews", version)
            call(mine, f"load{number}", f"picture {number}".encode(), model_version=version)
            collect(mine, keep_versions=2, grace=0)

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        try:
            for number in range(3):
                time.sleep(0.3)
                backup(store, tmp_path / f"backup{number}")
        finally:
            stop.set()
        worker.result()
    restore(tmp_path / "backup2", tmp_path / "new", other_database)
    with open_store(tmp_path / "new", other_database) as copy:
        assert copy.catalog.needed()
        for ref in copy.catalog.needed():
            copy.artifacts.verify(ref)
        versions = {version.id for version in copy.catalog.model_versions("reviews")}
        assert len(versions) > 1
        for answer in copy.ledger.recent_predictions("reviews"):
            assert answer.model_version in versions
            assert answer.input is not None


@pytest.mark.parametrize("part", ["database", "artifact", "input", "project"])
def test_a_tampered_backup_is_refused(
    store: Store, tmp_path: Path, part: str, other_database: str | None
) -> None:
    folder = tmp_path / "backup"
    backup(store, folder)
    patterns = {
        "database": "databases/*",
        "artifact": "artifacts/objects/*/*/content/*",
        "input": "inputs/*/*",
        "project": "projects/*/*",
    }
    victim = sorted(folder.glob(patterns[part]))[0]
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content + b"x")
    with pytest.raises(CorruptArtifact, match=victim.name):
        restore(folder, tmp_path / "new", other_database)
    assert not (tmp_path / "new").exists()


def test_a_restore_needs_an_empty_workspace(
    store: Store, tmp_path: Path, any_database: str | None
) -> None:
    backup(store, tmp_path / "backup")
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "backup", store.folder.parent, any_database)
    (store.folder.parent / "reviews" / "feilun.toml").unlink()
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "backup", store.folder.parent, any_database)
    assert store.catalog.project("reviews")
    with pytest.raises(Conflict, match="holds something"):
        backup(store, tmp_path / "backup")


def test_a_workspace_that_was_only_opened_is_empty(
    store: Store, tmp_path: Path, other_database: str | None
) -> None:
    backup(store, tmp_path / "backup")
    open_store(tmp_path / "new", other_database).close()
    restore(tmp_path / "backup", tmp_path / "new", other_database)
    with open_store(tmp_path / "new", other_database) as copy:
        assert copy.catalog.project("reviews")


def test_what_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "backup.json").write_text("[]")
    with pytest.raises(NotFound, match="not a backup"):
        restore(tmp_path, tmp_path / "new")
    with pytest.raises(NotFound):
        restore(tmp_path / "nowhere", tmp_path / "new")


def test_a_backup_of_a_newer_feilun_or_another_database(lite: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(lite, folder)
    with pytest.raises(Conflict, match="backup of sqlite"):
        restore(folder, tmp_path / "new", "postgresql://host/name")
    manifest = json.loads((folder / "backup.json").read_text())
    manifest["revisions"]["ledger"] = "9999"
    (folder / "backup.json").write_text(json.dumps(manifest))
    with pytest.raises(EnvironmentProblem, match="newer feilun"):
        restore(folder, tmp_path / "new")


def test_the_workflows_database_is_part_of_it(lite: Store, tmp_path: Path) -> None:
    with closing(sqlite3.connect(lite.folder / "dbos.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE workflow_status (id TEXT)")
        connection.execute("INSERT INTO workflow_status VALUES ('w1')")
        connection.commit()
        backup(lite, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new" / ".feilun" / "dbos.db")) as connection:
        assert connection.execute("SELECT id FROM workflow_status").fetchall() == [("w1",)]


def test_the_workflows_schema_is_part_of_it(
    postgres_url: str, workspace_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import psycopg

    def prepare(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE SCHEMA dbos")
            connection.execute("CREATE TABLE dbos.status (id text PRIMARY KEY)")
            connection.execute("CREATE TABLE dbos.outputs (id text REFERENCES dbos.status, n int)")
            connection.execute("CREATE TABLE dbos.dbos_migrations (version int)")

    def rows(url: str) -> list[tuple[object, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT * FROM dbos.outputs").fetchall()

    prepare(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO dbos.status VALUES ('w1')")
        connection.execute("INSERT INTO dbos.outputs VALUES ('w1', 1)")
    with open_store(workspace_dir, postgres_url) as store:
        backup(store, tmp_path / "backup")
        with psycopg.connect(postgres_url) as connection:
            for schema in ("dbos", "catalog", "ledger"):
                connection.execute(f"DROP SCHEMA {schema} CASCADE")  # type: ignore[arg-type]
    restore(tmp_path / "backup", tmp_path / "new", postgres_url, prepare_dbos=prepare)
    assert rows(postgres_url) == [("w1", 1)]


def test_gc_removes_what_nothing_refers_to(store: Store) -> None:
    publish(store, "nobody's")
    for number in range(2, 6):
        store.catalog.set_live("reviews", add_version(store, f"weights {number}"))
    store.catalog.set_live("reviews", "reviews@2", reason="rollback")
    call(store, "c2", b"old picture", expires=datetime.now(UTC) - timedelta(days=1))
    for blob in store.blobs.folder.glob("*/*"):
        os.utime(blob, (1, 1))
    store.catalog.add_run("over", "reviews", "run", state="finished")
    store.catalog.add_run("going", "reviews", "run", state="stopped")
    for run in ("over", "going"):
        (store.run_folder(run) / "checkpoint").write_text("c" * 100)

    assert collect(store, dry_run=True).artifacts == 0  # everything is younger than an hour
    would = collect(store, keep_versions=1, dry_run=True, grace=0)
    assert store.catalog.model_version("reviews@3").pruned is None
    report = collect(store, keep_versions=1, grace=0)
    assert (report.versions, report.artifacts, report.inputs, report.runs) == (3, 4, 1, 1)
    assert (would.versions, would.artifacts, would.inputs, would.runs) == (3, 4, 1, 1)
    kept = {v.number for v in store.catalog.model_versions("reviews") if v.pruned is None}
    assert kept == {2, 5}  # what is live, and the newest, which a rollback would return to as well
    assert [folder.name for folder in store.run_folders()] == ["going"]
    assert {row.ref for row in store.catalog.artifacts()} == set(store.catalog.needed())
    assert store.ledger.prediction("c2").purged
    assert store.ledger.prediction("c1").input == b"a picture"
    assert all(result.ok for result in check(store))
    assert collect(store, keep_versions=1, grace=0).artifacts == 0


def test_gc_spares_what_a_run_is_making(store: Store) -> None:
    store.catalog.add_run("w", "reviews", "run")
    store.catalog.update_run("w", state="running")
    ref = publish(store, "its row comes later")
    collect(store, keep_versions=1, grace=0)
    assert store.artifacts.exists(ref)


def test_the_doctor_finds_all_well(store: Store) -> None:
    store.secret()
    results = check(store)
    assert [result.name for result in results if not result.ok] == []
    assert {result.fix for result in results} == {""}
    assert "2 artifacts are whole" in " ".join(result.detail for result in results)


def test_the_doctor_says_what_is_wrong(lite: Store) -> None:
    lite.catalog.add_project("reviews", "text-classification")
    version = lite.catalog.model_version(add_version(lite, "w"))
    assert version.weights
    shutil.rmtree(lite.artifacts.path(version.weights).parent)
    lite.secret()
    (lite.folder / "secret").chmod(0o644)
    (lite.folder / "dbos.db").write_bytes(b"no database at all, but long enough to be read" * 100)
    with lite.databases["ledger"].write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    wrong = {result.name: result for result in check(lite) if not result.ok}
    assert set(wrong) == {
        "artifacts: reviews@1",
        "workspace secret",
        "database dbos",
        "database ledger",
    }
    assert all(result.fix for result in wrong.values())
