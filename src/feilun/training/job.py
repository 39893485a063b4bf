"""What a training method is given and gives back: frozen values that travel as JSON.

A method is pure: local folders in, a folder out, progress by callback. The same job runs in this
process, in a child (`feilun.training.child`), or elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from feilun.messages.sentences import from_kept, to_kept
from feilun.tasks.base import TaskBase
from feilun.types import Progress

__all__ = ["DataStats", "Estimate", "Machine", "Method", "Report", "TrainJob", "TrainResult"]

_PATHS = ("data", "out", "scratch", "previous", "logs", "unlabelled")

Report = Callable[[Progress], None]
"""Takes the signs of life of a long step."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training, complete: nothing else decides its result.

    `base` is a local folder, a name such as ``scratch:vit``, or None for methods that need none.
    `previous` is a version folder of the same method to continue from. `out` is an empty folder for
    the version; `scratch` holds checkpoints, outlives kills and is emptied on success. `new_rows`
    are the ids of the rows that an update adds; `replay` old rows go beside each of them.
    `trackers` (tensorboard, mlflow, wandb, swanlab) get live metrics; `logs` is where TensorBoard's
    files go, in `scratch` by default. `deadline` is the Unix time by which it should be over: a
    method that can learn from less, or for less long, does so in time, and says it. `members` are
    the folders of the versions that a method which ``combines`` works on; `unlabelled` is the
    folder of a data version of rows without a label. `folds` is into how many parts the training
    rows are dealt, each to be answered by a training without it (0: none). `drawn`: answers that
    were drawn at random to judge train as well, by a method that is ``folded``.
    """

    method: str
    task: str
    data: Path
    base: Path | str | None
    out: Path
    scratch: Path
    previous: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    task_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int | None = None
    trackers: tuple[str, ...] = ()
    logs: Path | None = None
    new_rows: tuple[str, ...] = ()
    replay: float = 1.0
    deadline: float | None = None
    members: tuple[Path, ...] = ()
    unlabelled: Path | None = None
    folds: int = 0
    drawn: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal job back. A base folder stays a folder."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _PATHS:
            raw[name] = None if raw[name] is None else str(raw[name])
        if isinstance(self.base, Path):
            raw["base"] = {"folder": str(self.base)}
        raw["settings"] = dict(self.settings)
        raw["task_settings"] = dict(self.task_settings)
        raw["trackers"] = list(self.trackers)
        raw["new_rows"] = list(self.new_rows)
        raw["members"] = [str(one) for one in self.members]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TrainJob:
        """The job that `to_json` wrote."""
        values = dict(raw)
        for name in _PATHS:
            values[name] = None if values[name] is None else Path(values[name])
        if isinstance(values["base"], Mapping):
            values["base"] = Path(values["base"]["folder"])
        values["trackers"] = tuple(values["trackers"])
        values["new_rows"] = tuple(values["new_rows"])
        values["members"] = tuple(Path(one) for one in values.get("members", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What is worth telling of a finished training.

    `figures`: ``seconds``, ``rows``, ``epochs``, ``steps``, ``resumed_from_step``, ... as far as
    the method has them. `notes` are sentences in the language in force.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal result back."""
        return {"figures": dict(self.figures), "notes": [to_kept(note) for note in self.notes]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TrainResult:
        """The result that `to_json` wrote."""
        return cls(dict(raw["figures"]), tuple(map(from_kept, raw["notes"])))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a method will need: the peak of `memory_bytes` above an idle Python, wall-clock
    `seconds`, and in `detail` the figures they come from."""

    memory_bytes: int
    seconds: float
    detail: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal estimate back."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Estimate:
        """The estimate that `to_json` wrote."""
        return cls(int(raw["memory_bytes"]), float(raw["seconds"]), dict(raw["detail"]))


@dataclass(frozen=True, slots=True)
class DataStats:
    """What planning knows of a data version: labelled rows of each split, training rows of each
    label, the cost of an item (tokens, pixels) as the task's processor counts it, and how many
    training rows state a JSON object (`Family.record`)."""

    train: int
    validation: int
    test: int
    labels: Mapping[str, int]
    mean_cost: float = 0.0
    max_cost: int = 0
    records: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives equal statistics back."""
        return {**asdict(self), "labels": dict(self.labels)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DataStats:
        """The statistics that `to_json` wrote."""
        return cls(**{**raw, "labels": dict(raw["labels"])})


@dataclass(frozen=True, slots=True)
class Machine:
    """Where training will run: processor `cores`, `memory_bytes` free, `disk_bytes` free, measured
    `flops` a second of matrix products in `precision` (``fp32`` or ``bf16``), and whether the
    extra `train` (torch and friends) is installed. `flops_fp32` are those of float32 whatever the
    precision; 0 where they are not known, and then `flops` are taken for them."""

    cores: int
    memory_bytes: int
    disk_bytes: int
    flops: float
    precision: str = "fp32"
    has_torch: bool = True
    flops_fp32: float = 0.0

    def seconds(self, work: float, beside: float = 0.25) -> float:
        """How long a network takes for `work` operations of matrix products.

        These reach nine tenths of the speed of bare ones. What is `beside` them (attention, norms,
        activations, the optimiser) is bound by memory, so that bfloat16 does not quicken it: it is
        counted in operations at the pace of float32, for each of `work`; by default what a forward
        pass in OpenVINO has of it. So one constant holds on processors where bfloat16 is 1.7 times
        as fast and where it is 6 times."""
        return work / (0.9 * self.flops) + beside * work / (self.flops_fp32 or self.flops)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal machine back."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Machine:
        """The machine that `to_json` wrote."""
        return cls(**raw)


class Method(Protocol):
    """What a file of ``training/methods`` offers, by itself or as a class ``Method`` that takes no
    arguments (as those that extend `feilun.training.adapters.AdapterMethod`). `order` orders the
    methods that auto tries; it leaves one out that has fewer than `least_rows` training rows,
    which would be learnt by heart.

    Optional: ``needs_folder = False`` for one whose base may begin from nothing, ``packed = True``
    for one that takes a GGUF base as the file that it is, ``default_base``, the starter of one that
    begins with another kind of base than its task's, ``taught(rows: DataStats) -> int`` for
    one that learns from some of the training rows alone, of which `least_rows` then speaks,
    ``lighter(job, asked, settled)``, which gives settings that need less time for nearly as much
    (None for none), and ``fallback``, the method that auto tries where this one does not fit. An
    estimate whose ``detail`` counts ``steps`` is not cut below what it takes to learn. A method
    that is another's fallback is not tried by auto otherwise, and one that is ``on_request`` never.
    ``folded = True`` says that it keeps what it answered out of fold
    (`feilun.training.out_of_fold`), and learns the rows of `feilun.training.rows.dataset_of`.

    ``unjudged = True`` lets it answer as the first version before any row can judge it, and
    ``interim = True`` says that it makes a quick version of the vectors of one that an encoder
    learned, which the next training goes past.

    One that ``combines`` gets versions at hand as `TrainJob.members`: ``"served"`` as they are
    served, ``"weights"`` as they were trained; its setting ``of`` names the methods whose versions
    these are, of which it gets the newest or, with ``every = True``, all.
    ``begins(settings)`` tells whether one that needs no base otherwise begins with one if these are
    its settings.
    """

    order: int
    needs_base: bool
    needs_torch: bool
    least_rows: int
    Settings: type[BaseModel]

    def supports(self, task: TaskBase, base: Path | str | None) -> str | None:
        """None where the method can learn the task, else the reason why not, in words."""
        ...

    def estimate(self, job: TrainJob, settings: Any, rows: DataStats, machine: Machine) -> Estimate:
        """What `train` will need for these rows on this machine; reads only small files."""
        ...

    def train(self, job: TrainJob, settings: Any, report: Report) -> TrainResult:
        """Trains and writes a version folder into ``job.out``."""
        ...
