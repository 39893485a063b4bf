"""Explanations: do the words that are named decide the answer.

    python -m benchmarks.evidence.explanations

English reviews. The linear baseline is explained exactly and by leaving words out, a frozen encoder
with a linear head by leaving words out and by integrated gradients (Sundararajan et al., 2017; 24
steps from padding), whose tokens are summed up by word. Faithful is an explanation whose three
heaviest words, taken out, change the answer's log-odds most.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.config import load_settings
from feilun.demo.tasks import text_classification as reviews
from feilun.engines import explain as explaining
from feilun.engines.base import Engine, open_engine
from feilun.engines.torch import load_module
from feilun.store.dataset import DatasetWriter
from feilun.tasks.base import get
from feilun.training.bases import resolve
from feilun.training.job import TrainJob
from feilun.training.methods import head, linear
from feilun.types import Example, Schema

TRAIN, HELD, SHOWN, STEPS, TAKEN = 800, 100, 40, 24, 3


def data(folder: Path) -> tuple[Path, list[str]]:
    """A data version of the reviews' first rows, and texts that are in none of its rows."""
    files = reviews.files(folder / "files", "en")
    with files.training.open(encoding="utf-8", newline="") as stream:
        rows = [(row[files.text], row[files.label]) for row in csv.DictReader(stream)]
    names = tuple(sorted({label for _, label in rows}))
    settings = get("text-classification").Settings().model_dump()
    schema = Schema("text-classification", names, settings)
    examples = [
        Example(str(place), text, label, "train" if place < TRAIN else "validation")
        for place, (text, label) in enumerate(rows[: TRAIN + HELD])
    ]
    out = folder / "data"
    out.mkdir()
    with DatasetWriter(out, {"text": "text"}) as writer:
        for example in examples:
            writer.add(example)
        writer.close(schema)
    texts = [text for text, _ in rows[TRAIN + HELD :] if 8 <= len(text.split()) <= 60]
    return out, texts[:SHOWN]


def trained(method: Any, name: str, rows: Path, folder: Path) -> Engine:
    """An engine on what `method` made of the rows."""
    task = get("text-classification")
    base = resolve("minilm", task, load_settings({})) if name == "head" else None
    out, scratch = folder / name, folder / f"{name}-scratch"
    out.mkdir()
    scratch.mkdir()
    settings = task.Settings().model_dump()
    job = TrainJob(name, "text-classification", rows, base, out, scratch, task_settings=settings)
    method.train(job, method.Settings(), lambda progress: None)
    return open_engine(out)


def left_out(engine: Engine, text: str, pair: tuple[str, str]) -> np.ndarray:
    """The weights of the words by leaving each out."""
    pieces = get("text-classification").pieces(text)
    assert pieces is not None
    outputs = engine.predict(explaining._questions(pieces), all_scores=True)
    return np.array(explaining._occluded(outputs, pieces, pair).weights)


class Gradients:
    """Integrated gradients of a `head` version."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._module: Any = load_module(folder)
        self._task, self._engine = get("text-classification"), engine
        settings = engine.card.schema.settings
        self._processor: Any = self._task.processor(folder / "encoder", settings)

    def weights(self, text: str, pair: tuple[str, str]) -> np.ndarray:
        """One for each word: the sum over the tokens that begin in it."""
        import torch

        labels = self._engine.card.schema.labels
        place, other = (labels.index(name) for name in pair)
        tokens = self._processor.tokenizer.encode(text)
        ids = torch.tensor([tokens.ids])
        table = self._module.encoder.model.get_input_embeddings()
        whole = table(ids)
        start = table(torch.full_like(ids, self._processor.pad_id))
        steps = (torch.arange(STEPS) + 0.5)[:, None, None] / STEPS
        path = (start + steps * (whole - start)).detach().requires_grad_(True)
        mask = torch.ones(STEPS, ids.shape[1], dtype=torch.long)
        model = self._module.encoder.model
        hidden = model(inputs_embeds=path, attention_mask=mask).last_hidden_state.mean(dim=1)
        vectors = (hidden - self._module.mean) / self._module.scale
        logits = torch.nn.functional.linear(vectors, self._module.weight, self._module.bias)
        (logits[:, place] - logits[:, other]).sum().backward()
        assert path.grad is not None
        each = (path.grad.mean(dim=0) * (whole - start)[0]).sum(dim=1).detach().numpy()
        pieces = self._task.pieces(text)
        assert pieces is not None
        sums = np.zeros(pieces.count)
        starts = [begin for begin, _ in pieces.spans]
        for weight, (begin, end) in zip(each, tokens.offsets, strict=True):
            if end > begin:
                sums[max(int(np.searchsorted(starts, begin, "right")) - 1, 0)] += weight
        return sums


def change(engine: Engine, text: str, pair: tuple[str, str], chosen: Sequence[int]) -> float:
    """By how much the log-odds fall when these words are taken out."""
    pieces = get("text-classification").pieces(text)
    assert pieces is not None
    rest = text
    for place in sorted(chosen, reverse=True):
        start, end = pieces.spans[place]
        rest = rest[:start] + rest[end:]
    before, after = engine.predict([text, rest], all_scores=True)
    return explaining._log_odds(before["scores"], *pair) - explaining._log_odds(
        after["scores"], *pair
    )


def ranks(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation."""
    orders = [each.argsort().argsort().astype(float) for each in (first, second)]
    return float(np.corrcoef(*orders)[0, 1])


def compare(name: str, engine: Engine, texts: list[str], other: str, weigh: Any) -> None:
    """One row of the table for each way of explaining `engine`."""
    random = np.random.default_rng(0)
    falls: dict[str, list[float]] = {"leaving words out": [], other: [], "any words": []}
    agreement, same, seconds = [], 0, {"leaving words out": 0.0, other: 0.0}
    for number, text in enumerate(texts):
        (output,) = engine.predict([text], all_scores=True)
        pair = explaining._pair(output, None, None)
        assert pair is not None
        found = {}
        for way, make in (("leaving words out", left_out), (other, weigh)):
            begun = perf_counter()
            found[way] = make(engine, text, pair)
            seconds[way] += perf_counter() - begun
            chosen = np.argsort(-found[way])[:TAKEN].tolist()
            falls[way].append(change(engine, text, pair, chosen))
        anything = random.permutation(len(found[other]))[:TAKEN].tolist()
        falls["any words"].append(change(engine, text, pair, anything))
        agreement.append(ranks(*found.values()))
        same += int(np.argmax(found[other]) == np.argmax(found["leaving words out"]))
        if number % 10 == 0:
            print(name, number, file=sys.stderr)
    for way, values in falls.items():
        mean, error = np.mean(values), 1.96 * np.std(values) / np.sqrt(len(values))
        cost = f"{1000 * seconds[way] / len(texts):.0f}" if way in seconds else ""
        print(f"| {name} | {way} | {mean:.2f} ± {error:.2f} | {cost} |")
    print(f"| {name} | agreement: ranks {np.mean(agreement):.2f},", end=" ")
    print(f"same heaviest word {same} of {len(texts)} | | |")


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, texts = data(folder)
        print(
            f"{len(texts)} reviews of 8 to 60 words; what the log-odds of the answer fall by when"
        )
        print(f"the {TAKEN} words that an explanation holds heaviest are taken out.")
        print()
        print("| model | explained by | log-odds fall by | ms a text |")
        print("| --- | --- | --- | --- |")

        def exact(engine: Engine, text: str, pair: tuple[str, str]) -> np.ndarray:
            found = explaining._exactly(engine, text, pair)
            assert found is not None
            return np.array(found.weights)

        compare("linear", trained(linear, "linear", rows, folder), texts, "exact weights", exact)
        engine = trained(head, "head", rows, folder)
        gradients = Gradients(folder / "head", engine)

        def integrated(engine: Engine, text: str, pair: tuple[str, str]) -> np.ndarray:
            return gradients.weights(text, pair)

        compare("head", engine, texts, "integrated gradients", integrated)


if __name__ == "__main__":
    main()
