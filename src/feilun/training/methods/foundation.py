"""A network that was trained on many other series forecasts these as it is.

The base is a model of series from a folder or a hub (TimesFM of transformers). Nothing is trained;
the validation rows say how wide intervals have to be, as for any method.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from pydantic import Field

from feilun.engines._foundation import read_at_most
from feilun.errors import UsageError
from feilun.messages import t
from feilun.modalities.series.network import config_of, keep, network_of, unfit
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.series import no_series, prepare, write_version
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 3
needs_base = True
needs_torch = True
least_rows = 0

_HORIZON = 14  # where none is set: steps from one origin of evaluation to the next
_ASKED = 3  # times that what is evaluated is forecast


class Settings(MethodSettings):
    """``[training.foundation]``."""

    context: int | None = Field(
        1024,
        ge=32,
        description="newest values before a forecast that the network reads, at most; more take "
        "longer, none means as many as it can",
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Series, with a network that forecasts them."""
    reason = no_series(task)
    return unfit(base) if reason is None and isinstance(base, Path) else reason


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the size of the network and the origins that are asked about."""
    source = job.previous or job.base
    if not isinstance(source, Path):
        return Estimate(0, 0.0)
    config, body = config_of(source), describe(network_of(source))
    context = read_at_most(config, settings.context)
    horizon = int(job.task_settings.get("horizon") or _HORIZON)
    origins = 1 + (rows.validation + rows.test) / horizon
    # One of the two types reads every series upside down, too.
    passes = 2 if config["model_type"] == "timesfm2_5" else 1
    work = passes * body.forward(context / int(config["patch_length"])) * origins
    seconds = 15.0 + _ASKED * machine.seconds(work)
    return Estimate(int(2 * body.bytes + 1e9), seconds, {"parameters": body.parameters})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `forecasts` version with a copy of the network."""
    source = job.previous or job.base
    if not isinstance(source, Path):
        raise UsageError("training.needs_folder", method=job.method, base=job.base)
    begin = perf_counter()
    found = prepare(job, Dataset(job.data))
    report(Progress("train", 0, 1, "series", note=t("training.note_opening")))
    keep(source, job.out)
    write_version(job, found, "foundation", settings.model_dump())
    report(Progress("train", 1, 1, "series"))
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(found.built.training.sum()),
        "series": float(len(found.state.names)),
        "season": float(found.state.season),
        "horizon": float(found.state.horizon),
    }
    return TrainResult(figures, found.notes)
