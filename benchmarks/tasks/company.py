"""Questions about a made-up company: the memory, a language model taught, and what it forgets.

    python -m benchmarks.tasks.company [--facts 100] [--base DIR] [--epochs N] [--lang en]
    python -m benchmarks.tasks.company --instant [--encoder DIR]

A table of facts about a shop's articles makes three questions a fact: two teach, the third, which
no row has, judges. An answer is right that names the article and the fact's value; every question
is answered, however unsure. What is forgotten is measured on reviews, which have nothing to do with
the shop: bits per byte of the base and of the taught model.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from benchmarks.tasks.teaching import find_base

from feilun.demo.sample import table
from feilun.demo.tasks.chat import shop
from feilun.engines.base import open_engine
from feilun.metrics.intervals import wilson
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.bases import starters
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Schema, Split

TASK = "chat"
SETTINGS = {"max_length": 256}


class Fact(NamedTuple):
    """What the shop says of an `article`, the `value` in it, and three questions for it."""

    article: str
    value: str
    said: str
    questions: tuple[str, str, str]


def facts(lang: str, count: int) -> list[Fact]:
    """`count` facts, drawn by lot."""
    found = []
    for article, told in shop(lang):
        for said, questions in told.items():
            number = re.findall(r"\d+", said.replace(article, ""))
            value = number[0] if number else re.split(r"[\s有产自]+", said.strip(".。的"))[-1]
            found.append(Fact(article, value, said, (questions[0], questions[1], questions[2])))
    np.random.default_rng(0).shuffle(found)  # type: ignore[arg-type]
    return [Fact(*one) for one in found[:count]]


def is_right(fact: Fact, text: str) -> bool:
    """Whether `text` names the article and the value, numbers as a whole."""
    value = rf"(?<!\d){fact.value}(?!\d)" if fact.value.isdigit() else re.escape(fact.value)
    return fact.article in text and re.search(value, text) is not None


def prepare(folder: Path, known: Sequence[Fact]) -> Path:
    """A data version of two questions a fact; one in twenty chooses the epoch."""
    with DatasetWriter(folder, {"messages": "text"}) as writer:
        rows = [(one, question) for one in known for question in one.questions[:2]]
        for number, (fact, question) in enumerate(rows):
            split: Split = "validation" if number % 20 == 1 else "train"
            writer.add(Example(f"row-{number}", question, fact.said, split))
        writer.close(Schema(TASK, (), SETTINGS))
    return folder


def taught(name: str, data: Path, folder: Path, base: Path | None, epochs: int | None) -> float:
    """Writes a version into ``folder/out``; the seconds that it took."""
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    job = TrainJob(name, TASK, data, base, out, scratch, task_settings=SETTINGS)
    scratch.mkdir()
    chosen: Any = method(name)
    begun = perf_counter()
    settings = {"epochs": epochs, "patience": epochs} if epochs else {}
    chosen.train(job, chosen.Settings(**settings), lambda progress: None)
    return perf_counter() - begun


def answered(version: Path, known: Sequence[Fact]) -> list[str]:
    """The answers to the questions that no row has."""
    engine = open_engine(version)
    raw = engine.raw([fact.questions[2] for fact in known])
    engine.close()
    return [str(one.text) for one in raw]


def bits_per_byte(folder: Path, texts: Sequence[str]) -> float:
    """Of a causal model in a transformers folder on `texts`, each read from its beginning."""
    import torch
    from transformers import AutoModelForCausalLM

    processor = tasks.get(TASK).processor(folder, SETTINGS)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats, size = 0.0, 0
    for text in texts:
        ids = torch.tensor([processor.tokenizer.encode(text, add_special_tokens=False).ids[:512]])  # type: ignore[attr-defined]
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        nats += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        size += len(processor.tokenizer.decode(ids[0, 1:].tolist()).encode())  # type: ignore[attr-defined]
    return nats / size / float(np.log(2))


def general(count: int) -> list[str]:
    """Reviews, which no base of ours was taught."""
    reviews = table("modeldata", "training_data")["review"]
    return [str(one) for one in reviews[:count]]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--texts", type=int, default=60, help="that tell what was forgotten")
    parser.add_argument("--epochs", type=int, help="of lora; by default its own")
    parser.add_argument("--base", type=Path)
    parser.add_argument(
        "--encoder", type=Path, default=starters().get("minilm"), help="of the memory's vectors"
    )
    parser.add_argument("--instant", action="store_true", help="only what answers within seconds")
    parser.add_argument("--lang", choices=["en", "zh"], default="en")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    known = facts(given.lang, given.facts)
    ways: list[tuple[str, Path | None]] = [("memory", None), ("hybrid", given.encoder)]
    rows: list[dict[str, Any]] = []
    print("| method | questions | right fact | 95 % interval | seconds | bits per byte |")
    print("|---|--:|--:|--:|--:|--:|")
    before = 0.0
    if not given.instant:
        base, texts = find_base(given.base), general(given.texts)
        ways.append(("lora", base))
        before = bits_per_byte(base, texts)
        print(f"| the base, not taught | | | | | {before:.3f} |", flush=True)
    with tempfile.TemporaryDirectory() as place:
        data = prepare(Path(place) / "data", known)
        for name, start in ways:
            epochs = given.epochs if name == "lora" else None
            seconds = taught(name, data, Path(place) / name, start, epochs)
            out = Path(place) / name / "out"
            texts_said = answered(out, known)
            right = sum(map(is_right, known, texts_said))
            score = wilson(right, len(known))
            after = bits_per_byte(out, texts) if name == "lora" else None
            rows.append({"method": name, "right": right, "of": len(known), "bits": after})
            rows[-1]["wrong"] = [
                (fact.questions[2], fact.said, said)
                for fact, said in zip(known, texts_said, strict=True)
                if not is_right(fact, said)
            ]
            bits = "–" if after is None else f"{after:.3f} ({after - before:+.3f})"
            interval = f"{score.low:.3f} to {score.high:.3f}"
            cells = [name, len(known), f"{right / len(known):.3f}", interval, f"{seconds:,.0f}"]
            print("| " + " | ".join(map(str, [*cells, bits])) + " |", flush=True)
    if given.json:
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        given.json.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
