"""Fine-tuning, what full and lora share: from a job to a version that transformers reads.

`finetune` makes a `Lesson` of a data version, `teach` trains it. What has rows of another kind (a
corpus) makes its own lesson.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from feilun.engines.card import write_card
from feilun.errors import InvalidData, UsageError
from feilun.families.objective import Objective
from feilun.messages import t
from feilun.modalities import attached
from feilun.modalities.checkpoints import knows
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import (
    attention,
    augment,
    augment_trial,
    checkpoints,
    frozen,
    heads,
    precision,
    probe,
    robust,
)
from feilun.training.adaptation import Adaptation
from feilun.training.batches import EncodedRows, Examples, Labelled, Order, order
from feilun.training.body import Body, describe
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.fresh import source_of
from feilun.training.frozen import FrozenLayers
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import (
    Rows,
    drawn,
    learning_count,
    learning_rows,
    read,
    schema_of,
    start_card,
)
from feilun.training.settings import read_by_encoders
from feilun.types import Progress, Schema

__all__ = [
    "Lesson",
    "SettingsT",
    "estimate",
    "finetune",
    "lighter",
    "settle",
    "supports",
    "teach",
]

_BUDGET = 8192  # tokens of a batch, padding included, unless its rows are larger
_STEPS = 8  # batches of an epoch at least, unless they would be smaller than that
_JUDGES = 5000  # validation rows that choose the epoch at most; all of them judge the version later
# Of `Machine.seconds`, measured with MiniLM on processors with and without AMX; adapters are many
# small products, measured with SmolLM2.
_BESIDE, _BESIDE_ADAPTERS = 0.35, 1.2
_CONVOLVING = 3.0  # times as long as bare products of float32, measured with small networks
_LONGER, _FASTER = 1.5, 2.0  # epochs and step size where lower layers are frozen
_LONGEST = 4  # times a usual text
_NAMED = 5  # rows that a note names
_STEP = 0.02  # seconds of a step whatever its size, measured with small networks on pictures


@dataclass(slots=True)
class Lesson:
    """What is learnt from what, ready for the first step. `model` is the transformers model; `save`
    writes what belongs beside its weights; `format` and `extra` go into the card."""

    schema: Schema
    model: Any
    rows: Examples
    held: Examples
    objective: Objective
    body: Body
    save: Callable[[Path], None]
    format: str = "transformers"
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    order: Order | None = None
    """The batches, where they are not made of `rows` and the settings."""
    sample: Callable[[Any], str] | None = None
    """What to tell of the model at each judgement, such as a text that it writes."""
    probed: bool = False
    """Whether the model's last layer begins as a linear probe."""


SettingsT = TypeVar("SettingsT", bound=FineTuneSettings)


def settle(
    job: TrainJob, settings: SettingsT, rate: float, share: float | None = None
) -> SettingsT:
    """`settings` with nothing left open. `rate` is the method's step size for a width of 384, of
    which the family takes a `share`, by default its own; wider bases take smaller steps, networks
    from nothing larger ones, and updates a share of either."""
    source = job.previous or job.base
    pretrained = isinstance(source, Path)
    width = max(1, describe(source).width)
    family = tasks.get(job.task).family
    rate *= family.rate if share is None else share
    usual = min(2 * rate, max(rate / 10, rate * 384 / width)) if pretrained else 1e-3
    epochs = settings.epochs or (family.epochs if pretrained else 30)
    settled = settings.model_copy(
        update={
            "epochs": epochs,
            "batch_rows": settings.batch_rows or family.batch_rows,
            "patience": settings.patience or max(2, epochs // 4),
            "learning_rate": settings.learning_rate or usual,
            "frozen_layers": "none",
        }
    )
    layers = settings.frozen_layers
    if isinstance(layers, str):
        return settled
    return (
        _frozen(settings, settled, layers)
        if layers
        else settled.model_copy(update={"frozen_layers": 0})
    )


def _frozen(asked: SettingsT, settled: SettingsT, layers: int) -> SettingsT:
    """`settled` with frozen layers: fewer weights learn, so that they take more and larger steps,
    where `asked` leaves that open (measured, docs/decisions/frozen-layers.md)."""
    epochs = asked.epochs or math.ceil(_LONGER * (settled.epochs or 1))
    rate = asked.learning_rate or _FASTER * (settled.learning_rate or 1e-4)
    patience = asked.patience or max(2, epochs // 4)
    return settled.model_copy(
        update={
            "frozen_layers": layers,
            "epochs": epochs,
            "learning_rate": rate,
            "patience": patience,
        }
    )


def lighter(job: TrainJob, asked: SettingsT, settled: SettingsT) -> SettingsT | None:
    """`settled` with the lower half of the layers frozen, which takes less time; None where that
    is not left to us or the base has no such layers."""
    source = job.previous or job.base
    if asked.frozen_layers != "auto" or settled.frozen_layers != "none":
        return None
    if not isinstance(source, Path) or not describe(source).stacked:
        return None
    return _frozen(asked, settled, describe(source).layers // 2)


def estimate(
    job: TrainJob, settings: Any, rows: DataStats, machine: Machine, trained: float
) -> Estimate:
    """`trained` is the share of the parameters that learn. `settings` are settled."""
    body = describe(job.previous or job.base)
    used = learning_count(job, rows.train)
    used = min(used, settings.max_rows or used)
    used = augment.counted(job, settings.augment, settings.augment_share, used)
    largest = rows.max_cost or math.ceil(_LONGEST * body.usual)
    budget = settings.batch_tokens or _budget(body, largest)
    batch = min(budget, settings.batch_rows * max(1, largest))
    passes = (3 if trained > 0.5 else 2) * robust.passes(settings)
    layers = getattr(settings, "frozen_layers", "none")
    still = layers / body.layers if isinstance(layers, int) and body.stacked else 0.0
    if layers != "none":  # the tables of the embeddings do not learn, nor do layers below
        trained *= body.active / body.parameters * (1 - still)
    # Weights, and for what learns a gradient and AdamW's two moments; twice the weights in passing.
    memory = body.bytes * (2 + 3 * trained) + body.activations(batch) * (1 - still) + 800e6
    mean_cost = rows.mean_cost or body.usual
    work = body.forward(mean_cost) * (
        (used * passes + rows.validation) * settings.epochs * (1 - still)
        + (used + rows.validation) * still
        + (min(used, probe.ROWS) if _probed(job) else 0)
    )
    steps = settings.epochs * max(1.0, used * max(1.0, mean_cost) / batch)
    computing = (
        _CONVOLVING * work / (machine.flops_fp32 or machine.flops)
        if body.convolves
        else machine.seconds(work, _BESIDE if trained > 0.5 else _BESIDE_ADAPTERS)
    )
    seconds = 10.0 + computing + steps * (_STEP + body.bytes * trained * 7 / 8e9)
    kept = 4.0 * body.width * mean_cost / body.per_token if still else 0.0
    detail = {
        "rows": float(used),
        "epochs": float(settings.epochs),
        "parameters": float(body.parameters),
        "batch_cost": float(batch),
        "steps": float(_steps(job, settings, used)),
        "disk_bytes": 3.0 * body.bytes * (1 + 2 * trained) + kept * (used + rows.validation),
    }
    return Estimate(int(memory), seconds, detail)


def _steps(job: TrainJob, settings: Any, rows: int) -> int:
    """Steps of the optimizer at least: batches may be smaller than their rows allow."""
    batch = _batch_rows(tasks.get(job.task).family.smallest_batch, settings, rows)
    return math.ceil(int(settings.epochs) * rows / batch / int(settings.accumulation))


def _batch_rows(smallest: int, settings: Any, rows: int) -> int:
    """Rows of a batch at most. Few rows (an update) still make steps enough to learn something."""
    most = int(settings.batch_rows)
    return min(most, max(min(smallest, most), rows // _STEPS))


def _budget(body: Body, largest: int) -> int:
    """Cost units of a batch: as many positions of the network as 8,192 tokens are."""
    return max(round(_BUDGET * body.per_token), 16 * largest)


def finetune(
    job: TrainJob,
    settings: Any,
    report: Report,
    adaptation: Adaptation | None = None,
) -> TrainResult:
    """Trains the rows of a data version and writes the version. `settings` are settled;
    `adaptation` is what learns, by default all weights.

    Raises `InvalidData` where no row teaches anything.
    """
    from transformers import set_seed

    start = perf_counter()
    _prepare(job)
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    task = tasks.get(job.task)
    source = source_of(job, dataset, report)
    rows, notes = drawn(learning_rows(job, dataset), settings.max_rows, job.seed)
    report(Progress("train", 0, len(rows), "rows", note=t("training.note_opening")))
    own = rows.labels
    found = augment_trial.decided(job, settings, rows, schema)
    if found.added is not None:
        rows = found.added.more
    notes += found.notes
    judges = drawn(read(dataset, "validation"), _JUDGES, job.seed)[0]
    lessons = task.lessons(source, schema)
    if lessons is None:
        objective = task.family.objective(rows.labels, schema.labels, settings, own)
        processor = task.processor(source, schema.settings)
        reader: Any = Labelled(processor, objective)
        save, name = processor.save, "transformers"
    else:
        objective, reader, save, name = lessons.objective, lessons, lessons.save, lessons.format
    encoded = EncodedRows(rows, reader)
    extra = dict(lessons.extra) if lessons else {}
    notes += lessons.notes if lessons else ()
    held = EncodedRows(judges, reader)
    if not len(encoded):
        raise InvalidData("training.nothing_taught", rows=len(rows))
    if encoded.empty:
        notes.append(_untaught(rows, encoded.empty))
    if encoded.cut:
        notes.append(t("training.note_cut", cut=encoded.cut, total=len(rows)))
    set_seed(job.seed)  # a new head, and networks from nothing, begin at random
    model: Any = task.load(source, schema).model
    if job.previous is not None:
        heads.to_learnt(model, objective)
    lesson = Lesson(
        schema, model, encoded, held, objective, describe(source), save, name, extra, notes
    )
    if _probed(job) and isinstance(source, Path):
        lesson.probed = not knows(source, task.family.outputs(schema.labels))
    figures = teach(job, settings, lesson, report, adaptation)
    figures |= {"seconds": perf_counter() - start, "rows": float(len(rows))}
    return TrainResult(figures, tuple(lesson.notes))


def _probed(job: TrainJob) -> bool:
    """Whether a last layer that is new begins as a linear probe of the base."""
    pretrained = job.previous is None and isinstance(job.base, Path)
    return pretrained and tasks.get(job.task).family.probed


def _untaught(rows: Rows, places: Sequence[int]) -> str:
    named = [rows.ids[place] for place in places[:_NAMED]] if rows.ids else []
    named += ["…"] if len(places) > len(named) else []
    return t("training.note_empty", empty=len(places), total=len(rows), rows=named)


def _prepare(job: TrainJob) -> None:
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(job.threads or precision.cores())
    checkpoints.claim(job)


def teach(
    job: TrainJob,
    settings: Any,
    lesson: Lesson,
    report: Report,
    adaptation: Adaptation | None = None,
) -> dict[str, float]:
    """Trains `lesson`, writes the version into ``job.out`` and returns the figures; notes are added
    to the lesson's. An update takes smaller steps."""
    import torch

    from feilun.training.steering import Course
    from feilun.training.trainer import run

    _prepare(job)
    task = tasks.get(job.task)
    if job.previous is not None:
        slower = settings.learning_rate * settings.update_rate
        settings = settings.model_copy(update={"learning_rate": slower})
    model, body, rows = lesson.model, lesson.body, lesson.rows
    _drop(model, settings.dropout)
    half = checkpoints.half(job.scratch, lambda: _half(settings.precision, body))
    if half and not torch.cuda.is_available():
        attention.use(model)
    limit = settings.batch_tokens or _budget(body, int(rows.costs.max()))
    size = _batch_rows(task.family.smallest_batch, settings, len(rows))
    planned = lesson.order or order(rows.costs, settings.epochs, size, limit, job.seed)
    held, objective = lesson.held, lesson.objective
    if lesson.probed and checkpoints.last_sealed(job.scratch) is None:
        probe.fit(model, rows, objective, limit, half, job.seed, report)
    adaptation = adaptation or Adaptation()
    layers = _freeze(job, settings, lesson, adaptation, half)
    if layers is not None:
        rows = frozen.keep(job.scratch, "train", rows, layers, report)
        held = frozen.keep(job.scratch, "held", held, layers, report)
    course = Course(
        job,
        settings,
        planned,
        limit,
        rows,
        held,
        objective,
        half,
        task,
        adaptation,
        lesson.sample,
        layers,
        robust.Robust(settings, objective) if robust.wanted(settings) else None,
    )
    if course.robust is not None:
        course.robust.watch(model, layers)
    learner = adaptation.wrap(model, rows, course.ends[-1])
    sizes = [one.numel() for one in learner.parameters() if one.requires_grad]
    trained, figures = run(course, learner, report)
    figures["trained_parameters"] = float(sum(sizes))
    plain = adaptation.unwrap(trained)
    if layers is not None:
        layers.restore()
    attention.restore(plain)
    heads.to_given(plain, lesson.objective)
    attached.detach(plain, job.out)
    plain.save_pretrained(job.out)
    lesson.save(job.out)
    card = start_card(job, lesson.format, lesson.schema, settings.model_dump())
    write_card(job.out, replace(card, extra=lesson.extra))
    _sweep(job.scratch)
    if figures["steps_allowed"] < figures["steps_planned"]:
        end, steps = int(figures["steps_allowed"]), int(figures["steps_planned"])
        lesson.notes.append(t("training.note_replanned_done", end=end, steps=steps))
    return figures


def _freeze(
    job: TrainJob, settings: Any, lesson: Lesson, adaptation: Adaptation, half: bool
) -> FrozenLayers | None:
    """Freezes what the settings want. Raises `UsageError` where the network has no such layers, or
    what learns does not stand above them."""
    count = getattr(settings, "frozen_layers", "none")
    if not isinstance(count, int):
        return None
    if not adaptation.above_frozen:
        raise UsageError("training.frozen_below", method=job.method)
    first = lesson.rows.collate([lesson.rows[n] for n in range(min(4, len(lesson.rows)))])
    batch = {name: array for name, array in first.items() if name != "labels"}
    try:
        found = FrozenLayers(lesson.model, count, half, batch)
    except ValueError:
        most = lesson.body.layers - 1 if lesson.body.stacked else 0
        raise UsageError("training.no_frozen_layers", layers=count, most=most) from None
    return found if count else None


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever a network reads and is taught, of a base of the right kind."""
    unread = read_by_encoders(task)
    if unread is None and isinstance(base, Path):
        return task.unfit(base)
    return unread


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


def _sweep(scratch: Path) -> None:
    """Checkpoints are private and large: they go once the version stands."""
    for folder in (*scratch.glob("checkpoint-*"), *scratch.glob(frozen.FOLDER)):
        shutil.rmtree(folder)
