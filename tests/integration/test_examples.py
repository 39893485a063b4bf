"""The examples of the documentation, run as their readers would run them, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun.store.ledger_records import Event
from helpers.serving import Answering, make_key, make_workspace, serving

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COMMANDS = {
    "client.py": [sys.executable],
    "plain.py": [sys.executable],
    "client.mjs": ["node"],
    # What lives for a second is not worth the second compiler.
    "FeilunClient.java": ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"],
    "curl.sh": ["sh"],
}
NEEDS = {"client.mjs": "node", "FeilunClient.java": "java", "curl.sh": "curl"}
RUNNABLE = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name in NEEDS and shutil.which(NEEDS[name]) is None,
            reason=f"{NEEDS.get(name)} is not there",
        ),
    )
    for name in COMMANDS
]
FEW = [
    *RUNNABLE[:2],
    *(pytest.param(*one.values, marks=[*one.marks, pytest.mark.slow]) for one in RUNNABLE[2:]),
]
TALKING = [one for one in FEW if one.values[0] != "curl.sh"]
TEXTS = ['great, a "quote" and \\ too', "坏 很差\tbroken"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with (
        make_workspace(tmp_path_factory.mktemp("workspace")) as store,
        serving(store) as running,
    ):
        yield running


def run(server: Answering, name: str, secret: str, *words: str) -> subprocess.CompletedProcess[str]:
    told = {"FEILUN_URL": server.address, "FEILUN_KEY": secret, "FEILUN_MODEL": "reviews"}
    clean = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
    return subprocess.run(
        [*COMMANDS[name], str(EXAMPLES / name), *words],
        env=clean | told | {"LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def events_of(server: Answering, customer: str) -> list[Event]:
    day = datetime.now(UTC) - timedelta(days=1)
    return list(server.store.ledger.events(customer=customer, since=day))


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == set(COMMANDS)


@pytest.mark.parametrize("name", RUNNABLE)
def test_it_runs_as_it_stands(server: Answering, name: str) -> None:
    key = make_key(server.store, f"Runs {name}")
    done = run(server, name, key.secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reviews@1" in done.stdout
    if name == "curl.sh":
        assert len(json.loads(done.stdout)["outputs"]) == 2
    else:
        assert "works well" in done.stdout
        assert "arrived broken" in done.stdout
    assert len(events_of(server, key.record.customer)) == 1


@pytest.mark.parametrize("name", TALKING)
def test_it_asks_what_it_is_given_and_says_what_was_right(server: Answering, name: str) -> None:
    key = make_key(server.store, f"Asks {name}")
    done = run(server, name, key.secret, *TEXTS)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("  ")[:2] for line in lines[:2]] == [
        ["reviews@1", "good"],
        ["reviews@1", "bad"],
    ]
    (event,) = events_of(server, key.record.customer)
    assert [server.store.ledger.prediction(event.call_id, n).input for n in (0, 1)] == TEXTS
    (said,) = server.store.ledger.feedback_of(event.call_id)
    assert said.label == "good"


@pytest.mark.parametrize("name", FEW)
def test_it_comes_again_when_it_was_too_fast(server: Answering, name: str) -> None:
    """The rate allows one call; the example, called twice, waits as it is told and is charged for
    each once."""
    key = make_key(server.store, f"Fast {name}", limits={"rate": 0.5, "burst": 1})
    first = server.http.post(
        "/v1/predict",
        json={"inputs": "x", "model": "reviews"},
        headers={"authorization": f"Bearer {key.secret}"},
    )
    assert first.status_code == 200
    done = run(server, name, key.secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(events_of(server, key.record.customer)) == 2


@pytest.mark.parametrize("name", FEW)
def test_it_says_why_it_was_refused(server: Answering, name: str) -> None:
    done = run(server, name, "fl_wrong")
    assert done.returncode != 0
    assert "billing.wrong_key" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
