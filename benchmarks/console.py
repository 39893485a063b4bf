"""The console over a large workspace: how long each page takes the server, and its memory.

    python -m benchmarks.console --rows 1_000_000 --runs 10_000 --customers 1_000 --calls 200_000

Makes a project of so many rows (short reviews that are all different), one trained version of a
thousand of them, so many runs in the catalog, customers with a key each, and calls in the ledger.
Then every page that an owner can open is asked for a few times, in process and one after the other:
the median is what the server computes for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import psutil
from benchmarks import ledger_scale

from feilun.project import Project, Workspace
from feilun.web.access import Access
from feilun.web.app import create_console, pages
from feilun.web.guard import COOKIE

LIMIT = 0.3
"""Seconds that a page may take."""
_BENCH = "bench"
_SLOW = ("/data/audit", "/system/health")
"""Pages that look at all rows by their nature; they are told apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="kept, and used again")
    options = parser.parse_args()
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
        "number": "1",
        "run": next(one.id for one in catalog.runs("shop") if _BENCH not in one.id),
        "customer": catalog.customers()[0].id,
        "key": catalog.keys(None)[0].id,
        "token": "0",
        "name": "nobody",
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
