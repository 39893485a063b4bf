"""What a customer and a seller may rely on, with real servers and processes: one charge for one
request, nothing for a revoked key, nothing owed by who went away before the commit."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.billing.withheld import WITHHELD
from feilun.serving.served import Served
from feilun.store import Store
from feilun.store.ledger_records import CallOutcome, LedgerCall
from helpers import forked
from helpers.serving import client, make_key, make_workspace, server_process, serving

PRICE = 2_000_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """None for SQLite files, or a PostgreSQL that child processes find too."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("migrated_url")
    monkeypatch.setenv("FEILUN_DATABASE", url)
    return url


@pytest.fixture
def store(workspace_dir: Path, database: str | None) -> Iterator[Store]:
    with make_workspace(workspace_dir, database) as opened:
        opened.catalog.add_price("reviews", PRICE, "USD")
        yield opened


@contextmanager
def replicas(folder: Path, count: int) -> Iterator[list[str]]:
    """Server processes over one workspace."""
    with ExitStack() as stack:
        yield [stack.enter_context(server_process(folder))[1] for _ in range(count)]


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(http: httpx.Client, key: str, inputs: Any = "great") -> httpx.Response:
    return http.post("/v1/predict", json={"inputs": inputs}, headers={"idempotency-key": key})


def test_two_servers_charge_one_request_once(store: Store, workspace_dir: Path) -> None:
    secret = make_key(store).secret
    answers: dict[str, set[bytes]] = {f"k{n}": set() for n in range(20)}
    failed: list[object] = []
    with replicas(workspace_dir, 2) as addresses:

        def work(address: str) -> None:
            with client(address, secret) as http:
                for key, got in answers.items():
                    response = ask(http, key)
                    if response.status_code == 200:
                        got.add(response.content)
                    else:
                        failed.append(response.text)

        threads = [threading.Thread(target=work, args=(a,)) for a in addresses * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert [len(got) for got in answers.values()] == [1] * len(answers)
    # Nor is it another after all servers were started anew.
    with replicas(workspace_dir, 1) as addresses, client(addresses[0], secret) as http:
        assert {ask(http, "k3").content} == answers["k3"]
    assert store.ledger.counts()["events"] == len(answers)
    [row] = store.ledger.usage()
    assert row.amount == len(answers) * PRICE // 1000
    assert store.ledger.verify().ok


def revoke(folder: Path, prefix: str) -> None:
    """``feilun keys revoke``, as a process of its own on the same database."""
    done = forked.run(("keys", "revoke", prefix), folder, dict(os.environ), 60)
    assert done.returncode == 0, done.stderr


def test_after_a_key_is_revoked_no_request_is_answered(store: Store, workspace_dir: Path) -> None:
    keys = [make_key(store, f"customer {n}") for n in range(2)]
    lock = threading.Lock()
    other: Counter[int] = Counter()
    stop = threading.Event()
    with replicas(workspace_dir, 2) as addresses:

        def call(address: str, secret: str, note: Callable[[float, int], None]) -> None:
            with client(address, secret) as http:
                while not stop.is_set():
                    start = time.monotonic()
                    note(start, http.post("/v1/predict", json={"inputs": "great"}).status_code)

        def note(start: float, status: int) -> None:
            with lock:
                victim.append((start, status))

        def counted(start: float, status: int) -> None:
            with lock:
                other[status] += 1

        victim: list[tuple[float, int]] = []
        threads = [
            threading.Thread(target=call, args=(address, keys[0].secret, note))
            for address in addresses * 2
        ]
        threads += [
            threading.Thread(target=call, args=(address, keys[1].secret, counted))
            for address in addresses
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(status == 200 for _, status in victim) > 20)
        revoke(workspace_dir, keys[0].record.prefix)
        revoked = time.monotonic()
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
    after = [status for start, status in victim if start > revoked]
    assert len(after) > 5
    # 429: the server holds an address to a limit that keeps on sending keys that do not work.
    assert set(after) <= {401, 429}
    assert set(other) == {200}
    # Who got no answer was not charged: charges that stand are answers that arrived.
    arrived = sum(status == 200 for _, status in victim)
    events = list(store.ledger.events(customer=keys[0].record.customer))
    assert sum(1 if event.kind == "charge" else -1 for event in events) == arrived
    assert {event.outcome for event in events if event.kind == "credit"} <= {WITHHELD}
    assert store.ledger.verify().ok


def test_a_key_revoked_during_the_commit_gets_nothing_and_owes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store.ledger.commit_group
    with serving(store) as server:

        def slow(calls: Sequence[LedgerCall]) -> list[CallOutcome]:
            outcomes = commit(calls)
            if calls[0].events[0].kind == "charge":
                store.catalog.revoke_key(server.key.record.id)
            return outcomes

        monkeypatch.setattr(store.ledger, "commit_group", slow)
        response = ask(server.http, "k")
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "billing.key_ended"
        assert "great" not in response.text
        charge, credit = store.ledger.events()
        assert (charge.kind, credit.kind, credit.outcome) == ("charge", "credit", WITHHELD)
        assert charge.amount == -credit.amount == PRICE // 1000
        [row] = store.ledger.usage()
        assert (row.amount, row.units["calls"], row.units["inputs"]) == (0, 0, 0)
        # The kept answer went with its charge.
        assert store.ledger.earlier(server.key.record.customer, "k") is None
        # The place in the month too: the next call begins where this one did.
        monkeypatch.setattr(store.ledger, "commit_group", commit)
        with client(server.address, make_key(store).secret) as http:
            assert ask(http, "k").status_code == 200
    assert store.ledger.verify().ok


def send_and_leave(address: str, secret: str, heard: threading.Event) -> None:
    """Sends a whole request and closes the connection once `heard` is set, before the answer."""
    host, _, port = address.removeprefix("http://").partition(":")
    body = b'{"inputs": "great"}'
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        head = (
            f"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        sock.sendall(head.encode() + body)
        assert heard.wait(60)


def test_who_goes_away_before_the_commit_owes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    answer = Served.answer
    entered, left = threading.Event(), threading.Event()

    async def slow(self: Served, *args: Any, **options: Any) -> Any:
        result = await answer(self, *args, **options)
        entered.set()
        while not left.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return result

    monkeypatch.setattr(Served, "answer", slow)
    with serving(store) as server:
        send_and_leave(server.address, server.key.secret, entered)
        left.set()
        time.sleep(0.5)
        assert store.ledger.counts()["events"] == 0
        assert server.predict("great").status_code == 200
    assert store.ledger.counts()["events"] == 1


def test_who_goes_away_during_the_commit_is_charged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store.ledger.commit_group
    begun, left = threading.Event(), threading.Event()

    def slow(calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        begun.set()
        left.wait(60)
        return commit(calls)

    monkeypatch.setattr(store.ledger, "commit_group", slow)
    with serving(store) as server:
        with suppress(OSError):
            send_and_leave(server.address, server.key.secret, begun)
        left.set()
        wait_for(lambda: store.ledger.counts()["events"] == 1)
