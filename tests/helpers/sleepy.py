"""An engine of another distribution, found by its entry point: as slow as wanted, and it can hang.

It tells good words from bad ones by a plain rule, so that its answers can be checked. While the
file ``HANG`` lies in its control folder, every batch that begins blocks for ever; while ``CRASH``
lies there, a batch ends the process as a fault in native code would. The file ``BEGUN`` says that a
batch was begun.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from feilun.engines.card import Card, write_card
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from feilun.types import Schema

__all__ = ["add_sleepy", "environment", "install"]

CODE = """
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from feilun.engines.batching import Batcher
from feilun.tasks.base import Encoded
from feilun.types import Chunk, Usage

FORMATS = ("sleepy",)


class Engine:
    def __init__(self, card):
        self.card = card
        self.seconds = float(card.config["seconds"])
        self.control = Path(os.environ["SLEEPY_CONTROL"])
        self.batcher = Batcher(self.encode, self.answer, int(card.config.get("workers", 1)))
        with (self.control / "opened").open("a") as file:
            file.write("x")

    @property
    def info(self):
        return {
            "engine": "sleepy", "streams": 1, "waiting": self.batcher.waiting,
            "oldest": self.batcher.oldest,
        }

    usage = Usage()

    def encode(self, items):
        return [Encoded({"n": np.zeros(1), "good": "great" in item}, 16) for item in items]

    def answer(self, batch, wanted):
        if (self.control / "CRASH").exists():
            (self.control / "CRASH").unlink()
            os.kill(os.getpid(), signal.SIGSEGV)
        if (self.control / "HANG").exists():
            threading.Event().wait()
        (self.control / "BEGUN").touch()
        time.sleep(self.seconds)
        labels = self.card.schema.labels
        return [{"label": labels[item.arrays["good"]], "score": 0.9} for item in batch]

    def predict(self, items, all_scores=False):
        return self.answer(self.encode(items), [all_scores] * len(items))

    async def submit(self, request):
        answered = await self.batcher.run(
            request.items, request.all_scores, request.customer, request.deadline
        )
        yield Chunk(answered.outputs, Usage(len(answered.outputs), engine_seconds=answered.seconds))

    def warm_up(self):
        pass

    def abandon(self):
        self.batcher.abandon()

    def close(self):
        self.batcher.close()


def load(folder, card, *, streams, threads):
    return Engine(card)
""".replace('"good": "great" in item', '"good": np.array("great" in item)').replace(
    'labels[item.arrays["good"]]', 'labels[int(item.arrays["good"])]'
)


def install(folder: Path) -> Path:
    """Writes the distribution into `folder`, which belongs on the path of whoever serves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sleepy_engine.py").write_text(CODE)
    info = folder / "sleepy_engine-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleepy-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[feilun.engines]\nsleepy = sleepy_engine\n")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """That of a process which knows the engine and is controlled by files in `folder`."""
    source = str(Path(__file__).parents[2] / "src")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(install(folder / "path")), source]),
        "SLEEPY_CONTROL": str(folder),
        "FEILUN_LANG": "en",
    }


def add_sleepy(
    store: Store, project: str = "reviews", seconds: float = 0.0, **serving: Any
) -> ModelVersion:
    """A published version that this engine answers; not deployed. `seconds` a batch takes."""
    folder = store.artifacts.new()
    schema = Schema("text-classification", ("bad", "good"), {})
    # The time makes each version's folder one of its own.
    config = {"seconds": seconds, "number": len(store.catalog.model_versions(project))}
    write_card(folder, Card("sleepy", schema, "linear", config=config))
    weights = store.publish(folder, "weights").ref
    settings = {"project": {"serving": serving}}
    return store.catalog.add_model_version(project, "linear", weights=weights, config=settings)
