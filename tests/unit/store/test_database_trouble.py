"""A database that is locked, full, slow or away: no answer is given away, callers are told soon,
and all goes on by itself afterwards."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from feilun.errors import EnvironmentProblem
from feilun.store import Store
from feilun.store import store as store_module
from feilun.store.database import Database, sqlite_url
from feilun.store.ledger_records import CallOutcome, LedgerCall
from helpers.processes import kill, start
from helpers.serving import Answering, make_workspace, serving
from torture.servers import Postgres

PATIENCE = 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CALL_SECONDS", PATIENCE)


@pytest.fixture
def server(workspace_dir: Path) -> Iterator[Answering]:
    with make_workspace(workspace_dir) as store, serving(store) as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


def refused(response: httpx.Response) -> None:
    """Not answered, in words that name nothing of the machine, with a time to come again."""
    assert response.status_code == 503, response.text
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "api.unavailable"
    assert "outputs" not in response.text
    assert "ledger" not in response.text


def recovers(server: Answering, seconds: float = 60) -> None:
    """Answers again by itself."""
    until = time.monotonic() + seconds
    while (response := server.predict("great")).status_code != 200:
        assert time.monotonic() < until, response.text
        time.sleep(0.1)


def charged(server: Answering, answered: int) -> None:
    """As many charges as answers, and a ledger that is whole."""
    assert server.store.ledger.counts()["events"] == answered
    result = server.store.ledger.verify()
    assert result.ok, [fault.text() for fault in result.faults]


HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(60)
"""


def test_a_locked_database_refuses_soon_and_goes_on(server: Answering) -> None:
    assert server.predict("great").status_code == 200
    holder = start(HOLDER, server.store.folder / "ledger.db")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused(server.predict("great"))
        assert holder.poll() is None  # the database is locked still
        # Reading goes on: what was used, and whether the server lives.
        assert server.http.get("/v1/usage").status_code == 200
        assert server.http.get("/healthz").status_code == 200
    finally:
        kill(holder)
        holder.communicate()
    recovers(server)
    charged(server, 2)


def test_a_short_lock_is_waited_for(server: Answering) -> None:
    with closing(sqlite3.connect(server.store.folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        responses: list[int] = []
        caller = threading.Thread(
            target=lambda: responses.append(server.predict("great").status_code)
        )
        caller.start()
        time.sleep(PATIENCE * 0.2)
        assert responses == []
        other.execute("ROLLBACK")
        caller.join()
    assert responses == [200]
    charged(server, 1)


@contextmanager
def no_more_pages(database: Database) -> Iterator[None]:
    """The file may not grow: SQLite says the same as for a disk that is full."""

    def limit(connection: object, record: object, proxy: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    def lift(connection: object, record: object, proxy: object) -> None:
        connection.execute("PRAGMA max_page_count = 4294967294")  # type: ignore[attr-defined]

    event.listen(database.engine, "checkout", limit)
    yield
    event.remove(database.engine, "checkout", limit)
    event.listen(database.engine, "checkout", lift)


def test_a_full_disk_gives_nothing_away(server: Answering) -> None:
    assert server.predict("great").status_code == 200
    answered, seen = 1, 0
    with no_more_pages(server.store.ledger._calls):
        for number in range(200):
            response = server.predict("great " * 300 + str(number))
            if response.status_code == 200:
                assert seen == 0
                answered += 1
            else:
                refused(response)
                seen += 1
                if seen == 3:
                    break
        assert seen == 3
        # Smaller than what was refused, it may find room in a page; then it is charged, too.
        answered += server.predict("great").status_code == 200
    recovers(server)
    charged(server, answered + 1)


def test_a_catalog_that_cannot_say_whose_keys_work_withholds(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = server.store.keys.epoch
    assert server.predict("great").status_code == 200  # the key is known from now on

    def away() -> int:
        raise EnvironmentProblem("store.database_busy", path="catalog.db", seconds=PATIENCE)

    monkeypatch.setattr(server.store.keys, "epoch", away)
    refused(server.predict("great"))
    assert server.store.ledger.counts()["events"] == 1
    # Between the commit and the answer: what was charged is credited.
    looks = iter([epoch, away])
    monkeypatch.setattr(server.store.keys, "epoch", lambda: next(looks)())
    refused(server.predict("great"))
    monkeypatch.setattr(server.store.keys, "epoch", epoch)
    recovers(server)
    kinds = [one.kind for one in server.store.ledger.events()]
    assert kinds == ["charge", "charge", "credit", "charge"]
    charged(server, 4)


def test_a_slow_database_is_waited_for_no_longer_than_a_caller_would(
    workspace_dir: Path, postgres: Postgres
) -> None:
    import psycopg

    url = postgres.create("slow")
    with make_workspace(workspace_dir, url) as store, serving(store) as server:
        assert server.predict("great").status_code == 200
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE ledger.events IN ACCESS EXCLUSIVE MODE")
            refused(server.predict("great"))  # while the table is locked
        recovers(server)
        charged(server, 2)


def test_postgresql_that_goes_away_and_comes_back(workspace_dir: Path, postgres: Postgres) -> None:
    url = postgres.create("away")
    with make_workspace(workspace_dir, url) as store, serving(store) as server:
        key = {"idempotency-key": "k"}
        first = server.http.post("/v1/predict", json={"inputs": "great"}, headers=key)
        assert first.status_code == 200
        postgres.kill()
        refused(server.predict("great"))
        refused(server.predict("great"))
        # Feedback fails clearly too, and a retry is not guessed at.
        said = {"prediction_id": first.json()["id"], "index": 0, "label": "good"}
        refused(server.http.post("/v1/feedback", json=said))
        refused(server.http.post("/v1/predict", json={"inputs": "great"}, headers=key))
        assert server.http.get("/healthz").status_code == 200
        postgres.start()
        recovers(server)
        again = server.http.post("/v1/predict", json={"inputs": "great"}, headers=key)
        assert again.content == first.content
        assert server.http.post("/v1/feedback", json=said).status_code == 200
        charged(server, 2)


def test_what_a_commit_survives_can_be_chosen(tmp_path: Path) -> None:
    for durability, synchronous in (("process", 1), ("power", 2)):
        database = Database(
            sqlite_url(tmp_path / f"{durability}.db"),
            "ledger",
            durability=durability,  # type: ignore[arg-type]
        )
        with database.write() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
        database.close()


def test_on_postgresql_commits_wait_for_the_disk(postgres: Postgres) -> None:
    url = make_url(postgres.create("sync")).set(drivername="postgresql+psycopg")
    database = Database(url, "ledger", patience=PATIENCE)
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == f"{PATIENCE}s"
    database.close()


def test_a_commit_of_which_only_the_word_was_lost_is_credited(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.store.ledger.commit_group
    lost = True

    def cut_off(calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        outcomes = commit(calls)
        if lost:
            raise EnvironmentProblem("store.database_unreachable", url="ledger", reason="cut off")
        return outcomes

    monkeypatch.setattr(server.store.ledger, "commit_group", cut_off)
    key = {"idempotency-key": "k"}
    refused(server.http.post("/v1/predict", json={"inputs": "great"}, headers=key))
    refused(server.predict("great"))
    lost = False
    # The one with a key gets what it is charged for; the other is charged nothing.
    again = server.http.post("/v1/predict", json={"inputs": "great"}, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert server.predict("great").status_code == 200
    kinds = [(one.kind, one.units["calls"]) for one in server.store.ledger.events()]
    assert kinds == [("charge", 1), ("charge", 1), ("credit", -1), ("charge", 1)]
    charged(server, 4)


def test_the_epoch_is_never_older_than_a_commit(
    any_store: Store, open_any: Callable[[], Store]
) -> None:
    other = open_any()
    customer = any_store.catalog.add_customer("Ada").id
    for number in range(20):
        before = any_store.keys.epoch()
        assert before == any_store.keys.epoch() == other.catalog.epoch()
        other.catalog.add_key(customer, "fl_x", f"{number:064x}")
        assert any_store.keys.epoch() == before + 1
        any_store.catalog.set_setting("unrelated", number)
        assert any_store.keys.epoch() == before + 1


@pytest.mark.slow
def test_the_epoch_is_asked_again_after_postgresql_was_away(
    workspace_dir: Path, postgres: Postgres
) -> None:
    with make_workspace(workspace_dir, postgres.create("epoch")) as store:
        epoch = store.keys.epoch()
        postgres.kill()
        with pytest.raises(EnvironmentProblem):
            store.keys.epoch()
        postgres.start()
        assert store.keys.epoch() == epoch
        postgres.kill()
        postgres.start()  # unseen
        assert store.keys.epoch() == epoch
