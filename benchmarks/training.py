"""Fine-tuning the starter encoder: the transformers Trainer as it comes, and `feilun train`'s full.

    python -m benchmarks.training [--words 20] [--epochs 3] [--json FILE]

4,000 real reviews cut to their first words (20 words: mean 27 tokens), the 1,000 reviews of
``testing_data`` to judge by, the same seed, each training in a process of its own. The Trainer
gets its default arguments: batches of 8, padded to the longest row, float32, 5e-5. Also: the
fewest epochs in which feilun reaches what the default ends with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from feilun.demo.tasks import text_classification as reviews
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.bases import starters
from feilun.types import Example, Schema

TASK = "text-classification"
SETTINGS = {"max_length": 128}


def prepare(folder: Path, words: int) -> Path:
    """A data version whose test split is the testing file; nothing is held out of training."""
    import csv

    files = reviews.files(folder / "csv", "en")
    data = folder / "data"
    writer = DatasetWriter(data, {"text": "text"})
    for file, split in ((files.training, "train"), (files.testing, "test")):
        with file.open(encoding="utf-8", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream)):
                text = " ".join(row["review"].split()[:words])
                # 200 training rows choose the best epoch, as feilun does; the Trainer needs none.
                part: Any = "validation" if split == "train" and number % 20 == 0 else split
                writer.add(Example(f"{split}{number}", text, row["score"], part))
    writer.close(Schema(TASK, ("great", "other"), SETTINGS))
    return data


def default(data: Path, epochs: int) -> dict[str, float]:
    """`transformers.Trainer` with the arguments it has by itself. As for feilun the clock runs from
    the first import to the trained model, tokens and all."""
    begun = time.perf_counter()
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    dataset = Dataset(data)
    base = starters()["minilm"]
    tokenizer = AutoTokenizer.from_pretrained(base)

    def rows(split: Any) -> list[dict[str, Any]]:
        truth = dataset.labels(split).tolist()
        encoded = tokenizer(list(dataset.items(split)), truncation=True, max_length=128)
        return [
            {**{name: encoded[name][place] for name in encoded}, "labels": label}
            for place, label in enumerate(truth)
        ]

    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch, num_train_epochs=epochs, save_strategy="no", report_to=[], disable_tqdm=True
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=rows("train"),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        seconds = time.perf_counter() - begun
        with torch.inference_mode():
            logits = trainer.predict(rows("test")).predictions
    accuracy = float((logits.argmax(1) == dataset.labels("test")).mean())
    return {"seconds": seconds, "accuracy": accuracy}


def ours(data: Path, epochs: int) -> dict[str, float]:
    """feilun's method ``full``, its settings untouched but for the epochs."""
    begun = time.perf_counter()
    from feilun.engines.base import open_engine
    from feilun.training.job import TrainJob
    from feilun.training.settings import method

    full = method("full")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        job = TrainJob(
            "full",
            TASK,
            data,
            starters()["minilm"],
            out,
            Path(scratch) / "scratch",
            settings={"epochs": epochs},
            task_settings=SETTINGS,
        )
        job.scratch.mkdir()
        full.train(job, full.Settings(epochs=epochs), lambda progress: None)
        seconds = time.perf_counter() - begun
        engine = open_engine(out)
        dataset = Dataset(data)
        logits = engine.raw(dataset.items("test"))
        engine.close()
    accuracy = float((np.argmax(logits, 1) == dataset.labels("test")).mean())
    return {"seconds": seconds, "accuracy": accuracy}


def apart(what: str, data: Path, epochs: int) -> dict[str, float]:
    """One training in a process of its own."""
    print(f"{what}, {epochs} epochs", file=sys.stderr)
    words = [sys.executable, "-m", "benchmarks.training", "--only", what]
    words += ["--data", str(data), "--epochs", str(epochs)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(words: int, epochs: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(Path(folder), words)
        processor = tasks.get(TASK).processor(starters()["minilm"], SETTINGS)
        encoded = processor.encode(list(Dataset(data).items("train")))
        tokens = float(np.mean([one.cost for one in encoded]))
        base = apart("default", data, epochs)
        for what, count in (("default", epochs), *(("feilun", n) for n in range(epochs, 0, -1))):
            found = base if what == "default" else apart("ours", data, count)
            results.append({"what": what, "epochs": count, "tokens": tokens, **found})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["default", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        train = default if options.only == "default" else ours
        print(json.dumps(train(options.data, options.epochs)))
        return
    results = compare(options.words, options.epochs)
    base = results[0]
    print(f"Mean length {base['tokens']:.0f} tokens.\n")
    print("| what | epochs | seconds | times as fast | accuracy on 1,000 rows |")
    print("|---|---|---|---|---|")
    for row in results:
        ratio = base["seconds"] / row["seconds"]
        cells = [row["what"], row["epochs"], f"{row['seconds']:.0f}", f"{ratio:.1f}"]
        print("|", " | ".join(map(str, [*cells, f"{row['accuracy']:.3f}"])), "|")
    reached = [r for r in results[1:] if r["accuracy"] >= base["accuracy"]]
    if reached:
        least = min(reached, key=lambda row: row["epochs"])
        ratio = base["seconds"] / least["seconds"]
        print(f"\nTo the accuracy the default ends with: {ratio:.1f} times as fast.")
    else:
        print("\nThe accuracy that the default ends with was not reached.")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
