"""The tasks in ``tests/toys`` as an installed distribution, and a parrot that is live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from feilun.engines.card import Card, write_card
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from feilun.types import Schema
from helpers.forked import Forked
from helpers.serving import Answering, client, make_key

__all__ = ["PARROT", "add_parrot", "answering", "environment", "spawned", "write_site"]

ROOT = Path(__file__).parents[2]
PARROT = "parrot"
"""The project of the parrot."""
_POINTS = """
[feilun.tasks]
toy-ratings = toy_tasks.ratings
toy-spots = toy_tasks.spots
toy-glossary = toy_tasks.glossary
toy-parrot = toy_tasks.parrot
toy-codes = toy_tasks.codes
[feilun.methods]
spots = toy_tasks.spots
glossary = toy_tasks.glossary
parrot = toy_tasks.parrot
codes = toy_tasks.codes
[feilun.engines]
spots = toy_tasks.spots
glossary = toy_tasks.glossary
parrot = toy_tasks.parrot
codes = toy_tasks.codes
"""


def write_site(folder: Path) -> Path:
    """Makes `folder` hold what an installed distribution would leave on the path."""
    about = folder / "toy_tasks-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tasks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(_POINTS)
    return folder


def environment(site: Path) -> dict[str, str]:
    """The environment of a process that finds the toys by their entry points in `site`."""
    folders = [site, ROOT / "tests" / "toys", ROOT / "tests", ROOT / "src"]
    path = os.pathsep.join(map(str, folders))
    return {**os.environ, "PYTHONPATH": path, "FEILUN_LANG": "en"}


def add_parrot(store: Store, config: dict[str, object] | None = None) -> ModelVersion:
    """The parrot as a project whose first version is live."""
    folder = store.artifacts.new()
    write_card(folder, Card("parrot", Schema("toy-parrot", (), {}), "parrot"))
    weights = store.publish(folder, "weights").ref
    store.catalog.add_project(PARROT, "toy-parrot")
    version = store.catalog.add_model_version(
        PARROT, "parrot", weights=weights, config=config or {}
    )
    store.catalog.set_live(PARROT, version.id)
    return version


@contextmanager
def spawned(
    store: Store, site: Path, database: str | None = None, log: Path | None = None
) -> Iterator[tuple[Forked, str]]:
    """A server of `store`'s workspace as a process that finds the toys, and its address; killed in
    the end. What it says goes to `log`."""
    extra = {} if database is None else {"FEILUN_DATABASE": database}
    words = [sys.executable, "-m", "feilun.api", str(store.folder.parent)]
    with ExitStack() as stack:
        told = None if log is None else stack.enter_context(log.open("wb"))
        child = stack.enter_context(
            Forked(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env=environment(site) | extra,
            )
        )
        try:
            assert child.stdout is not None
            yield child, json.loads(child.stdout.readline())["address"]
        finally:
            child.kill()
            child.wait()


@contextmanager
def answering(store: Store, site: Path, log: Path | None = None) -> Iterator[Answering]:
    """The same with a key and a client."""
    with spawned(store, site, log=log) as (_, address):
        key = make_key(store)
        with client(address, key.secret) as http:
            yield Answering(address, store, key, http)
