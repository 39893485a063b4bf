"""One fine-tuning by transformers' Trainer: our batches, our checkpoints, signs of life.

The whole training is one epoch to the Trainer: its batches are planned beforehand, and where an
epoch of ours ends is a step like others, after which it evaluates and saves. So a resumed run skips
to its batch and goes on with the same random state: the result is the same to the last bit.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun.errors import CorruptArtifact, EnvironmentProblem, UsageError
from feilun.families.objective import IGNORED
from feilun.messages import t
from feilun.metrics.comparison import values
from feilun.training import checkpoints
from feilun.training.batches import order_once
from feilun.training.job import Report, TrainJob
from feilun.training.steering import RANK, Course, Steering
from feilun.types import Progress

__all__ = ["TRACKERS", "run"]

TRACKERS = ("mlflow", "swanlab", "tensorboard", "wandb")
"""Trackers that the Trainer speaks to; each is a package of this name."""

_WEIGHTS = "learned.safetensors"
_AVERAGES = "averages.safetensors"
_LOGS = 200  # times that loss and metrics are written down in a training


def run(course: Course, model: Any, report: Report) -> tuple[Any, dict[str, float]]:
    """Trains `model`, from the last whole checkpoint if there is one, and returns it as it was
    after its best epoch, with the figures of the training.

    Raises `EnvironmentProblem` when a tracker's package is missing, `UsageError` when the loss is
    no longer a number.
    """
    counts = _Counts()
    trainer, steering = _mixed(course, counts, report, model)
    last = checkpoints.last_sealed(course.job.scratch)
    resumed = checkpoints.step_of(last) if last else 0
    if last:
        note = t("training.note_resumed", step=resumed, steps=course.ends[-1])
        report(Progress("train", resumed, course.ends[-1], "steps", note=note))
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if course.robust is not None and course.robust.average is not None:
        course.robust.average.swap(trainer.model)
    state = trainer.state
    step = state.best_global_step if len(course.held) else state.global_step
    figures = {
        "steps": float(state.global_step),
        "steps_planned": float(course.ends[-1]),
        "steps_allowed": float(steering.replan.end),
        "resumed_from_step": float(resumed),
        "epochs": float(sum(end <= state.global_step for end in course.ends)),
        "best_epoch": float(1 + course.ends.index(step)) if step in course.ends else 0.0,
        **{f"validation_{k}": v for k, v in steering.validation.get(step, {}).items()},
    }
    return trainer.model, figures


def _mixed(course: Course, counts: _Counts, report: Report, model: Any) -> tuple[Any, Any]:
    """Our trainer and its steering callback. The classes are made here, because their bases live
    in a package that takes seconds to import."""
    from transformers import PrinterCallback, Trainer, TrainerCallback

    steering = type("Steering", (Steering, TrainerCallback), {})(course, report)
    ours: Any = type("OurTrainer", (_Ours, Trainer), {"course": course, "counts": counts})
    trainer = ours(
        model=model,
        args=_arguments(course),
        train_dataset=course.rows,
        eval_dataset=course.held if len(course.held) else None,
        compute_loss_func=_loss(course, counts, model),
        compute_metrics=_scores(course),
        preprocess_logits_for_metrics=_reduced(course),
        callbacks=[steering],
    )
    trainer._loss_shifts_labels = False  # ours stand where the outputs stand
    trainer.remove_callback(PrinterCallback)
    return trainer, steering


@dataclass(slots=True)
class _Counts:
    """What was answered rightly since the last log line, as the loss sees it pass."""

    right: int = 0
    rows: int = 0

    def add(self, found: tuple[int, int] | None) -> None:
        if found is not None:
            self.right += found[0]
            self.rows += found[1]

    def share(self) -> float | None:
        share = self.right / self.rows if self.rows else None
        self.right = self.rows = 0
        return share


def _arguments(course: Course) -> Any:
    import torch
    from transformers import TrainingArguments

    settings, job = course.settings, course.job
    steps = course.ends[-1]
    evaluates = len(course.held) > 0
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(job.scratch),
        num_train_epochs=1,
        per_device_train_batch_size=settings.batch_rows,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        bf16=course.half,
        use_cpu=not gpu,
        seed=job.seed,
        logging_steps=max(1, steps // _LOGS),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=_trackers(job),
        run_name=f"{job.task}-{job.method}",
        # Epochs end at uneven steps, which the steering callback knows; the last one is here.
        eval_strategy="steps" if evaluates else "no",
        eval_steps=steps if evaluates else None,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=evaluates,
        metric_for_best_model=RANK if evaluates else None,
        greater_is_better=True,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
    )


def _trackers(job: TrainJob) -> list[str] | str:
    for name in job.trackers:
        if name not in TRACKERS:
            raise UsageError("training.unknown_tracker", name=name, options=TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise EnvironmentProblem("training.needs_package", what=name, package=name)
    if "tensorboard" in job.trackers and job.logs is not None:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(job.logs))
    return list(job.trackers) or "none"


def _loss(course: Course, counts: _Counts, model: Any) -> Callable[..., Any]:
    import torch

    objective = course.objective

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        found = outputs.logits.float()
        if torch.is_grad_enabled():
            counts.add(objective.right(found, labels))
        total = objective.loss(found, labels)
        # Targets of all batches that are accumulated count alike.
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        mean: torch.Tensor = total / count
        if course.robust is not None and torch.is_grad_enabled():
            mean = course.robust.loss(total, found, labels, count)
        more = course.adaptation.penalty(model) if torch.is_grad_enabled() else None
        return mean if more is None else mean + more / course.settings.accumulation

    return loss


def _reduced(course: Course) -> Callable[..., Any]:
    def reduced(outputs: Any, labels: Any) -> Any:
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return course.objective.reduced(logits.float(), labels)

    return reduced


def _scores(course: Course) -> Callable[[Any], dict[str, float]]:
    def scores(prediction: Any) -> dict[str, float]:
        outputs, targets = prediction.predictions, prediction.label_ids
        if not np.isfinite(outputs).all():
            raise UsageError("training.diverged", learning_rate=course.settings.learning_rate)
        measured, loss = course.objective.validated(outputs, targets)
        score = values(measured)[course.metric] or 0.0
        sign = 1.0 if measured.higher_is_better.get(course.metric, True) else -1.0
        # Among epochs of equal score the one that is surer of the truth is the better.
        return {course.metric: score, RANK: sign * score - 1e-6 * loss}

    return scores


def _learned(model: Any) -> dict[str, Any]:
    """The tensors that training changes: weights that have gradients, and running statistics."""
    weights = {n: w.detach() for n, w in model.named_parameters() if w.requires_grad}
    kept = model.state_dict().keys()  # what a model makes anew (angles of positions) is not
    return weights | {n: b for n, b in model.named_buffers() if n in kept}


class _Ours:
    """What our trainer does in its own way; mixed into transformers' Trainer."""

    course: Course
    counts: _Counts
    model: Any
    args: Any
    state: Any

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import DataLoader

        course = self.course
        return DataLoader(
            course.rows,  # type: ignore[arg-type]
            batch_sampler=course.order.batches,
            collate_fn=course.rows.collate,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        from torch.utils.data import DataLoader

        held = self.course.held
        return DataLoader(
            held,  # type: ignore[arg-type]
            batch_sampler=order_once(
                held.costs, self.course.settings.batch_rows, self.course.limit
            ),
            collate_fn=held.collate,
        )

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = super()._prepare_inputs(inputs)  # type: ignore[misc]
        layers = self.course.layers
        return found if layers is None else layers.given(found)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Any:
        above: Any = super().training_step  # type: ignore[misc]
        robust = self.course.robust
        if robust is None:
            return above(model, inputs, num_items_in_batch)
        inputs = robust.doubled(inputs)
        return robust.step(lambda: above(model, dict(inputs), num_items_in_batch), model)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Judges the averages of the weights, where there are any."""
        average = self.course.robust.average if self.course.robust else None
        if average is None:
            found: dict[str, float] = super().evaluate(*args, **kwargs)  # type: ignore[misc]
            return found
        average.swap(self.model)
        try:
            found = super().evaluate(*args, **kwargs)  # type: ignore[misc]
        finally:
            average.swap(self.model)
        return found

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes what learns, under the names that it has here.

        transformers would write names of older releases for some models (ViT) and, finding others
        here, quietly go on with fresh weights.
        """
        from safetensors.torch import save_file

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in _learned(self.model).items()}
        save_file(tensors, folder / _WEIGHTS)
        if self.course.robust is not None and self.course.robust.average is not None:
            save_file(self.course.robust.average.weights, folder / _AVERAGES)

    def _load_from_checkpoint(self, folder: str, model: Any = None) -> None:
        import torch
        from safetensors.torch import load_file

        kept, own = load_file(Path(folder) / _WEIGHTS), _learned(model or self.model)
        if kept.keys() != own.keys():
            raise CorruptArtifact("training.bad_checkpoint", folder=folder)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(kept[name])
        if self.course.robust is not None and self.course.robust.average is not None:
            self.course.robust.average.weights = load_file(Path(folder) / _AVERAGES)

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        share = self.counts.share() if "loss" in logs else None
        if share is not None:
            logs["accuracy"] = share
        super().log(logs, start_time)  # type: ignore[misc]
