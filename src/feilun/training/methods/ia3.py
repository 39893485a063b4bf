"""One factor for each output of a layer learns, and nothing else: the fewest trained parameters.

IA³ (Liu and others, 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
In-Context Learning"); there for keys, values and one layer of each block, here for all linear ones.
"""

from __future__ import annotations

from typing import Any

from feilun.training.adapters import AdapterMethod, Peft
from feilun.training.body import Body
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import TrainJob

__all__ = ["Method", "Settings"]


class Settings(FineTuneSettings):
    """``[training.ia3]``."""


class Method(AdapterMethod[Settings]):
    """A factor an output of every linear layer."""

    rate = 1e-2

    def parameters(self, body: Body, settings: Settings) -> int:
        return 9 * body.layers * body.width

    def adaptation(self, job: TrainJob, settings: Settings) -> Peft:
        def config(layers: list[str], head: list[str] | None, steps: int) -> Any:
            from peft import IA3Config

            return IA3Config(target_modules=layers, feedforward_modules=[], modules_to_save=head)

        return Peft(job, config)
