"""Eight labels a class: n-grams, prototypes, a frozen encoder, `setfit`, and SetFit's own recipe.

    python -m benchmarks.evidence.few_labels [--draws 10] [--rows 1000] [--shots 8]
        [--zh-base FOLDER] [--data en zh courses]

English and Chinese reviews, and titles of courses of ten subjects. Each draw takes so many training
rows of each label by lot; every method learns them alone and is judged on the same rows that none
of them sees. The peer is SetFit's recipe (Tunstall and others, 2022) in sentence-transformers with
the same base: 20 rounds of one positive and one negative pair a row, cosine loss, 2e-5, one epoch,
then scikit-learn's logistic regression on the vectors. Chinese needs a base that reads it, a folder
named by ``--zh-base``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._few import named
from benchmarks.evidence.review import read

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.store.dataset import DatasetWriter
from feilun.training.bases import starters
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Schema

TASK = "text-classification"
LENGTH = 128
SETS = ("en", "zh", "courses")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=10)
    options.add_argument("--rows", type=int, default=1000)
    options.add_argument("--shots", type=int, default=8)
    options.add_argument("--zh-base", type=Path)
    options.add_argument("--data", nargs="*", choices=SETS, default=SETS)
    asked = options.parse_args()
    minilm = starters()["minilm"]
    bases = {"en": minilm, "zh": asked.zh_base, "courses": minilm}
    print(f"{asked.shots} rows a label, {asked.draws} draws, judged on {asked.rows} rows")
    for data in asked.data:
        if (base := bases[data]) is not None:
            _measure(data, base, asked.draws, asked.rows, asked.shots)


def _measure(data: str, base: Path, draws: int, judged: int, shots: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, labels, test, truth = rows_of(data, folder)
        test, truth = test[:judged], truth[:judged]
        found: dict[str, list[tuple[float, float]]] = {}
        for draw in range(draws):
            chosen = _drawn(labels, shots, draw)
            few, own = [texts[i] for i in chosen], [labels[i] for i in chosen]
            for way in ("linear", "prototypes", "head", "setfit"):
                one = _feilun(folder / f"{draw}-{way}", way, base, few, own, test, truth, draw)
                found.setdefault(way, []).append(one)
            one = _peer(folder / f"{draw}-peer", base, few, own, test, truth, draw)
            found.setdefault("SetFit's recipe", []).append(one)
        for way, scores in found.items():
            right, seconds = np.array(scores).T
            print(
                f"{data} {way:16} {right.mean():.3f} (sd {right.std():.3f}), "
                f"{seconds.mean():.1f} s to learn"
            )


def rows_of(data: str, folder: Path) -> tuple[Sequence[str], ...]:
    """Texts and labels to learn from, and others that judge."""
    if data == "courses":
        rows = named(data)
        order = np.random.default_rng(0).permutation(len(rows.items)).tolist()
        half = len(order) // 2
        return tuple(
            [side[place] for place in part]
            for part in (order[:half], order[half:])
            for side in (rows.items, rows.labels)
        )
    files = reviews.files(folder, data)
    return (
        *read(files.training, files.text, files.label),
        *read(files.testing, files.text, files.label),
    )


def _drawn(labels: Sequence[str], shots: int, seed: int) -> list[int]:
    draw = np.random.default_rng(seed)
    every = np.array(labels)
    parts = [draw.permutation(np.flatnonzero(every == one))[:shots] for one in sorted(set(labels))]
    return np.concatenate(parts).tolist()


def _feilun(
    folder: Path,
    way: str,
    base: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    test: Sequence[str],
    truth: Sequence[str],
    seed: int,
) -> tuple[float, float]:
    names = tuple(sorted(set(labels)))
    with DatasetWriter(folder / "data", {"text": "text"}) as writer:
        for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
            writer.add(Example(f"row-{number}", text, label, "train"))
        writer.close(Schema(TASK, names, {"max_length": LENGTH, "feature_bits": 20}))
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir()
    scratch.mkdir()
    chosen = method(way)
    plain = {"augment": "off"} if "augment" in chosen.Settings.model_fields else {}
    settings: Any = chosen.Settings(**plain)
    start = folder if not chosen.needs_base else base
    job = TrainJob(way, TASK, folder / "data", start, out, scratch, seed=seed)
    begin = time.perf_counter()
    chosen.train(job, settings, lambda progress: None)
    took = time.perf_counter() - begin
    engine = open_engine(out)
    raw = engine.raw(list(test))
    engine.close()
    given = [names[place] for place in raw.argmax(axis=1).tolist()]
    return float(np.mean([a == b for a, b in zip(given, truth, strict=True)])), took


def _peer(
    folder: Path,
    base: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    test: Sequence[str],
    truth: Sequence[str],
    seed: int,
) -> tuple[float, float]:
    import torch
    from sentence_transformers import SentenceTransformer, losses, models
    from sklearn.linear_model import LogisticRegression

    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    body = models.Transformer(str(base), max_seq_length=LENGTH)
    network = SentenceTransformer(
        modules=[body, models.Pooling(body.get_word_embedding_dimension())], device="cpu"
    )
    begin = time.perf_counter()
    pairs = _pairs(labels, draw)
    loss = losses.CosineSimilarityLoss(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-5, weight_decay=0.01)
    batches = [pairs[start : start + 16] for start in range(0, len(pairs), 16)]
    network.train()
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = 2e-5 * (1 - step / len(batches))
        sides = [network.tokenize([texts[pair[side]] for pair in batch]) for side in (0, 1)]
        value = loss(sides, torch.tensor([pair[2] for pair in batch], dtype=torch.float32))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    network.eval()
    vectors = network.encode(list(texts), show_progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = LogisticRegression(max_iter=1000).fit(vectors, list(labels))
    took = time.perf_counter() - begin
    given = fitted.predict(network.encode(list(test), show_progress_bar=False))
    return float(np.mean(given == np.array(truth))), took


def _pairs(labels: Sequence[str], draw: np.random.Generator) -> list[tuple[int, int, float]]:
    every = np.array(labels)
    found = []
    for _ in range(20):
        for place, label in enumerate(labels):
            same = np.flatnonzero((every == label) & (np.arange(len(every)) != place))
            other = np.flatnonzero(every != label)
            found.append((place, int(draw.choice(same)), 1.0))
            found.append((place, int(draw.choice(other)), 0.0))
    return [found[place] for place in draw.permutation(len(found)).tolist()]


if __name__ == "__main__":
    main()
