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
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feilun.billing.holds import release_expired
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.project import Workspace
from helpers.gguf import add_written
from helpers.serving import add_version, make_key
from helpers.toys import add_parrot, environment, write_site
from torture.client import Order
from torture.judge import PROJECT, Verdict, judge, seen
from torture.servers import Postgres, Replica, Spawned
from torture.streams import LONGEST, MODELS, PRICES, heard, judge_streams

__all__ = ["torture"]

PRICE = 33_700
"""Micro-units for 1,000 inputs: no call of few inputs costs a whole number of them by itself."""

CLIENTS, CALLERS, LISTENERS = 4, 3, 2
CUSTOMERS = ("Ada", "Bo")
FINISH = 120.0
"""Seconds in which the clients must be answered once nothing is killed any more."""
DEADLINE = 15.0
"""Seconds of a stream; its hold ends by itself a minute later."""
ENDING = DEADLINE + 60 + 60
"""Seconds in which the holds of servers that were killed have ended by themselves."""

Say = Callable[[str], None]


class Torture:
    """The processes of one run. `kill` picks one and starts it again."""

    def __init__(self, folder: Path, replicas: int, postgres: Postgres | None, seed: int) -> None:
        self.folder = folder
        self.database = None if postgres is None else postgres.create(f"torture_{seed}")
        self.postgres = postgres
        self.draw = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        toys = environment(write_site(folder / "site"))["PYTHONPATH"]
        self.replicas = [
            Replica(f"server-{place}", folder, self.database, toys) for place in range(replicas)
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
        self.heard = [
            folder / f"stream-{number}-{place}.jsonl"
            for number in range(CLIENTS)
            for place in range(order.listeners)
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
        kinds = ["server"] * 6 + ["engine"] * 3 + ["servers", "client"]
        if self.postgres is not None:
            kinds += ["postgres"] * 3 + ["everything"]
        kind = self.draw.choice(kinds)
        self.kills[kind] += 1
        if kind == "client":
            client = self.draw.choice(self.clients)
            client.kill()
            client.start()
        elif kind == "engine":
            # Its server starts another when it is asked next.
            replica = self.draw.choice(self.replicas)
            replica.kill_engine(late=self.draw.uniform(0, 0.05))
        else:
            self._kill_servers(kind)

    def _kill_servers(self, kind: str) -> None:
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

    def let_holds_end(self) -> None:
        """Waits until the servers have released what killed ones held."""
        until = time.monotonic() + ENDING
        with Workspace(self.folder, database=self.database) as workspace:
            while workspace.store.ledger.holds() and time.monotonic() < until:
                time.sleep(0.5)

    def close(self) -> None:
        """Ends whatever still runs."""
        for spawned in [*self.clients, *self.replicas]:
            spawned.kill()


def torture(
    folder: Path,
    kills: int,
    *,
    replicas: int = 1,
    postgres: Postgres | None = None,
    seed: int = 1,
    patient: bool = True,
) -> Verdict:
    """Runs one torture in `folder` and judges it; with `postgres` on a database there. Unless it is
    `patient`, holds of killed servers are released as their servers would do later."""
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
        if patient:
            run.let_holds_end()
    found = seen(run.journals)
    with Workspace(folder, database=run.database) as workspace:
        ledger = workspace.store.ledger
        if not patient:
            release_expired(ledger, datetime.now(UTC) + timedelta(seconds=ENDING))
        counts, faults = judge_streams(workspace.store, heard(run.heard))
        verdict = judge(workspace.store, found, PRICE, doubt=postgres is not None)
    verdict.counts |= counts
    verdict.faults |= faults
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
        serving: dict[str, object] = {"project": {"serving": {"write_deadline": DEADLINE}}}
        add_parrot(store, serving)
        add_written(store, longest=LONGEST, config=serving)
        rates = [
            {"project": model, "unit": unit, "tiers": [{"per_1000": f"{price / 1e6:.4f}"}]}
            for model in MODELS
            for unit, price in PRICES.items()
        ]
        plan = {"currency": "USD", "rates": rates}
        set_plan(store.catalog, "tokens", parse_plan(plan, "here"))
        keys = [make_key(store, name) for name in CUSTOMERS]
        for key in keys:
            subscribe(store.catalog, key.record.customer, "tokens")
        secrets = [key.secret for key in keys]
    return Order(str(folder), addresses, secrets, seed, CALLERS, LISTENERS)
