"""Fine-tuning, what full and lora share: from a job to a version of format ``transformers``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

from pydantic import Field

from feilun.engines.card import write_card
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import attention, augment, augment_trial, checkpoints, heads, precision
from feilun.training.batches import EncodedRows, order
from feilun.training.body import Body, describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import (
    drawn,
    learning_count,
    learning_rows,
    read,
    schema_of,
    start_card,
)
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["FineTuneSettings", "SettingsT", "estimate", "finetune", "settle"]

_BUDGET = 8192  # tokens of a batch, padding included, unless its rows are larger
_SMALLEST = 8
_STEPS = 8  # batches of an epoch at least, unless they would be smaller than that
_JUDGES = 5000  # validation rows that choose the epoch at most; all of them judge the version later
_SHARE = 0.25  # of the speed of bare matrix products that training reaches, measured with MiniLM
_STEP = 0.02  # seconds of a step whatever its size, measured with small networks on pictures


SettingsT = TypeVar("SettingsT", bound="FineTuneSettings")


class FineTuneSettings(MethodSettings):
    """What full and lora let a project choose. What is None is fixed by the base's size."""

    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="passes over the rows; by default 2 (spans: 6), from nothing 30",
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the size of the base"
    )
    batch_rows: int | None = Field(
        None, ge=1, description="rows of a batch at most; by default 64 (spans: 8)"
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens (pixels) of a batch at most, padding included; by default 8,192 tokens "
        "(as many patches of pixels), or what 16 of the longest rows need",
    )
    accumulation: int = Field(
        1, ge=1, description="batches whose gradients are added up before each step"
    )
    warmup: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the step size rises"
    )
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "linear", description="how the step size falls afterwards"
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay")
    dropout: float | None = Field(
        0.0, ge=0, lt=1, description="share of activations dropped; none keeps the base's own"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of certainty that is taken from the right label"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="epochs without a better validation score after which training stops; by "
        "default a quarter of the epochs, and at least 2",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="auto is bf16 where this processor computes faster in it, but for convolutions",
    )
    max_rows: int | None = Field(
        None, ge=2, description="training rows used at most, drawn by the seed; by default all"
    )
    update_rate: float = Field(
        0.5, gt=0, le=1, description="step size of an update, as a share of learning_rate"
    )
    checkpoint_seconds: float = Field(
        30.0, gt=0, description="seconds between checkpoints, from which a killed run goes on"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="steps between checkpoints, instead of seconds"
    )


def settle(job: TrainJob, settings: SettingsT, rate: float) -> SettingsT:
    """`settings` with nothing left open. `rate` is the method's step size for a width of 384; wider
    bases take smaller steps, networks from nothing larger ones, and updates a share of either."""
    source = job.previous or job.base
    pretrained = isinstance(source, Path)
    width = max(1, describe(source).width)
    family = tasks.get(job.task).family
    rate *= family.rate
    usual = min(2 * rate, max(rate / 10, rate * 384 / width)) if pretrained else 1e-3
    epochs = settings.epochs or (family.epochs if pretrained else 30)
    return settings.model_copy(
        update={
            "epochs": epochs,
            "batch_rows": settings.batch_rows or family.batch_rows,
            "patience": settings.patience or max(2, epochs // 4),
            "learning_rate": settings.learning_rate or usual,
        }
    )


def estimate(
    job: TrainJob, settings: Any, rows: DataStats, machine: Machine, trained: float
) -> Estimate:
    """`trained` is the share of the parameters that learn. `settings` are settled."""
    body = describe(job.previous or job.base)
    used = learning_count(job, rows.train)
    used = min(used, settings.max_rows or used)
    used = augment.counted(job, settings.augment, settings.augment_share, used)
    budget = settings.batch_tokens or _budget(body, rows.max_cost)
    batch = min(budget, settings.batch_rows * max(1, rows.max_cost))
    # Weights, and for what learns a gradient and AdamW's two moments; twice the weights in passing.
    memory = body.bytes * (2 + 3 * trained) + body.activations(batch) + 800e6
    passes = 3 if trained > 0.5 else 2
    work = body.forward(rows.mean_cost) * (
        used * settings.epochs * passes + rows.validation * settings.epochs
    )
    steps = settings.epochs * max(1.0, used * max(1.0, rows.mean_cost) / batch)
    flops = (machine.flops_fp32 if body.convolves else 0) or machine.flops
    seconds = 10.0 + work / (flops * _SHARE) + steps * (_STEP + body.bytes * trained * 7 / 8e9)
    detail = {
        "rows": float(used),
        "epochs": float(settings.epochs),
        "parameters": float(body.parameters),
        "batch_cost": float(batch),
        "disk_bytes": 3.0 * body.bytes * (1 + 2 * trained),
    }
    return Estimate(int(memory), seconds, detail)


def _budget(body: Body, largest: int) -> int:
    """Cost units of a batch: as many positions of the network as 8,192 tokens are."""
    return max(round(_BUDGET * body.per_token), 16 * largest)


def finetune(
    job: TrainJob,
    settings: Any,
    report: Report,
    wrap: Callable[[Any], Any] = lambda model: model,
    unwrap: Callable[[Any], Any] = lambda model: model,
) -> TrainResult:
    """Trains and writes the version. `settings` are settled; `wrap` turns the transformers model
    into what learns (adapters), `unwrap` turns that back into a plain model before saving."""
    import torch
    from transformers import set_seed
    from transformers.utils import logging

    from feilun.training.steering import Course
    from feilun.training.trainer import run

    start = perf_counter()
    logging.disable_progress_bar()
    torch.set_num_threads(job.threads or precision.cores())
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    task = tasks.get(job.task)
    source = job.previous or job.base
    if job.previous is not None:
        slower = settings.learning_rate * settings.update_rate
        settings = settings.model_copy(update={"learning_rate": slower})
    checkpoints.claim(job)
    rows, notes = drawn(learning_rows(job, dataset), settings.max_rows, job.seed)
    report(Progress("train", 0, len(rows), "rows", note=t("training.note_opening")))
    own = rows.labels
    found = augment_trial.decided(job, settings, rows, schema)
    if found.added is not None:
        rows = found.added.more
    notes += found.notes
    objective = task.family.objective(rows.labels, schema.labels, settings, own)
    processor = task.processor(source, schema.settings)
    encoded = EncodedRows(rows, processor, objective)
    judges = drawn(read(dataset, "validation"), _JUDGES, job.seed)[0]
    held = EncodedRows(judges, processor, objective)
    if encoded.cut:
        notes.append(t("training.note_cut", cut=encoded.cut, total=len(rows)))
    set_seed(job.seed)  # a new head, and networks from nothing, begin at random
    plain: Any = task.load(source, schema).model
    _drop(plain, settings.dropout)
    if job.previous is not None:
        heads.to_learnt(plain, objective)
    body = describe(source)
    half = checkpoints.half(job.scratch, lambda: _half(settings.precision, body))
    if half and not torch.cuda.is_available():
        attention.use(plain)
    limit = settings.batch_tokens or _budget(body, int(encoded.costs.max()))
    # Few rows (an update) still make steps enough to learn something in.
    size = min(settings.batch_rows, max(_SMALLEST, len(rows) // _STEPS))
    planned = order(encoded.costs, settings.epochs, size, limit, job.seed)
    course = Course(job, settings, planned, limit, encoded, held, objective, half, task)
    model, figures = run(course, wrap(plain), report)
    plain = unwrap(model)
    attention.restore(plain)
    heads.to_given(plain, objective)
    _save(job, plain, processor)
    write_card(job.out, start_card(job, "transformers", schema, settings.model_dump()))
    _sweep(job.scratch)
    if figures["steps_allowed"] < figures["steps_planned"]:
        end, steps = int(figures["steps_allowed"]), int(figures["steps_planned"])
        notes.append(t("training.note_replanned_done", end=end, steps=steps))
    figures |= {"seconds": perf_counter() - start, "rows": float(len(rows))}
    return TrainResult(figures, tuple(notes))


def _half(wanted: str, body: Body) -> bool:
    """Whether to compute in bfloat16."""
    import torch

    if wanted != "auto":
        return wanted == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return precision.prefers_bf16() and not body.convolves


def _drop(model: Any, share: float | None) -> None:
    """Sets every dropout of the model; None leaves them as the base has them."""
    import torch

    if share is None:
        return
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        # Attention keeps its share as a number in many models.
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _save(job: TrainJob, model: Any, processor: Any) -> None:
    model.save_pretrained(job.out)
    processor.save(job.out)


def _sweep(scratch: Path) -> None:
    """Checkpoints are private and large: they go once the version stands."""
    for folder in scratch.glob("checkpoint-*"):
        shutil.rmtree(folder)
