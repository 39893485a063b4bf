"""One torture: a workspace, its servers and clients, so many kills, and the verdict."""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from feilun.project import Workspace
from helpers.serving import add_version, make_key
from torture.client import Order
from torture.judge import PROJECT, Verdict, judge, seen
from torture.servers import Postgres, Replica, Spawned

__all__ = ["torture"]

PRICE = 33_700
"""Micro-units for 1,000 inputs: no call of few inputs costs a whole number of them by itself."""

CLIENTS, CALLERS = 4, 3
CUSTOMERS = ("Ada", "Bo")
FINISH = 120.0
"""Seconds in which the clients must be answered once nothing is killed any more."""

Say = Callable[[str], None]


class Torture:
    """The processes of one run. `kill` picks one and starts it again."""

    def __init__(self, folder: Path, replicas: int, postgres: Postgres | None, seed: int) -> None:
        self.folder = folder
        self.database = None if postgres is None else postgres.create(f"torture_{seed}")
        self.postgres = postgres
        self.draw = random.Random(seed)
        self.replicas = [
            Replica(f"server-{place}", folder, self.database) for place in range(replicas)
        ]
        order = _prepare(folder, self.database, [one.address for one in self.replicas], seed)
        file = folder / "order.json"
        file.write_text(json.dumps(dataclasses.asdict(order)), "utf-8")
        here = str(Path(__file__).parents[1])
        self.clients = [
            Spawned(
                f"client-{number}",
                [sys.executable, "-m", "torture.client", str(file), str(number)],
                folder,
                {"PYTHONPATH": here},
            )
            for number in range(CLIENTS)
        ]
        self.journals = [
            order.journal(number, caller)
            for number in range(CLIENTS)
            for caller in range(order.callers)
        ]
        self.kills: Counter[str] = Counter()

    def kill(self) -> None:
        """SIGKILL to somebody, at a random moment: while answering, or while starting."""
        if self.draw.random() < 0.8:
            for replica in self.replicas:
                if not replica.wait():
                    raise SystemExit(f"{replica.name} does not start: see {replica.log}")
            time.sleep(self.draw.uniform(0.02, 1.5))
        else:
            time.sleep(self.draw.uniform(0.02, 2.5))
        kinds = ["server"] * 6 + ["servers", "client"]
        if self.postgres is not None:
            kinds += ["postgres"] * 3 + ["everything"]
        kind = self.draw.choice(kinds)
        self.kills[kind] += 1
        if kind == "client":
            client = self.draw.choice(self.clients)
            client.kill()
            client.start()
            return
        doomed = [self.draw.choice(self.replicas)] if kind == "server" else list(self.replicas)
        if self.postgres is not None and kind in ("postgres", "everything"):
            self.postgres.kill()
        if kind != "postgres":
            for replica in doomed:
                replica.kill()
        if self.postgres is not None and kind in ("postgres", "everything"):
            time.sleep(self.draw.uniform(0, 0.5))
            self.postgres.start()
        if kind != "postgres":
            for replica in doomed:
                replica.start()

    def finish(self) -> list[str]:
        """Lets the clients be answered and end. The names of those that did not."""
        for replica in self.replicas:
            if not replica.wait():
                raise SystemExit(f"{replica.name} does not start: see {replica.log}")
        (self.folder / "stop").touch()
        until = time.monotonic() + FINISH
        return [
            client.name
            for client in self.clients
            if not client.end(max(1.0, until - time.monotonic()))
        ]

    def close(self) -> None:
        """Ends whatever still runs."""
        for spawned in [*self.clients, *self.replicas]:
            spawned.kill()


def torture(
    folder: Path, kills: int, *, replicas: int = 1, postgres: Postgres | None = None, seed: int = 1
) -> Verdict:
    """Runs one torture in `folder` and judges it; with `postgres` on a database there."""
    begun = time.monotonic()
    with ExitStack() as stack:
        run = Torture(folder, replicas, postgres, seed)
        stack.callback(run.close)
        for spawned in [*run.replicas, *run.clients]:
            spawned.start()
        for number in range(kills):
            run.kill()
            if (number + 1) % 20 == 0:
                minutes = (time.monotonic() - begun) / 60
                print(f"{number + 1} kills, {minutes:.1f} minutes", file=sys.stderr, flush=True)
        stuck = run.finish()
    found = seen(run.journals)
    with Workspace(folder, database=run.database) as workspace:
        verdict = judge(workspace.store, found, PRICE, doubt=postgres is not None)
    killed = {f"kills of {kind}": count for kind, count in sorted(run.kills.items())}
    verdict.counts = {"kills": kills} | killed | verdict.counts
    if stuck:
        verdict.faults["clients that never ended"] = stuck
    return verdict


def _prepare(folder: Path, database: str | None, addresses: list[str], seed: int) -> Order:
    """A workspace with a small linear model live at an odd price, and customers with keys."""
    folder.mkdir(parents=True, exist_ok=True)
    with Workspace(folder, database=database) as workspace:
        workspace.init(PROJECT)
        settings = folder / PROJECT / "feilun.toml"
        text = settings.read_text("utf-8")
        free = "price_per_1000 = 0.0"
        assert free in text
        settings.write_text(text.replace(free, f"price_per_1000 = {PRICE / 1e6}"), "utf-8")
        store = workspace.store
        store.catalog.set_live(PROJECT, add_version(store).id)
        secrets = [make_key(store, name).secret for name in CUSTOMERS]
    return Order(str(folder), addresses, secrets, seed, CALLERS)
