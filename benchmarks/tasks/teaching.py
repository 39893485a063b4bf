"""LoRA on a language model: trl's SFTTrainer with its default arguments, and feilun's ``lora``.

    python -m benchmarks.tasks.teaching [--rows 300] [--epochs 2] [--base DIR] [--json FILE]

Questions and answers of a made-up shop, the starter SmolLM2-135M-Instruct, the same chat template,
rank, layers and epochs, the loss on answers alone; each training in a process of its own. All else
is what each takes by itself: trl batches of 8 padded to the longest, a step size of 2e-5, gradient
checkpointing. Tokens are those of the rows, without padding; the clock runs from the first import
to the trained model. Both are judged on the same held-out rows in nats a token of the answers;
feilun's peak of memory stands beside what its plan said before.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from feilun.config import Settings
from feilun.demo.tasks.chat import shop
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.types import Example, Schema, Split

TASK = "chat"
MAX_LENGTH = 256
RANK = 16


def prepare(folder: Path, rows: int) -> Path:
    """A data version of `rows` training rows and 100 others that judge; a twentieth of the training
    rows chooses the epoch, for whom that does."""
    pairs = [
        (question, said)
        for _, facts in shop("en")
        for said, questions in facts.items()
        for question in questions
    ]
    np.random.default_rng(0).shuffle(pairs)
    with DatasetWriter(folder, {"messages": "text"}) as writer:
        for number, (question, said) in enumerate(pairs[: rows + 100]):
            split: Split = "test" if number < 100 else "train"
            split = "validation" if split == "train" and number % 20 == 0 else split
            writer.add(Example(f"row-{number}", question, said, split))
        writer.close(Schema(TASK, (), {"max_length": MAX_LENGTH}))
    return folder


def lessons(base: Path) -> Any:
    """How feilun renders and cuts rows for the model in `base`."""
    return tasks.get(TASK).lessons(base, Schema(TASK, (), {"max_length": MAX_LENGTH}))


def rows_of(data: Path, split: Split) -> tuple[list[Any], list[Any]]:
    """Questions and answers."""
    dataset = Dataset(data)
    return list(dataset.items(split)), list(dataset.values("label", split))


def held_out(version: Path, data: Path) -> float:
    """Nats a token of the answers of the test rows, to the weights in `version`."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(version, dtype=torch.float32).eval()
    nats, tokens = 0.0, 0
    for one in lessons(version).encode(*rows_of(data, "test")):
        ids, labels = (
            torch.from_numpy(one.arrays[name].astype(np.int64))[None]
            for name in ("input_ids", "labels")
        )
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
        nats += float(torch.nn.functional.cross_entropy(logits, labels[0], reduction="sum"))
        tokens += int((labels != -100).sum())
    return nats / tokens


def theirs(data: Path, base: Path, out: Path, epochs: int) -> dict[str, float]:
    """`trl.SFTTrainer` with the arguments that it has by itself."""
    begun = time.perf_counter()
    import torch
    from datasets import Dataset as Table
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": said}],
        }
        for question, said in zip(*rows_of(data, "train"), strict=True)
    ]
    tokenizer = AutoTokenizer.from_pretrained(base)
    arguments = SFTConfig(
        str(out / "trl"), num_train_epochs=epochs, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(base),
        arguments,
        train_dataset=Table.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
    )
    trainer.train()
    seconds = time.perf_counter() - begun
    plain: Any = trainer.model
    plain.merge_and_unload().save_pretrained(out / "version")
    tokenizer.save_pretrained(out / "version")
    return {"seconds": seconds, "epochs": epochs}


def ours(data: Path, base: Path, out: Path, epochs: int) -> dict[str, float]:
    """feilun's ``lora``, its settings untouched but for the epochs."""
    begun = time.perf_counter()
    from feilun.pipeline.steps.plan import rows_of as stats_of
    from feilun.training import machine
    from feilun.training.job import TrainJob
    from feilun.training.settings import method

    lora: Any = method("lora")
    settings = lora.Settings(epochs=epochs, patience=epochs)
    (out / "version").mkdir()
    job = TrainJob(
        "lora", TASK, data, base, out / "version", out / "scratch",
        settings={"epochs": epochs}, task_settings={"max_length": MAX_LENGTH},
    )  # fmt: skip
    planning = time.perf_counter()
    processor = tasks.get(TASK).processor(base, job.task_settings)
    planned = lora.estimate(
        job, lora.settle(job, settings), stats_of(Dataset(data), processor, {}), machine.look(out)
    )
    begun += time.perf_counter() - planning
    result = lora.train(job, settings, lambda progress: None)
    return {
        "seconds": time.perf_counter() - begun,
        "epochs": result.figures["epochs"],
        "planned_bytes": planned.memory_bytes,
        "peak_bytes": _peak(),
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def apart(what: str, data: Path, base: Path, epochs: int) -> dict[str, float]:
    """One training, and its judgement, in a process of its own."""
    print(f"{what}, {epochs} epochs", file=sys.stderr, flush=True)
    words = [sys.executable, "-m", "benchmarks.tasks.teaching", "--only", what]
    words += ["--data", str(data), "--base", str(base), "--epochs", str(epochs)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def find_base(given: Path | None) -> Path:
    """The folder of the starter, or the one that is `given`."""
    if given is not None:
        return given
    from feilun.training.bases import resolve

    found = resolve("smollm2", tasks.get(TASK), Settings())
    assert isinstance(found, Path)
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["trl", "feilun"], help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    base = find_base(given.base)
    if given.only:
        train = theirs if given.only == "trl" else ours
        with tempfile.TemporaryDirectory() as place:
            figures = train(given.data, base, Path(place), given.epochs)
            figures["nats"] = held_out(Path(place) / "version", given.data)
        print(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as place:
        data = prepare(Path(place) / "data", given.rows)
        counted = lessons(base).encode(*rows_of(data, "train"))
        tokens = sum(one.cost for one in counted)
        found = {what: apart(what, data, base, given.epochs) for what in ("trl", "feilun")}
        untaught = held_out(base, data)
    print(f"{len(counted)} rows of {tokens / len(counted):.0f} tokens on average.\n")
    print("| what | epochs | seconds | tokens/s | times as fast | nats a token, held out |")
    print("|---|--:|--:|--:|--:|--:|")
    print(f"| the base, not taught | | | | | {untaught:.3f} |")
    for what, one in found.items():
        speed = one["epochs"] * tokens / one["seconds"]
        ratio = speed * found["trl"]["seconds"] / (found["trl"]["epochs"] * tokens)
        cells = [what, f"{one['epochs']:.0f}", f"{one['seconds']:.0f}", f"{speed:,.0f}"]
        print("| " + " | ".join([*cells, f"{ratio:.2f}", f"{one['nats']:.3f}"]) + " |")
    mine = found["feilun"]
    took, said = mine["peak_bytes"], mine["planned_bytes"]
    off = math.inf if not took else said / took - 1
    print(
        f"\nfeilun's peak of memory: {took / 2**30:.2f} GiB; its plan said {said / 2**30:.2f} GiB"
        f" before ({100 * off:+.0f} %)."
    )
    if given.json:
        given.json.write_text(json.dumps(found | {"tokens": tokens, "base": untaught}, indent=1))


if __name__ == "__main__":
    main()
