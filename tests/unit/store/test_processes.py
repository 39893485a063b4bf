"""Two processes on one workspace: opening, counting, locking; on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from feilun.errors import AlreadyRunning, EnvironmentProblem, InvalidSettings
from feilun.store import Store, open_store
from feilun.store.migrate import current, head, script
from feilun.store.tables_catalog import metadata as catalog_tables
from feilun.store.tables_ledger import metadata as ledger_tables
from helpers.processes import finish, kill, start, wait_for

OPEN = """
    import sys
    from pathlib import Path
    from feilun.store import open_store
    store = open_store(Path(sys.argv[1]), sys.argv[2] or None)
"""


def test_processes_that_open_an_empty_workspace_at_once(
    workspace_dir: Path, any_empty_database: str | None
) -> None:
    code = (
        OPEN
        + "    print(store.catalog.epoch(), store.ledger.counts()['events'])\n    store.close()"
    )
    started = [start(code, workspace_dir, any_empty_database or "") for _ in range(3)]
    assert finish(started) == ["0 0\n"] * 3


def test_processes_that_number_versions_at_once(
    open_any: Callable[[], Store], workspace_dir: Path, any_database: str | None
) -> None:
    store = open_any()
    store.catalog.add_project("reviews", "text-classification")
    code = OPEN + (
        "    for _ in range(15):\n"
        "        store.catalog.add_model_version('reviews', 'linear')\n"
        "        version = store.catalog.add_data_version('reviews', 'sha256:' + 'a' * 64, 'add')\n"
        "        store.catalog.set_setting('last', version.number)\n"
        "    store.close()"
    )
    finish([start(code, workspace_dir, any_database or "") for _ in range(2)])
    assert [v.number for v in store.catalog.model_versions("reviews")] == list(range(1, 31))
    assert [v.number for v in store.catalog.data_versions("reviews")] == list(range(1, 31))


def test_the_lock_dies_with_its_holder(
    open_any: Callable[[], Store], workspace_dir: Path, any_database: str | None
) -> None:
    store = open_any()
    code = OPEN + (
        "    import os, time\n"
        "    with store.lock('reviews'):\n"
        "        Path(sys.argv[3]).write_text(str(os.getpid()))\n"
        "        time.sleep(300)"
    )
    ready = workspace_dir / "ready"
    holder = start(code, workspace_dir, any_database or "", ready)
    wait_for(ready, holder)
    try:
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"), store.lock("reviews"):
            pass
        with store.lock("other"):
            pass
    finally:
        kill(holder)
    with store.lock("reviews"), pytest.raises(AlreadyRunning), store.lock("reviews"):
        pass
    with store.lock("reviews"):
        pass


def test_the_secret_is_one_and_private(open_any: Callable[[], Store], workspace_dir: Path) -> None:
    secret = open_any().secret()
    assert len(secret) >= 32
    assert open_any().secret() == secret
    assert (workspace_dir / ".feilun" / "secret").stat().st_mode & 0o777 == 0o600
    assert (workspace_dir / ".feilun").stat().st_mode & 0o077 == 0


def test_the_tables_are_those_of_the_migrations(any_store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    for name, metadata in (("catalog", catalog_tables), ("ledger", ledger_tables)):
        database = any_store.databases[name]
        assert current(database) == head(name)
        with database.read() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, metadata) == []


def test_a_new_sqlite_file_begins_with_what_the_revisions_make(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts"))
    import tables

    for schema in ("catalog", "ledger"):
        kept = script(schema).read_text("utf-8")
        assert kept == tables.written(schema), "python scripts/tables.py writes it anew"


def test_a_database_of_a_newer_feilun_is_left_alone(
    open_any: Callable[[], Store],
) -> None:
    with open_any().databases["ledger"].write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EnvironmentProblem, match="newer feilun"):
        open_any()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql://host", "nonsense"])
def test_a_database_that_is_no_postgresql(workspace_dir: Path, url: str) -> None:
    with pytest.raises(InvalidSettings, match="must be a PostgreSQL") as caught:
        open_store(workspace_dir, url)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer(workspace_dir: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be opened") as caught:
        open_store(workspace_dir, "postgresql://me:secret@127.0.0.1:1/wheel")
    assert "secret" not in str(caught.value)


def test_a_damaged_database(workspace_dir: Path) -> None:
    state = workspace_dir / ".feilun"
    state.mkdir()
    (state / "catalog.db").write_bytes(b"this is no database, but long enough to look at" * 50)
    with pytest.raises(EnvironmentProblem, match="damaged"):
        open_store(workspace_dir)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be used"):
        open_store(tmp_path / "file")


def test_the_state_folder_itself_may_be_named(workspace_dir: Path) -> None:
    with open_store(workspace_dir) as first, open_store(workspace_dir / ".feilun") as second:
        assert first.folder == second.folder == workspace_dir / ".feilun"
        assert first.dbos_url == f"sqlite:///{workspace_dir}/.feilun/dbos.db"


def test_a_writer_that_does_not_let_go(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.store.database.BUSY_SECONDS", 1)
    with open_store(workspace_dir) as store, open_store(workspace_dir) as other:
        with (
            store.databases["catalog"].write(),
            pytest.raises(EnvironmentProblem, match="busy for more than 1 s"),
        ):
            other.catalog.set_setting("a", 1)
        assert other.catalog.setting("a") is None
