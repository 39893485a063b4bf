"""Methods by which a base stays as it is and little beside it learns: what they have in common."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from feilun.errors import InvalidData
from feilun.messages import t
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import finetune, heads
from feilun.training.adaptation import Adaptation
from feilun.training.batches import Examples
from feilun.training.body import Body, describe
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult

__all__ = ["AdapterMethod", "Peft", "first_row", "linear_layers"]

SettingsT = TypeVar("SettingsT", bound=FineTuneSettings)


class AdapterMethod(Generic[SettingsT]):
    """A `feilun.training.job.Method`. One that extends it names its step size `rate` for a width of
    384, the parameters that learn, and what learns; its settings are its file's ``Settings``."""

    order: int = 2
    needs_base: bool = True
    needs_torch: bool = True
    least_rows: int = 200
    on_request: bool = True
    """Auto takes lora alone of these; the others are asked for by name."""
    rate: ClassVar[float]
    needs_attention: ClassVar[bool] = False
    """Whether what learns stands in blocks that give vectors of places, as attention does."""

    @property
    def Settings(self) -> type[SettingsT]:  # noqa: N802 - a class
        """See the file."""
        found: type[SettingsT] = sys.modules[type(self).__module__].Settings
        return found

    def parameters(self, body: Body, settings: SettingsT) -> int:
        """How many parameters learn, besides the head; an estimate."""
        raise NotImplementedError

    def adaptation(self, job: TrainJob, settings: SettingsT) -> Adaptation:
        """What learns. `settings` are settled."""
        raise NotImplementedError

    def prepared(self, job: TrainJob, settings: SettingsT) -> TrainJob:
        """`job` with another base, where the method begins from one that it makes in
        ``job.scratch``. Default: as it is."""
        return job

    def supports(self, task: TaskBase, base: Path | str | None) -> str | None:
        """Whatever a network can be taught; see `finetune.supports`."""
        folder = isinstance(base, Path) and (base / "config.json").is_file()  # not one GGUF file
        if self.needs_attention and folder and describe(base).convolves:
            return t("training.reason_no_attention", base=Path(str(base)).name)
        return finetune.supports(task, base)

    def settle(self, job: TrainJob, settings: SettingsT) -> SettingsT:
        """`settings` with what is left open fixed by the base."""
        share = tasks.get(job.task).family.adapter_rate
        return finetune.settle(job, settings, self.rate, share)

    def lighter(self, job: TrainJob, asked: SettingsT, settled: SettingsT) -> SettingsT | None:
        """`settled` with lower layers frozen, where what learns stands above; see
        `finetune.lighter`."""
        if not self.adaptation(job, settled).above_frozen:
            return None
        return finetune.lighter(job, asked, settled)

    def estimate(
        self, job: TrainJob, settings: SettingsT, rows: DataStats, machine: Machine
    ) -> Estimate:
        """As full, but gradients and moments for what learns alone, and two thirds of the work."""
        body = describe(job.previous or job.base)
        share = min(1.0, self.parameters(body, settings) / max(1, body.parameters))
        return finetune.estimate(job, self.settle(job, settings), rows, machine, trained=share)

    def train(self, job: TrainJob, settings: SettingsT, report: Report) -> TrainResult:
        """Trains what the method adds, and the head; see `feilun.training.finetune`."""
        settings = self.settle(job, settings)
        job = self.prepared(job, settings)
        return finetune.finetune(job, settings, report, self.adaptation(job, settings))


class Peft(Adaptation):
    """Adapters of peft, kept in ``adapter/`` of the version and merged into its weights.

    `config` makes peft's configuration of the names of the layers to adapt, those of the layers
    that learn as they are (None: there is no head), and the steps of the training.
    """

    def __init__(self, job: TrainJob, config: Any) -> None:
        self._job = job
        self.config = config

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        """Raises `InvalidData` for a network without linear layers."""
        from peft import get_peft_model

        layers, head = linear_layers(self._job, model)
        return get_peft_model(model, self.config(layers, head, steps))

    def unwrap(self, model: Any) -> Any:
        _keep(self._job.out / "adapter", model)
        return self.merged(model)

    def merged(self, model: Any) -> Any:
        """The base's model with the adapters in its weights."""
        return model.merge_and_unload()


def linear_layers(job: TrainJob, model: Any) -> tuple[list[str], list[str] | None]:
    """The names of every linear layer but the head, which learns as it is, and the layer that gives
    the words of a language model, which stays; and the head's, where there is one.

    Raises `InvalidData` for a network without such layers.
    """
    import torch

    words = model.get_output_embeddings()
    head = None if words is not None else heads.name_of(model)
    layers = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and name != head and layer is not words
    ]
    if not layers:
        raise InvalidData("training.no_layers", base=job.base)
    return layers, [head] if head else None


def first_row(rows: Examples) -> dict[str, Any]:
    """What the network reads of the first row, as a batch; without what is right."""
    arrays = rows.collate([rows[0]])
    return {name: array for name, array in arrays.items() if name != "labels"}


def _keep(folder: Path, model: Any) -> None:
    """Writes the adapters alone, the same bytes on every machine: no path, sets in order."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8"))
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
