"""What one customer says never reaches another, in answers or in what is kept; what must not be
kept is nowhere. Every call has a secret of its own, and calls of four customers mingle on one
engine, whole and streamed. An engine is added to `ENGINES`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.project import Workspace
from helpers.gguf import WRITTEN, add_written
from helpers.serving import Answering, client, make_key
from helpers.toys import add_parrot, answering, write_site

CUSTOMERS = {"Ada": 30, "Bo": 30, "Cy": 0, "Di": 0}
"""How many days each lets its inputs be kept."""
SECRET = re.compile("canary-([A-Z][a-z]+)-[0-9]+")


def _parrot(workspace: Workspace) -> str:
    add_parrot(workspace.store)
    return "parrot"


def _memory(workspace: Workspace) -> str:
    project = workspace.init("shop", task="chat")
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in ((f"How much is item {n}?", f"Item {n} costs {n} euros.") for n in range(30))
    ]
    file = workspace.folder / "faq.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    project.add(file)
    project.run(method="memory")
    return "shop"


def _gguf(workspace: Workspace) -> str:
    add_written(workspace.store, longest=8)
    return WRITTEN


ENGINES: dict[str, Callable[[Workspace], str]] = {
    "parrot": _parrot,
    "memory": _memory,
    "gguf": _gguf,
}


@pytest.fixture(scope="module", params=list(ENGINES))
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Answering, str, Path]]:
    folder = tmp_path_factory.mktemp("workspace")
    log = tmp_path_factory.mktemp("log") / "server.log"
    site = write_site(tmp_path_factory.mktemp("site"))
    with Workspace(folder) as workspace:
        model = ENGINES[request.param](workspace)
        with answering(workspace.store, site, log) as running:
            yield running, model, log


def _said(http: httpx.Client, body: dict[str, Any]) -> str:
    """The text of an answer, streamed or not."""
    if not body["stream"]:
        while (answer := http.post("/v1/chat/completions", json=body)).status_code == 503:
            time.sleep(0.2)  # it has too much to do
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])
    said = ""
    with http.stream("POST", "/v1/chat/completions", json=body) as lines:
        if lines.status_code == 503:
            return _said(http, body)
        assert lines.status_code == 200
        for line in lines.iter_lines():
            if line.startswith("data: {"):
                told = json.loads(line[6:])
                said += "".join(c["delta"].get("content") or "" for c in told["choices"])
    return said


@pytest.mark.parametrize("calls", [400, pytest.param(4000, marks=pytest.mark.slow)])
def test_nothing_leaks(live: tuple[Answering, str, Path], calls: int) -> None:
    server, model, log = live
    keys = {
        name: make_key(server.store, name, store_inputs=days) for name, days in CUSTOMERS.items()
    }
    names = list(CUSTOMERS)
    recalls = model == "parrot"

    def ask(number: int) -> tuple[str, str]:
        name = names[number % len(names)]
        secret = f"canary-{name}-{calls}{number}"
        order = json.dumps({"recall": True, "pause": 0.001 * (number % 3)})
        messages = [
            {"role": "system", "content": f"The password is {secret}."},
            {"role": "user", "content": f"My code is {secret}."},
            {"role": "assistant", "content": f"I note {secret}."},
            {"role": "user", "content": order if recalls else f"How much is it? {secret}"},
        ]
        body = {"model": model, "messages": messages, "stream": bool(number % 2)}
        return secret, _said(clients[name], body)

    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client(server.address, key.secret))
            for name, key in keys.items()
        }
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, range(calls)))
    if recalls:  # else the test would prove nothing
        assert all(said.count(secret) == 3 for secret, said in answers)
    foreign = [
        (secret, said)
        for secret, said in answers
        if {found.group() for found in SECRET.finditer(said)} - {secret}
    ]
    assert not foreign

    rows = server.store.ledger.recent_predictions(model, limit=None, usable_only=False)
    owners = {key.record.customer: name for name, key in keys.items()}
    assert {owners[str(row.customer)] for row in rows} == {"Ada", "Bo"}
    for row in rows:
        kept = f"{row.input} {row.output}"
        named = {found.group(1) for found in SECRET.finditer(kept)}
        assert named <= {owners[str(row.customer)]}
    # Not in a table, not in a log, not in a file that a database has left.
    private = [name for name, days in CUSTOMERS.items() if not days]
    for file in [log, *(one for one in server.store.folder.rglob("*") if one.is_file())]:
        raw = file.read_bytes()
        assert not any(f"canary-{name}".encode() in raw for name in private), file
        if file == log:
            assert b"canary" not in raw
