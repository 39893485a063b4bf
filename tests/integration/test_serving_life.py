"""A server's life: swaps under load, kills, stops, a database that fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from feilun import api
from feilun.errors import EnvironmentProblem
from feilun.serving.internal import make_token
from feilun.serving.ports import bind
from feilun.serving.process import temporary_server
from feilun.store.ledger_records import CallOutcome, LedgerCall
from feilun.store.store import Store
from helpers.serving import (
    add_version,
    client,
    make_key,
    make_workspace,
    server_process,
    serving,
)


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with make_workspace(workspace_dir) as store:
        yield store


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_swaps_under_load_fail_no_request(store: Store) -> None:
    other = add_version(store, flipped=True).id
    expected = {"reviews@1": "good", other: "bad"}
    done = threading.Event()
    seen: Counter[str] = Counter()
    failed: list[Any] = []

    def call(address: str, secret: str) -> None:
        with client(address, secret) as http:
            while not done.is_set():
                response = http.post("/v1/predict", json={"inputs": "great"})
                body = response.json()
                right = response.status_code == 200
                if not right or body["outputs"][0]["label"] != expected[body["model"]]:
                    failed.append(body)
                else:
                    seen[body["model"]] += 1

    with serving(store) as server:
        threads = [
            threading.Thread(target=call, args=(server.address, server.key.secret))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        token = make_token(store.secret())
        with client(server.address, token) as http:
            for turn in range(8):
                version = other if turn % 2 == 0 else "reviews@1"
                store.catalog.set_live("reviews", version)
                if turn < 6:  # told at once
                    assert http.post("/internal/v1/refresh").json()["models"]["reviews"] == version
                    assert server.predict("great").json()["model"] == version
                else:  # or seen by the watch
                    wait_for(lambda v=version: server.predict("great").json()["model"] == v)
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert min(seen["reviews@1"], seen[other]) > 5


def test_what_was_answered_before_a_kill_is_in_the_ledger(
    store: Store, workspace_dir: Path
) -> None:
    key = make_key(store).secret
    answered: list[str] = []

    def call(address: str) -> None:
        with client(address, key) as http, suppress(httpx.TransportError):
            while True:
                body = http.post("/v1/predict", json={"inputs": ["great", "broken"]}).json()
                answered.append(body["id"])

    for _ in range(3):
        before = len(answered)
        with server_process(workspace_dir) as (child, address):
            threads = [threading.Thread(target=call, args=(address,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            wait_for(lambda before=before: len(answered) > before + 60)
            child.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
    events = Counter(event.call_id for event in store.ledger.events())
    assert len(set(answered)) == len(answered) > 180
    assert all(events[call] == 1 for call in answered)
    # What was committed and not answered any more is at most what was under way.
    assert events.total() - len(answered) <= 3 * 8
    logged = store.ledger.recent_predictions("reviews", limit=None)
    assert Counter(row.prediction_id for row in logged) == dict.fromkeys(events, 2)


def test_without_the_ledger_no_answer_leaves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = store.ledger.commit_group
    away = True

    def broken(calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        if away:
            raise EnvironmentProblem("store.disk_full", path="/srv/ledger.db", reason="full")
        return commit(calls)

    monkeypatch.setattr(store.ledger, "commit_group", broken)
    with serving(store) as server:
        response = server.predict("great")
        assert response.status_code == 503
        error = response.json()["error"]
        assert error["code"] == "api.unavailable"
        assert "/srv" not in response.text
        assert "outputs" not in response.text
        away = False
        assert server.predict("great").status_code == 200
    assert store.ledger.counts()["events"] == 1


def test_a_bug_answers_500_with_the_request_id_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(store.ledger, "commit_group", bug)
    monkeypatch.setattr(store.ledger, "usage", bug)
    with serving(store) as server:
        for response in (server.predict("great"), server.http.get("/v1/usage")):
            assert response.status_code == 500
            error = response.json()["error"]
            assert error["code"] == "api.internal"
            assert error["request_id"] in error["message"]
            assert "secret detail" not in response.text
            assert error["request_id"] in caplog.text
        assert server.http.get("/healthz").status_code == 200


def test_a_stop_lets_calls_in_flight_end(store: Store, workspace_dir: Path) -> None:
    key = make_key(store).secret
    body = b'{"inputs": "great"}'
    with server_process(workspace_dir) as (child, address):
        assert len(store.catalog.servers()) == 1
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as sock:
            head = (
                f"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
            )
            sock.sendall(head.encode())
            assert sock.recv(65536).startswith(b"HTTP/1.1 100 ")  # the call is under way
            sock.sendall(body[:5])
            child.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert child.poll() is None
            sock.sendall(body[5:])
            answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert child.wait(60) == 0
    assert store.catalog.servers() == []
    assert store.ledger.counts()["events"] == 1


def test_a_temporary_server_comes_and_goes(store: Store, workspace_dir: Path) -> None:
    with temporary_server(workspace_dir) as address:
        assert httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/readyz", trust_env=False)


def test_a_temporary_server_never_outlives_its_parent(store: Store, workspace_dir: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; import psutil\n"
        "from feilun.serving.process import temporary_server\n"
        "with temporary_server(Path(sys.argv[1])) as address:\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(api.__file__).parents[2])}
    command = [sys.executable, "-c", script, str(workspace_dir)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_for(lambda: not psutil.pid_exists(int(done.stdout)))


def test_a_temporary_server_that_cannot_start_says_why(store: Store, workspace_dir: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(EnvironmentProblem) as caught,
            temporary_server(workspace_dir, port=port),
        ):
            pass
    assert caught.value.code == "serving.server_died"
    assert str(port) in caught.value.message()


def test_a_taken_port_is_told_before_anything_is_loaded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.artifacts, "path", lambda *_, **__: pytest.fail("loaded"))
    with bind("127.0.0.1", 0) as taken, pytest.raises(EnvironmentProblem) as caught:
        api.run(store, port=taken.getsockname()[1])
    assert caught.value.code == "serving.port_taken"


def test_a_tampered_version_is_not_served(store: Store) -> None:
    ref = store.catalog.model_version("reviews@1").artifact()
    assert ref is not None
    card = store.artifacts.path(ref, verify=False) / "feilun.json"
    changed = json.loads(card.read_text()) | {"temperature": 9.0}
    card.chmod(0o600)
    card.write_text(json.dumps(changed))
    with serving(store) as server:
        ready = server.http.get("/readyz")
        assert ready.status_code == 503
        (failure,) = ready.json()["failures"]
        assert failure["version"] == "reviews@1"
        assert failure["code"].startswith("store.corrupt")
        assert server.http.get("/healthz").status_code == 200
        assert server.predict("great").status_code == 503


def test_a_server_without_a_model_waits_for_one(store: Store) -> None:
    store.catalog.end_deployment(store.catalog.active()[0].id)
    with serving(store) as server:
        assert server.http.get("/readyz").status_code == 503
        assert server.predict("great").json()["error"]["code"] == "serving.nothing_live"
        store.catalog.set_live("reviews", "reviews@1")
        wait_for(lambda: server.http.get("/readyz").status_code == 200)
        assert server.predict("great").status_code == 200


def test_on_postgresql(workspace_dir: Path, postgres_url: str) -> None:
    with make_workspace(workspace_dir, postgres_url) as store, serving(store) as server:
        call = server.predict(["great\0", "broken"]).json()["id"]
        assert len(list(store.ledger.events(call_id=call))) == 1
        body = {"prediction_id": call, "index": 1, "label": "good"}
        assert server.http.post("/v1/feedback", json=body).status_code == 200
        assert server.http.get("/v1/usage").json()["data"][0]["inputs"] == 2


def test_what_the_versions_configuration_says_holds(store: Store) -> None:
    config = {"project": {"serving": {"max_inputs": 3}, "feedback": {"store_inputs": 0}}}
    store.catalog.set_live("reviews", add_version(store, config=config).id)
    with serving(store) as server:
        assert server.http.get("/v1/models/reviews").json()["max_inputs"] == 3
        assert server.predict(["great"] * 4).status_code == 413
        call = server.predict(["great"] * 3).json()["id"]
        assert not store.ledger.prediction(call).stored


def test_a_server_stays_known_while_it_loads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feilun.serving.service.HEARTBEAT_SECONDS", 0.05)
    beats: list[float] = []
    beat = store.catalog.heartbeat_server
    monkeypatch.setattr(
        store.catalog, "heartbeat_server", lambda s: (beats.append(time.monotonic()), beat(s))
    )
    verify = store.artifacts.verify
    slow: list[tuple[float, float]] = []

    def slowly(ref: str) -> None:
        begun = time.monotonic()
        came = len(beats)
        wait_for(lambda: len(beats) >= came + 3)
        slow.append((begun, time.monotonic()))
        verify(ref)

    with serving(store) as server:
        monkeypatch.setattr(store.artifacts, "verify", slowly)
        other = add_version(store, flipped=True).id
        store.catalog.set_live("reviews", other)
        wait_for(lambda: server.predict("great").json()["model"] == other)
    (begun, ended) = slow[0]
    assert sum(begun < at < ended for at in beats) >= 3
