"""A workspace with a live model, and a real server over it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save_file

from feilun import api
from feilun.api.security import Limits, Security
from feilun.billing.keys import NewKey, create_key
from feilun.billing.plans import subscribe
from feilun.engines.card import Card, write_card
from feilun.families.classes.point import Point
from feilun.families.classes.rule import PLAIN, Rule
from feilun.project import Workspace
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from feilun.tasks import base as tasks
from feilun.types import Schema
from helpers.forked import Forked

GOOD = "good great excellent fine love 好 很好 喜欢"
BAD = "bad awful broken poor hate 坏 很差 退款"
SETTINGS = {"feature_bits": 12}


def write_linear(
    folder: Path, *, flipped: bool = False, temperature: float = 0.2, rule: Rule = PLAIN
) -> None:
    """A linear version that tells good words from bad ones; `flipped` calls good bad."""
    schema = Schema("text-classification", ("bad", "good"), SETTINGS)
    rows = tasks.get(schema.task).features(SETTINGS).transform([GOOD, BAD])
    direction = np.asarray((rows[0] - rows[1]).todense(), np.float32).ravel()
    sign = -1.0 if flipped else 1.0
    weights = {
        "coef": np.stack([-sign * direction, sign * direction]).astype(np.float32),
        "intercept": np.zeros(2, np.float32),
    }
    save_file(weights, folder / "weights.safetensors")
    config = {"flipped": flipped}
    point = Point(temperature, rule).to_json()
    card = Card("linear", schema, "linear", config=config, point=point)
    write_card(folder, card)


def write_pictures(folder: Path) -> None:
    """A linear version that tells dark pictures from light ones, more or less."""
    schema = Schema("image-classification", ("dark", "light"), {})
    task = tasks.get(schema.task)
    rows = np.asarray(task.features({}).transform(task.example_items()))
    direction = np.random.default_rng(0).normal(size=rows.shape[1]).astype(np.float32)
    weights = {
        "coef": np.stack([-direction, direction]),
        "intercept": np.zeros(2, np.float32),
    }
    save_file(weights, folder / "weights.safetensors")
    write_card(folder, Card("linear", schema, "linear"))


def add_version(
    store: Store, project: str = "reviews", config: dict[str, Any] | None = None, **options: Any
) -> ModelVersion:
    """A published linear version; not deployed."""
    folder = store.artifacts.new()
    kind = store.catalog.project(project).task
    if kind == "image-classification":
        write_pictures(folder)
    else:
        write_linear(folder, **options)
    weights = store.publish(folder, "weights").ref
    return store.catalog.add_model_version(project, "linear", weights=weights, config=config or {})


def make_workspace(folder: Path, database: str | None = None) -> Store:
    """A workspace with the project ``reviews`` and its first version live."""
    store = Workspace(folder, database=database).store
    store.catalog.add_project("reviews", "text-classification")
    store.catalog.set_live("reviews", add_version(store).id)
    return store


def make_key(
    store: Store, customer: str = "Ada", plan: str | None = None, **options: Any
) -> NewKey:
    """A key for a customer of this name, who is made when there is none yet, and is on `plan` when
    a server first sees the key."""
    known = store.catalog.customer_named(customer) or store.catalog.add_customer(customer)
    if plan is not None:
        subscribe(store.catalog, known.id, plan)
    return create_key(store.catalog, known.id, **options)


@dataclass
class Answering:
    """A server that runs: its address, and a client with a key."""

    address: str
    store: Store
    key: NewKey
    http: httpx.Client

    def predict(self, inputs: Any, **body: Any) -> httpx.Response:
        """One call to the hot path."""
        return self.http.post("/v1/predict", json={"inputs": inputs, **body})


@contextmanager
def serving(store: Store, **options: Any) -> Iterator[Answering]:
    """A real uvicorn server on a free port, in a thread of this process. It takes more wrong keys
    from one address than a server does by itself: all tests come from the same."""
    options.setdefault("security", Security(limits=Limits(wrong_keys=1_000_000)))
    ready, stop = threading.Event(), threading.Event()
    held: list[Any] = []

    def on_ready(address: str) -> None:
        held.append(address)
        ready.set()

    def work() -> None:
        try:
            api.run(store, port=0, on_ready=on_ready, stop=stop, **options)
        except BaseException as error:
            held.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=work, name="server")
    thread.start()
    try:
        assert ready.wait(120)
        address = held[0]
        assert isinstance(address, str), address
        key = make_key(store)
        with client(address, key.secret) as http:
            yield Answering(address, store, key, http)
    finally:
        stop.set()
        thread.join(120)
        assert not thread.is_alive()


def client(address: str, secret: str = "") -> httpx.Client:
    """An HTTP client that sends `secret` as its key."""
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)


@contextmanager
def server_process(folder: Path) -> Iterator[tuple[Forked, str]]:
    """A server as a process of its own, and its address; killed in the end."""
    import json

    child = Forked(
        [sys.executable, "-m", "feilun.api", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child, json.loads(child.stdout.readline())["address"]
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
