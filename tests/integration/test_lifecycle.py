"""Versions come and go under load; servers and engines crash and hang; all by real processes."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from feilun.errors import Conflict, NotFound, UsageError
from feilun.project import Workspace
from feilun.store.store import Store
from helpers.forked import Forked
from helpers.linear import QUICK, linear_project
from helpers.serving import add_version, client, make_key, make_workspace, serving
from helpers.sleepy import add_sleepy, environment

SUPERVISED = """
import os, sys
from feilun.serving.ports import bind
from feilun.serving.supervisor import supervise
with bind("127.0.0.1", int(sys.argv[1])) as listening:
    command = [sys.executable, "-m", "feilun", "serve", "--json"]
    sys.exit(supervise(listening, command, silent_seconds=float(sys.argv[2])))
"""


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with make_workspace(workspace_dir) as store:
        yield store


def write_files(workspace: Path) -> None:
    """The settings files that ``feilun serve`` reads prices from."""
    with Workspace(workspace) as opened:
        for project in opened.store.catalog.projects():
            file = workspace / project.name / "feilun.toml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f'[project]\nname = "{project.name}"\ntask = "{project.task}"\n')


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@dataclass
class Load:
    """What clients saw: answers by version and label, statuses, broken connections."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    slowest: float = 0.0
    answered: list[str] = field(default_factory=list)


@contextmanager
def load(address: str, secret: str, clients: int = 4, text: str = "great") -> Iterator[Load]:
    """So many clients that call one after the other while the context lasts."""
    seen, over, lock = Load(), threading.Event(), threading.Lock()

    def call() -> None:
        with client(address, secret) as http:
            while not over.is_set():
                begun = time.monotonic()
                try:
                    response = http.post("/v1/predict", json={"inputs": text})
                except httpx.TransportError:
                    with lock:
                        seen.broken += 1
                    time.sleep(0.02)
                    continue
                body = response.json()
                with lock:
                    seen.statuses[response.status_code] += 1
                    seen.slowest = max(seen.slowest, time.monotonic() - begun)
                    if response.status_code == 200:
                        seen.answers[body["model"], body["outputs"][0]["label"]] += 1
                        seen.answered.append(body["id"])
                    else:
                        seen.codes[body["error"]["code"]] += 1
                        time.sleep(0.02)

    threads = [threading.Thread(target=call) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


# Canary, shadow, promotion, rollback


def test_canary_shadow_promotion_and_rollback_under_load_fail_no_request(store: Store) -> None:
    catalog = store.catalog
    two, three = add_version(store, flipped=True).id, add_version(store).id
    with serving(store) as server, load(server.address, server.key.secret) as seen:

        def answers(version: str) -> int:
            return sum(count for (model, _), count in seen.answers.items() if model == version)

        wait_for(lambda: answers("reviews@1") > 20)
        catalog.deploy_beside("reviews", two, role="canary", weight=0.5)
        catalog.deploy_beside("reviews", three, role="shadow", weight=1.0)
        wait_for(lambda: answers(two) > 20)
        catalog.deploy_beside("reviews", two, role="canary", weight=0.1)  # less of it

        def of_the_next_300() -> int:
            before, all_before = answers(two), sum(seen.answers.values())
            wait_for(lambda: sum(seen.answers.values()) > all_before + 300)
            return answers(two) - before

        # The server looks for deployments by the second: the first calls may still be half.
        assert any(of_the_next_300() < 100 for _ in range(10))
        catalog.set_live("reviews", two)  # promoted
        wait_for(lambda: server.predict("great").json()["model"] == two)
        assert [d.role for d in catalog.active("reviews")] == ["shadow", "live"]
        catalog.set_live("reviews", "reviews@1", actor="rollback")
        wait_for(lambda: server.predict("great").json()["model"] == "reviews@1")
        assert answers(three) == 0  # the shadow was never heard
    assert set(seen.statuses) == {200}
    assert seen.broken == 0
    labels = {("reviews@1", "good"), (two, "bad")}
    assert set(seen.answers) == labels
    assert store.ledger.counts()["events"] >= sum(seen.answers.values())


def test_a_shadow_is_compared_and_its_counts_reach_status(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.serving.service.HEARTBEAT_SECONDS", 0.1)
    shadow = add_version(store, flipped=True).id
    deployed = store.catalog.deploy_beside("reviews", shadow, role="shadow", weight=1.0)
    with serving(store) as server:
        for _ in range(10):
            server.predict(["great", "broken", "nothing of either"])
        prefix = f"shadow:{deployed.id}:"

        def kept() -> dict[str, Any]:
            found = store.catalog.settings(prefix)
            return next(iter(found.values()), {})

        wait_for(lambda: kept().get("inputs") == 30)
        assert 20 <= kept()["different"] <= 30
        assert kept()["failed"] == kept()["dropped"] == 0
        assert store.ledger.counts()["events"] == 10  # the shadow is charged to nobody
    from feilun.project.beside import beside, sentence

    (told,) = beside(store, "reviews")
    assert told["inputs"] == 30
    line = sentence(told, "reviews")
    assert shadow in line
    assert "30" in line


@pytest.mark.slow
def test_a_slow_shadow_delays_nobody_and_is_dropped_under_load(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.catalog.set_live("reviews", add_sleepy(store, seconds=0.002).id)
    slow = add_sleepy(store, seconds=1.5).id
    deployed = store.catalog.deploy_beside("reviews", slow, role="shadow", weight=1.0)
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (_, address), load(address, key, 8) as seen:
        wait_for(lambda: seen.statuses[200] > 400)
        assert seen.slowest < 1.4
    assert set(seen.statuses) == {200}
    (counts,) = store.catalog.settings(f"shadow:{deployed.id}:").values()
    assert counts["dropped"] > 100


def test_the_commands_of_canary_and_shadow(workspace_dir: Path) -> None:
    with linear_project(workspace_dir) as project:
        project.train(method="linear", overrides=QUICK)
        with pytest.raises(Conflict):
            project.deploy(canary=10)
        first = project.deploy(force=True, reason="test").version
        project.train(method="linear", overrides=QUICK | {"training.seed": 7}, restart=True)
        second = project.model().id
        assert second != first
        with pytest.raises(UsageError):
            project.deploy(canary=10, shadow=True)
        with pytest.raises(UsageError):
            project.deploy(canary=100)
        for place in ({"canary": 10}, {"shadow": True}):  # what is live cannot stand beside itself
            with pytest.raises(Conflict) as same:
                project.deploy(first, force=True, reason="test", **place)
            assert (same.value.code, same.value.params["version"]) == ("store.live_already", first)
        assert project.beside().rows == []
        assert project.deploy(first).previous is None
        result = project.deploy(second, shadow=True)
        assert (result.version, result.role) == (second, "shadow")
        assert "feilun status" in str(result.tables())
        (told,) = project.workspace.status().projects[0]["beside"]
        assert told["role"] == "shadow"
        result = project.deploy(second, canary=12.5, force=True, reason="test")
        assert (result.role, result.share) == ("canary", 0.125)
        (told,) = project.beside().rows
        assert (told["role"], told["weight"]) == ("canary", 0.125)
        assert (told["calls"], told["judged"]) == (0, (0, 0))
        assert project.live is not None
        assert project.live.id == first
        assert project.rollback().version == first  # ends the canary, the live version stays
        assert project.workspace.status().projects[0]["beside"] == []
        with pytest.raises(NotFound):
            project.rollback(shadow=True)
        project.deploy(second, canary=50, force=True, reason="test")
        assert project.deploy(second, force=True, reason="test").role == "live"
        assert project.workspace.status().projects[0]["beside"] == []
        assert project.rollback().version == first


# Crashes and hangs


@contextmanager
def server(
    workspace: Path, control: Path, *, silent: float | None = None
) -> Iterator[tuple[Forked, str]]:
    """``feilun serve`` as a user starts it, or with another patience; its parent, its address."""
    env = environment(control) | {"FEILUN_WORKSPACE": str(workspace)}
    write_files(workspace)
    command = [sys.executable, "-m", "feilun", "serve", "--port", "0", "--json"]
    if silent is not None:
        command = [sys.executable, "-c", SUPERVISED, "0", str(silent)]
    log = (control / "log").open("wb")
    process = Forked(command, env=env, stdout=subprocess.PIPE, stderr=log)
    log.close()
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (control / "log").read_text()
        yield process, json.loads(line)["address"]
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def child_of(process: Forked) -> psutil.Process:
    wait_for(lambda: psutil.Process(process.pid).children())
    return psutil.Process(process.pid).children()[0]


def test_a_server_that_crashes_is_back_and_nothing_answered_is_lost(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (process, address), load(address, key) as seen:
        for number in (signal.SIGSEGV, signal.SIGKILL):
            before = seen.statuses[200]
            wait_for(lambda before=before: seen.statuses[200] > before + 30)
            child = child_of(process)
            child.send_signal(number)
            child.wait(60)
            before = seen.statuses[200]
            wait_for(lambda before=before: seen.statuses[200] > before + 30)
        assert process.poll() is None
    # A client has one call under way: one broken connection for each crash, and nothing refused.
    assert seen.broken <= 2 * 4
    assert set(seen.statuses) <= {200, 503}
    assert seen.statuses[503] <= 4  # those of the last moment, while the server was stopped
    events = Counter(event.call_id for event in store.ledger.events())
    assert all(events[call] == 1 for call in seen.answered)
    assert process.returncode == 0
    assert "started again" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_server_that_falls_silent_is_replaced(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    key = make_key(store).secret
    with server(workspace_dir, tmp_path, silent=3) as (process, address), client(address) as http:
        first = child_of(process)
        assert http.get("/readyz").status_code == 200
        time.sleep(4)  # it speaks: it is left alone
        assert first.is_running()
        first.send_signal(signal.SIGSTOP)
        with load(address, key, clients=2) as seen:
            wait_for(lambda: seen.statuses[200] > 10)
        assert child_of(process).pid != first.pid
    assert "ended and started again" in (tmp_path / "log").read_text()


def test_a_parent_that_is_killed_takes_its_child_along(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    with server(workspace_dir, tmp_path) as (process, _):
        child = child_of(process)
        process.kill()
        wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_child_that_was_only_just_begun_does_not_outlive_its_parent(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    """Killed before the child could ask to end with it, the parent left a server behind."""
    write_files(workspace_dir)
    env = environment(tmp_path) | {"FEILUN_WORKSPACE": str(workspace_dir)}
    command = [sys.executable, "-m", "feilun", "serve", "--port", "0", "--json"]
    process = Forked(command, env=env, stdout=subprocess.DEVNULL)
    child = child_of(process)
    process.kill()
    process.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_not_tried_for_ever(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.close()
    (workspace_dir / ".feilun" / "catalog.db").write_bytes(b"no database" * 100)
    env = environment(tmp_path) | {"FEILUN_WORKSPACE": str(workspace_dir)}
    command = [sys.executable, "-m", "feilun", "serve", "--port", "0", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"]


def test_an_engine_that_hangs_is_replaced_and_its_calls_are_answered(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.catalog.set_live("reviews", add_sleepy(store, seconds=0.005, hang_seconds=1).id)
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (process, address), load(address, key) as seen:
        wait_for(lambda: seen.statuses[200] > 20)
        child = child_of(process).pid
        (tmp_path / "HANG").touch()
        time.sleep(0.3)
        (tmp_path / "HANG").unlink()
        before = seen.statuses[200]
        wait_for(lambda: seen.statuses[200] > before + 30)
        assert child_of(process).pid == child  # the process went on
        assert len((tmp_path / "opened").read_text()) == 2
    assert set(seen.statuses) == {200}  # tried once more on the engine in its place
    assert seen.broken == 0
    assert set(seen.answers) == {("reviews@2", "good")}


@pytest.mark.slow
def test_an_engine_that_goes_on_hanging_is_told_honestly_and_not_charged(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.catalog.set_live("reviews", add_sleepy(store, deadline=30, hang_seconds=0.5).id)
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (_, address), client(address, key) as http:
        (tmp_path / "HANG").touch()
        response = http.post("/v1/predict", json={"inputs": "great"})
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "serving.engine_replaced"
        assert int(response.headers["retry-after"]) >= 1
        timeout = {"x-request-timeout": "0.4"}
        response = http.post("/v1/predict", json={"inputs": "great"}, headers=timeout)
        assert response.json()["error"]["code"] == "engines.too_late"
        (tmp_path / "HANG").unlink()
        wait_for(lambda: http.post("/v1/predict", json={"inputs": "great"}).status_code == 200)
    assert store.ledger.counts()["events"] == 1


@pytest.mark.slow
def test_an_engine_that_crashes_the_process_is_back(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.catalog.set_live("reviews", add_sleepy(store).id)
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (_, address), load(address, key) as seen:
        wait_for(lambda: seen.statuses[200] > 20)
        (tmp_path / "CRASH").touch()
        wait_for(lambda: not (tmp_path / "CRASH").exists())
        before = seen.statuses[200]
        wait_for(lambda: seen.statuses[200] > before + 20)
    assert seen.broken <= 4
    assert "SIGSEGV" in (tmp_path / "log").read_text()


# Beginning and end


def test_a_stop_drains_and_tells_new_calls_to_go_elsewhere(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    store.catalog.set_live("reviews", add_sleepy(store, seconds=3).id)
    key = make_key(store).secret
    with server(workspace_dir, tmp_path) as (process, address):
        found: list[httpx.Response] = []

        def call() -> None:
            with client(address, key) as http:
                found.append(http.post("/v1/predict", json={"inputs": "great"}))

        with client(address, key) as idle:
            assert idle.get("/readyz").status_code == 200
            thread = threading.Thread(target=call)
            (tmp_path / "BEGUN").unlink()  # of the warm-up
            thread.start()
            wait_for((tmp_path / "BEGUN").exists)
            process.terminate()
            with client(address, key) as new:
                wait_for(lambda: new.get("/readyz").status_code == 503)
                assert new.get("/healthz").status_code == 200
            refused = idle.post("/v1/predict", json={"inputs": "great"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "serving.stopping"
            assert refused.headers["connection"] == "close"
        thread.join()
        assert found[0].status_code == 200
        assert process.wait(60) == 0
    assert store.ledger.counts()["events"] == 1


@pytest.mark.slow
def test_connections_wait_until_the_server_is_warm(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    """The port is taken before anything is loaded; whoever calls early is answered late, not
    refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write_files(workspace_dir)
    env = environment(tmp_path) | {"FEILUN_WORKSPACE": str(workspace_dir)}
    key = make_key(store).secret
    command = [sys.executable, "-m", "feilun", "serve", "--port", str(port), "--json"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        response = None
        until = time.monotonic() + 60
        while response is None and time.monotonic() < until:
            with suppress(httpx.ConnectError), client(f"http://127.0.0.1:{port}", key) as http:
                response = http.post("/v1/predict", json={"inputs": "great"})
        assert response is not None
        assert response.status_code == 200
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_a_server_says_what_it_serves(store: Store, workspace_dir: Path, tmp_path: Path) -> None:
    env = environment(tmp_path) | {"FEILUN_WORKSPACE": str(workspace_dir), "PYTHONUNBUFFERED": "1"}
    write_files(workspace_dir)
    process = subprocess.Popen(
        [sys.executable, "-m", "feilun", "serve", "--port", "0", "--memory", "2GB"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = "".join(process.stdout.readline() for _ in range(3))
        assert "reviews@1 answers" in said
        assert "http://127.0.0.1:" in said
    finally:
        os.kill(process.pid, signal.SIGINT)  # Ctrl-C
        assert process.wait(60) == 0
        process.stdout.close()


@pytest.mark.slow
def test_models_beyond_the_budget_are_loaded_when_they_are_called(
    store: Store, workspace_dir: Path, tmp_path: Path
) -> None:
    names = []
    for number in range(3):
        name = f"shop{number}"
        store.catalog.add_project(name, "text-classification")
        store.catalog.set_live(name, add_sleepy(store, name).id)
        names.append(name)
    key = make_key(store).secret
    with serving_with_memory(workspace_dir, tmp_path, 1) as address, client(address, key) as http:
        assert http.get("/readyz").status_code == 200
        for _ in range(2):
            for name in names:
                body = {"inputs": "great", "model": name}
                assert http.post("/v1/predict", json=body).status_code == 200
    assert len((tmp_path / "opened").read_text()) >= 6  # each time anew: there is room for one


@contextmanager
def serving_with_memory(workspace: Path, control: Path, memory: int) -> Iterator[str]:
    write_files(workspace)
    env = environment(control) | {"FEILUN_WORKSPACE": str(workspace), "FEILUN_MEMORY": str(memory)}
    process = subprocess.Popen(
        [sys.executable, "-m", "feilun", "serve", "--port", "0", "--json"],
        env=env,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
