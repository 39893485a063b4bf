"""A model soup: the mean of the weights of several trainings of one architecture, which costs no
more to ask than one of them (Wortsman and others 2022, "Model soups").

The versions of one method, such as those of several seeds, are tried from the best on; one is added
where the mean is no worse on the validation rows with it (the greedy soup).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import Field

from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.errors import UsageError
from feilun.messages import t
from feilun.metrics.comparison import values
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import Rows, read, start_card
from feilun.training.settings import MethodSettings, read_by_encoders
from feilun.types import Progress, Schema

__all__ = ["Settings", "combines", "estimate", "every", "least_rows", "needs_base", "needs_torch",
           "on_request", "order", "supports", "train", "write_mean"]  # fmt: skip

order = 4
needs_base = False
needs_torch = True
least_rows = 0
on_request = True
combines = "weights"
every = True

_WEIGHTS = "model.safetensors"
_MOST = 8  # versions that are tried, the newest


class Settings(MethodSettings):
    """``[training.soup]``."""

    of: tuple[str, ...] = Field(
        ("full",),
        min_length=1,
        max_length=1,
        description="method whose versions are averaged, such as those of several training.seed",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever an encoder learns."""
    return read_by_encoders(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """The validation rows are answered twice for each version."""
    seconds = 20.0 + 0.02 * rows.validation * 2 * _MOST
    return Estimate(3_000_000_000, seconds, {"rows": float(rows.validation)})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a version that transformers reads. Raises `UsageError` for fewer than two versions of
    one architecture."""
    start = perf_counter()
    dataset = Dataset(job.data)
    schema, rows = dataset.schema, read(dataset, "validation")
    able = [one for one in job.members[-_MOST:] if _fits(one, schema)]
    shapes = [_shapes(one) for one in able]
    able = [one for one, shape in zip(able, shapes, strict=True) if shape == shapes[-1]]
    if len(able) < 2:
        raise UsageError("training.too_few_to_average", count=len(able), method=settings.of[0])
    scored = []
    for number, folder in enumerate(able):
        report(Progress("train", number, 2 * len(able), "versions"))
        scored.append((_fitness(folder, rows, schema, job.threads), -number, folder))
    scored.sort(key=lambda one: one[:2], reverse=True)
    best, taken = scored[0][0], [scored[0][2]]
    shutil.copytree(taken[0], job.out, dirs_exist_ok=True, copy_function=shutil.copyfile)
    trial = job.scratch / "soup"
    for number, (_, _, folder) in enumerate(scored[1:], len(able)):
        report(Progress("train", number, 2 * len(able), "versions"))
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(taken[0], trial, copy_function=shutil.copyfile)
        write_mean([*taken, folder], trial)
        fitness = _fitness(trial, rows, schema, job.threads)
        if fitness >= best:
            best = fitness
            taken.append(folder)
    if len(taken) > 1:
        write_mean(taken, job.out)
    write_card(job.out, start_card(job, "transformers", schema, settings.model_dump()))
    note = t("training.note_soup", kept=len(taken), of=len(able), rows=len(rows))
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(len(rows)),
        "versions": float(len(taken)),
    }
    return TrainResult(figures, (note,))


def _fits(folder: Path, schema: Schema) -> bool:
    card = read_card(folder)
    same = card.format == "transformers" and card.schema.labels == schema.labels
    return same and (folder / _WEIGHTS).is_file()


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(folder / _WEIGHTS, "np") as tensors:
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118


def write_mean(folders: Sequence[Path], out: Path) -> None:
    """The mean of the weights; what is no floating number is the first one's."""
    from safetensors.torch import load_file, save_file

    total = load_file(folders[0] / _WEIGHTS)
    floating = [name for name, tensor in total.items() if tensor.is_floating_point()]
    kinds = {name: total[name].dtype for name in floating}
    for folder in folders[1:]:
        more = load_file(folder / _WEIGHTS)
        for name in floating:
            total[name] = total[name].double() + more[name].double()
    for name in floating:
        total[name] = (total[name].double() / len(folders)).to(kinds[name]).contiguous()
    save_file(total, out / _WEIGHTS, metadata={"format": "pt"})


def _fitness(folder: Path, rows: Rows, schema: Schema, threads: int | None) -> float:
    """What the version is worth on the validation rows: more is better."""
    family = tasks.of(schema).family
    if not len(rows):
        return 0.0
    with closing(open_engine(folder, threads=threads)) as engine:
        raw = engine.raw([rows.items[place] for place in range(len(rows))])
    metric = family.fitness or family.primary
    measured = family.measured(rows.labels, raw, schema.labels, family.neutral())
    value = values(measured)[metric]
    sign = 1.0 if family.metrics.get(metric, True) else -1.0
    return -np.inf if value is None else sign * value
