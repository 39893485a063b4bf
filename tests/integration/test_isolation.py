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
from typing import Any, NamedTuple

import httpx
import pytest

from feilun.engines.card import Card, write_card
from feilun.project import Workspace
from feilun.project.upstream import Upstream
from feilun.types import Schema
from helpers.gguf import WRITTEN, add_written
from helpers.llama import write_causal
from helpers.serving import Answering, client, make_key
from helpers.toys import add_parrot, answering, write_site

CUSTOMERS = {"Ada": 30, "Bo": 30, "Cy": 0, "Di": 0}
"""How many days each lets its inputs be kept."""
SECRET = re.compile("canary-([A-Z][a-z]+)-[0-9]+")


def _parrot(workspace: Workspace, site: Path, stack: ExitStack) -> str:
    add_parrot(workspace.store)
    return "parrot"


def _memory(workspace: Workspace, site: Path, stack: ExitStack) -> str:
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


def _gguf(workspace: Workspace, site: Path, stack: ExitStack) -> str:
    add_written(workspace.store, longest=8)
    return WRITTEN


def _causal(workspace: Workspace, site: Path, stack: ExitStack) -> str:
    store = workspace.store
    store.catalog.add_project("taught", "chat")
    folder = store.artifacts.new()
    write_causal(folder, max_position_embeddings=1024)
    write_card(folder, Card("causal", Schema("chat", (), {}), "full", extra={"longest": 3}))
    weights = store.publish(folder, "weights").ref
    version = store.catalog.add_model_version("taught", "full", weights=weights)
    store.catalog.set_live("taught", version.id)
    return "taught"


def _documents(workspace: Workspace, site: Path, stack: ExitStack) -> str:
    project = workspace.init("help", task="question-answering")
    file = workspace.folder / "returns.md"
    file.write_text("# Returns\n\nGoods can be sent back within 14 days. The code is 7.\n", "utf-8")
    project.add(file)
    project.run(method="passages")
    return "help"


def _upstream(workspace: Workspace, site: Path, stack: ExitStack) -> str:
    """A parrot of a second feilun's, which all customers here reach by one key."""
    there = stack.enter_context(Workspace(workspace.folder.parent / "provider"))
    add_parrot(there.store)
    provider = stack.enter_context(answering(there.store, site))
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("TEST_PROVIDER_KEY", provider.key.secret)
    other = Upstream(f"{provider.address}/v1", "parrot", "TEST_PROVIDER_KEY")
    workspace.init("support", task="chat", upstream=other)
    return "support"


ENGINES: dict[str, Callable[[Workspace, Path, ExitStack], str]] = {
    "parrot": _parrot,
    "memory": _memory,
    "gguf": _gguf,
    "causal": _causal,
    "documents": _documents,
    "upstream": _upstream,
}
RECALL = ("parrot", "upstream")
"""Engines that say the whole conversation again when they are told to."""
SLOWER = {"taught": 5}
"""Models that answer few at a time are asked so many times less."""


class Live(NamedTuple):
    """A server, the model that is asked, whether it recalls, and the server's log."""

    server: Answering
    model: str
    recalls: bool
    log: Path


@pytest.fixture(scope="module", params=list(ENGINES))
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("isolation") / "workspace"
    log = tmp_path_factory.mktemp("log") / "server.log"
    site = write_site(tmp_path_factory.mktemp("site"))
    with ExitStack() as stack:
        workspace = stack.enter_context(Workspace(folder))
        model = ENGINES[request.param](workspace, site, stack)
        running = stack.enter_context(answering(workspace.store, site, log))
        yield Live(running, model, request.param in RECALL, log)


def _asked(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """A whole answer, when there is room for the call."""
    while (answer := http.post(path, json=body)).status_code in (429, 503):
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _said(http: httpx.Client, body: dict[str, Any]) -> str:
    """The text of an answer, streamed or not."""
    if body["model"] == "help":  # answers questions, and carries on no conversation
        question = " ".join(one["content"] for one in body["messages"])
        return str(_asked(http, "/v1/predict", {"model": "help", "inputs": question}))
    if not body["stream"]:
        answer = _asked(http, "/v1/chat/completions", body)
        return str(answer["choices"][0]["message"]["content"])
    while (said := _heard(http, body)) is None:
        time.sleep(0.2)
    return said


def _heard(http: httpx.Client, body: dict[str, Any]) -> str | None:
    """The text of a stream; None where there was no room for it."""
    with http.stream("POST", "/v1/chat/completions", json=body) as lines:
        if lines.status_code in (429, 503):
            return None
        assert lines.status_code == 200
        told = [json.loads(line[6:]) for line in lines.iter_lines() if line.startswith("data: {")]
    pieces = [choice["delta"].get("content") for one in told for choice in one["choices"]]
    return "".join(piece or "" for piece in pieces)


@pytest.mark.parametrize("calls", [80, pytest.param(4000, marks=pytest.mark.slow)])
def test_nothing_leaks(live: Live, calls: int) -> None:
    server, model, recalls, log = live
    calls //= SLOWER.get(model, 1)
    keys = {
        name: make_key(server.store, name, store_inputs=days) for name, days in CUSTOMERS.items()
    }
    names = list(CUSTOMERS)

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
        for one in clients.values():  # of a slow engine the last calls wait for all others
            one.timeout = httpx.Timeout(600)
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
    kept_inputs = [row for row in rows if row.input is not None]
    assert {owners[str(row.customer)] for row in kept_inputs} == {"Ada", "Bo"}
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
