"""The engine inside the server's process against one in a process of its own.

    python -m benchmarks.engine_process [--variant int8] [--calls 1,16,64]
                                        [--seconds 5] [--rounds 3]

Closed loops of one-text calls with N outstanding. *inside*: `engine.submit` in this process.
*outside*: the same engine in a child with an event loop of its own; calls travel as MessagePack
over a pair of sockets. Told are calls a second, the median and 99th percentile of their times, and
the processor time of all processes for a call. Then what the way alone costs: an echo of a text and
of a picture's size, over the sockets and with the payload in shared memory. The ways take turns in
every round; medians are told.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
from benchmarks.engines import LIST, build, texts

from feilun.engines.base import Engine, open_engine
from feilun.types import EngineRequest

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_LENGTH = struct.Struct("<I")
PAYLOADS = {"text (200 B)": 200, "picture (150 KB)": 150_000}

Ask = Callable[[str], Awaitable[Any]]


async def _read(reader: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await reader.readexactly(4))
    return _decode(await reader.readexactly(length))


def _write(writer: asyncio.StreamWriter, message: Any) -> None:
    raw = _encode(message)
    writer.write(_LENGTH.pack(len(raw)) + raw)


async def child(folder: str, descriptor: int) -> None:
    """Answers calls ``[number, text]``, echoes ``[number, bytes]``, and reads ``[number, [name,
    size]]`` from shared memory, until the other end closes."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    engine = open_engine(Path(folder))
    engine.warm_up()
    shared: dict[str, SharedMemory] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def answer(number: int, text: str) -> None:
        async for chunk in engine.submit(EngineRequest([text])):
            _write(writer, [number, chunk.outputs])

    _write(writer, [-1, "ready"])
    try:
        while True:
            number, what = await _read(reader)
            if isinstance(what, str):
                task = asyncio.create_task(answer(number, what))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            elif isinstance(what, bytes):
                _write(writer, [number, len(what)])
            else:
                name, size = what
                block = shared.get(name)
                if block is None:
                    block = SharedMemory(name)
                    # The other end removes it.
                    resource_tracker.unregister(f"/{name}", "shared_memory")
                shared[name] = block
                _write(writer, [number, len(bytes(block.buf[:size]))])
    except asyncio.IncompleteReadError:
        engine.close()
        for block in shared.values():
            block.close()


class Outside:
    """The engine in a child, as this process sees it."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "benchmarks.engine_process", "--child", str(folder)]
        command += [str(theirs.fileno())]
        self.process = psutil.Popen(command, pass_fds=(theirs.fileno(),))
        theirs.close()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def start(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours)
        await _read(self._reader)
        self._task = asyncio.create_task(self._listen())

    async def ask(self, what: Any) -> Any:
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        _write(self._writer, [self._number, what])
        return await future

    async def stop(self) -> None:
        self._task.cancel()
        self._writer.close()
        await asyncio.to_thread(self.process.wait, 30)

    async def _listen(self) -> None:
        while True:
            number, outputs = await _read(self._reader)
            self._waiting.pop(number).set_result(outputs)


def _processor_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def drive(
    ask: Ask, items: Sequence[str], calls: int, seconds: float, processes: Sequence[psutil.Process]
) -> dict[str, float]:
    """A closed loop with `calls` outstanding."""
    waits: list[float] = []
    until = time.perf_counter() + seconds

    async def one(place: int) -> None:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            await ask(items[place % len(items)])
            waits.append(time.perf_counter() - begun)
            place += calls

    begun, used = time.perf_counter(), _processor_seconds(processes)
    await asyncio.gather(*(one(place) for place in range(calls)))
    wall, used = time.perf_counter() - begun, _processor_seconds(processes) - used
    p50, p99 = np.percentile(waits, [50, 99])
    return {
        "per_second": len(waits) / wall,
        "p50_ms": 1e3 * float(p50),
        "p99_ms": 1e3 * float(p99),
        "cpu_ms": 1e3 * used / len(waits),
    }


async def echoes(outside: Outside, size: int, count: int) -> dict[str, float]:
    """Microseconds of a round trip of `size` bytes, one at a time: over the sockets, and with the
    bytes written to shared memory and their place sent."""
    payload = os.urandom(size)
    begun = time.perf_counter()
    for _ in range(count):
        await outside.ask(payload)
    over = (time.perf_counter() - begun) / count
    block = SharedMemory(create=True, size=size)
    try:
        begun = time.perf_counter()
        for _ in range(count):
            block.buf[:size] = payload
            await outside.ask([block.name, size])
        shared = (time.perf_counter() - begun) / count
    finally:
        block.close()
        block.unlink()
    return {"sockets": 1e6 * over, "shared memory": 1e6 * shared}


async def compare(
    folder: Path, items: Sequence[str], calls: Sequence[int], seconds: float, rounds: int
) -> None:
    engine: Engine = open_engine(folder)
    engine.warm_up()
    outside = Outside(folder)
    await outside.start()

    async def inside(text: str) -> Any:
        async for chunk in engine.submit(EngineRequest([text])):
            return chunk.outputs
        return None

    me = psutil.Process()
    ways: dict[str, tuple[Ask, list[psutil.Process]]] = {
        "inside": (inside, [me]),
        "outside": (outside.ask, [me, psutil.Process(outside.process.pid)]),
    }
    found: dict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for count in calls:
            for name, (ask, processes) in ways.items():
                found[count, name].append(await drive(ask, items, count, seconds, processes))
    print("| outstanding | engine | calls/s | p50 ms | p99 ms | processor ms a call |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for (count, name), runs in found.items():
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {count} | {name} | {row['per_second']:.0f} | {row['p50_ms']:.2f} "
            f"| {row['p99_ms']:.2f} | {row['cpu_ms']:.2f} |"
        )
    print("\n| payload | sockets µs | shared memory µs |\n| --- | ---: | ---: |")
    for name, size in PAYLOADS.items():
        row = await echoes(outside, size, 500)
        print(f"| {name} | {row['sockets']:.0f} | {row['shared memory']:.0f} |")
    await outside.stop()
    engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variant", default="int8", choices=["fp32", "bf16", "int8"])
    parser.add_argument("--calls", default="1,16,64")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, descriptor = options.child
        asyncio.run(child(folder, int(descriptor)))
        return
    items = texts(LIST)
    calls = [int(number) for number in options.calls.split(",")]
    with tempfile.TemporaryDirectory() as name:
        (folder,) = build(Path(name), [options.variant], items[:300]).values()
        asyncio.run(compare(folder, items, calls, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
