"""The console over a large workspace: how long each page takes the server, and its memory.

    python -m benchmarks.console --rows 1_000_000 --runs 10_000 --customers 1_000 --calls 200_000
    python -m benchmarks.console --api --pairs 8 --seconds 10

Makes a project of so many rows (short reviews that are all different), one trained version of a
thousand of them, so many runs in the catalog, customers with a key each, and calls in the ledger.
Then every page that an owner can open is asked for a few times, in process and one after the other:
the median is what the server computes for it.

With ``--api`` the calls a second that the API answers are measured, with nobody in the console and
with somebody who opens a page every half a second and watches a run live: in pairs, each in random
order, against one server and one console process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import psutil
from benchmarks import ledger_scale
from benchmarks.serving.overhead import interval

from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from feilun.web.access import Access
from feilun.web.app import create_console, pages
from feilun.web.guard import COOKIE

LIMIT = 0.3
"""Seconds that a page may take."""
_BENCH = "bench"
_SLOW = ("/data/audit", "/data/export", "/system/health")
"""What looks at all rows by its nature, or is a file of them; asked once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="kept, and used again")
    parser.add_argument("--api", action="store_true", help="the API's speed beside the console")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half of a pair")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    if options.api:
        _beside(options)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        with Workspace(folder) as workspace:
            project = _made(workspace, options)
            before = psutil.Process().memory_info().rss
            taken = asyncio.run(_asked(workspace, _names(project), options.rounds))
            grown = psutil.Process().memory_info().rss - before
    print(
        f"{options.rows:,} rows, {options.runs:,} runs, {options.customers:,} customers,"
        f" {options.calls:,} calls.\n\n| page | ms | KB | status |\n|---|--:|--:|--:|"
    )
    for path, (seconds, size, status) in sorted(taken.items(), key=lambda one: -one[1][0]):
        print(f"| {path} | {1000 * seconds:.0f} | {size / 1024:.0f} | {status} |")
    slow = [path for path, (seconds, *_) in taken.items() if seconds > LIMIT]
    print(f"\n{len(taken) - len(slow)} of {len(taken)} pages within {1000 * LIMIT:.0f} ms;")
    print(f"memory grew by {grown / 2**20:.0f} MiB while they were answered.")


def _made(workspace: Workspace, options: argparse.Namespace) -> Project:
    if any(one.name == "shop" for one in workspace.projects()):
        return workspace.project("shop")
    project = workspace.init("shop", task="text-classification")
    _say("rows")
    file = Path(workspace.folder) / "rows.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for row in _reviews(options.rows):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    project.add(file)
    file.unlink()
    _say("a version")
    project.train(method="linear", overrides={"training.linear.max_rows": 1000})
    _say("runs")
    catalog = workspace.store.catalog
    for number in range(options.runs):
        catalog.add_run(f"shop-{_BENCH}-{number:06d}", "shop", "run", state="finished")
    _say("customers and calls")
    ledger_scale.MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    ledger_scale.CUSTOMERS = options.customers
    names = ledger_scale._customers(workspace.store)
    ledger_scale._Writing(workspace.store, names, options.calls).run()
    for name in names:
        workspace.create_key(workspace.store.catalog.customer(name).name)
    return project


def _reviews(count: int) -> Iterator[Mapping[str, str]]:
    lots = np.random.default_rng(7)
    things = ("tea", "lamp", "chair", "phone", "soup", "shirt", "茶叶", "台灯", "手机")
    said = {
        "good": ("arrived early and works", "is just what I wanted", "质量很好，还会再买"),
        "bad": ("broke after a week", "never arrived", "和图片不一样，很失望"),
    }
    for number in range(count):
        label = ("good", "bad")[int(lots.integers(2))]
        words = " ".join(f"{lots.integers(36**4):x}" for _ in range(6))
        text = f"{things[number % 9]} {said[label][int(lots.integers(3))]} {words}"
        yield {"text": text, "label": label}


def _names(project: Project) -> dict[str, str]:
    """What stands for each part of a path."""
    catalog = project.workspace.store.catalog
    return {
        "project": "shop",
        "version": "shop@1",
        "data": "shop:1",
        "number": "1",
        "run": next(one.id for one in catalog.runs("shop") if _BENCH not in one.id),
        "customer": catalog.customers()[0].id,
        "key": catalog.keys(None)[0].id,
        "token": "0",
        "name": "nobody",
        "kind": "plan",
        "call": next(project.workspace.store.ledger.events()).call_id,
    }


async def _asked(
    workspace: Workspace, names: Mapping[str, str], rounds: int
) -> dict[str, tuple[float, int, int]]:
    """Seconds, bytes and status of every page that an owner may open."""
    access = Access(workspace.store.folder)
    secret, _ = access._begin("owner", "owner", None)
    transport = httpx.ASGITransport(create_console(workspace, access))
    found = {}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", cookies={COOKIE: secret}, timeout=600
    ) as http:
        for page in pages():
            if page.method != "GET" or page.live or "owner" not in page.roles:
                continue
            path = re.sub(r"{(\w+)}", lambda part: names[part[1]], page.path)
            times = []
            for _ in range(1 if path.endswith(_SLOW) else rounds):
                start = time.perf_counter()
                answer = await http.get(path)
                times.append(time.perf_counter() - start)
            found[page.path] = median(times), len(answer.content), answer.status_code
            _say(f"{page.path} {found[page.path]}")
    return found


def _beside(options: argparse.Namespace) -> None:
    """The API's calls a second without and with somebody in the console, in pairs."""
    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        project = workspace.init("shop", task="text-classification")
        rows = list(_reviews(2000))
        project.add(rows)
        _say("a version")
        project.run(method="linear", overrides={"training.linear.max_rows": 1000})
        texts = Path(folder) / "texts.jsonl"
        texts.write_text("\n".join(json.dumps([row["text"]]) for row in rows), "utf-8")
        key = workspace.create_key("Load").secret
        secret, _ = Access(workspace.store.folder)._begin("owner", "owner", None)
        with temporary_server(workspace.folder) as api, _console(workspace.folder) as console:
            _load(api, key, texts, options)  # warms both up
            with _somebody(console, secret):
                time.sleep(3)
            found: list[tuple[float, float]] = []
            lots = np.random.default_rng(1)
            for number in range(options.pairs):
                halves = {}
                for opened in map(bool, lots.permutation(2)):
                    with _somebody(console, secret) if opened else nullcontext():
                        halves[opened] = _load(api, key, texts, options)
                found.append((halves[False], halves[True]))
                _say(f"pair {number + 1}: {halves[False]:.0f} and {halves[True]:.0f} calls/s")
    low, high = interval([after / before for before, after in found])
    ratio = median(after / before for before, after in found)
    alone, beside = (median(each) for each in zip(*found, strict=True))
    print(f"{alone:.0f} calls a second alone, {beside:.0f} with somebody in the console:")
    print(f"ratio {ratio:.3f} ({low:.3f} to {high:.3f}),")
    print(f"{options.pairs} pairs of {options.seconds:.0f} s, {options.clients} clients.")


def _load(api: str, key: str, texts: Path, options: argparse.Namespace) -> float:
    """Calls a second that were answered."""
    words = [sys.executable, str(Path(__file__).with_name("load.py")), api]
    words += [str(options.clients), str(options.seconds)]
    environment = {**os.environ, "KEY": key, "TEXTS": str(texts)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found["per_second"]


@contextmanager
def _console(folder: Path) -> Iterator[str]:
    """A console in a process of its own; its address."""
    words = [sys.executable, "-m", "feilun", "console", "--port", "0", "--no-api", "--no-browser"]
    words += ["--workspace", str(folder), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


@contextmanager
def _somebody(console: str, secret: str) -> Iterator[None]:
    """Somebody who opens a page every half a second, and has the list of runs open."""
    over = threading.Event()
    names = ("/", "/p/shop", "/p/shop/data", "/p/shop/runs", "/p/shop/versions", "/money", "/calls")

    def click() -> None:
        with httpx.Client(base_url=console, cookies={COOKIE: secret}, timeout=60) as http:
            for number in count():
                http.get(names[number % len(names)]).raise_for_status()
                if over.wait(0.5):
                    return

    def watch() -> None:
        with httpx.Client(base_url=console, cookies={COOKIE: secret}, timeout=60) as http:
            while not over.is_set():
                with http.stream("GET", "/p/shop/runs/live") as events:
                    for _ in events.iter_lines():
                        if over.is_set():
                            return
                over.wait(0.7)

    threads = [threading.Thread(target=one, daemon=True) for one in (click, watch)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in threads:
            one.join(60)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
