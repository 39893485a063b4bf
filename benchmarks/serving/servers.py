"""The servers under load: feilun's as it is, and three that leave out what is to be weighed.

All four are the same process with the same routes; see `benchmarks.serving.null`.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
from benchmarks.serving.driving import Target
from benchmarks.serving.models import PHOTOS, SCHEMA, Models

from feilun.billing.keys import create_key
from feilun.billing.prices import set_price
from feilun.project import Workspace

__all__ = ["Keys", "Kind", "free_port", "prepare", "serving"]

Kind = Literal["feilun", "null writer", "null", "bare"]
"""As it is; with a ledger that writes nothing; without meter, keys and limits; HTTP and the engine
alone."""


Keys = dict[str, str]
"""A key for each project."""


def prepare(folder: Path, models: Models) -> Keys:
    """A workspace with both models live at a price, and a customer whose keys have a rate, a quota
    and a budget, all far away."""
    folder.mkdir()
    with Workspace(folder) as workspace:
        store = workspace.store
        limits = {"rate": 1e6, "burst": 1_000_000, "monthly_inputs": 10**12}
        customer = store.catalog.add_customer("Load").id
        store.catalog.set_customer(customer, limits=limits | {"monthly_budget": "1000000.00"})
        keys = {}
        for project, schema, variant in (
            ("reviews", SCHEMA, models.int8),
            ("pictures", PHOTOS, models.pictures),
        ):
            store.catalog.add_project(project, schema.task)
            scratch = store.artifacts.new()
            shutil.copytree(variant, scratch, dirs_exist_ok=True)
            ref = store.publish(scratch, "variant").ref
            version = store.catalog.add_model_version(
                project,
                "full",
                weights=ref,
                variant="served",
                variants={"served": {"artifact": ref}},
            )
            store.catalog.set_live(project, version.id)
            set_price(store.catalog, project, 1.0, "USD")
            keys[project] = create_key(store.catalog, customer, project=project).secret
    return keys


@contextmanager
def serving(folder: Path, kind: Kind = "feilun") -> Iterator[Target]:
    """A server of the workspace, as a process of its own."""
    words = [sys.executable, "-m", "feilun.api", str(folder)]
    if kind != "feilun":
        words = [sys.executable, "-m", "benchmarks.serving.null", kind, str(folder)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line:
            raise SystemExit(f"the server ({kind}) did not start")
        yield Target(psutil.Process(child.pid), json.loads(line)["address"])
    finally:
        child.terminate()
        child.wait(60)
        child.stdin.close()
        child.stdout.close()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
