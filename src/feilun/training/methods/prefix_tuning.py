"""Keys and values before the first token learn, in every attention, and nothing else (Li and Liang,
2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation").

They begin as those of a row. They cannot be merged into weights: the version keeps them in
``attached/``, torch and OpenVINO serve it, and a language model is not exported to GGUF.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from feilun.modalities import attached
from feilun.training.adaptation import Adaptation, freeze
from feilun.training.adapters import AdapterMethod, first_row
from feilun.training.batches import Examples
from feilun.training.body import Body
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import TrainJob

__all__ = ["Method", "Settings"]


class Settings(FineTuneSettings):
    """``[training.prefix-tuning]``."""

    length: int = Field(16, ge=1, le=512, description="places before the first token that learn")


class Method(AdapterMethod[Settings]):
    """A key and a value for each place, head and layer."""

    rate = 1e-2
    needs_attention = True

    def parameters(self, body: Body, settings: Settings) -> int:
        return 2 * body.layers * settings.length * body.width

    def adaptation(self, job: TrainJob, settings: Settings) -> Adaptation:
        return _Prefixes(settings.length)


class _Prefixes(Adaptation):
    above_frozen = False

    def __init__(self, length: int) -> None:
        self._length = length

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        if not attached.names(model):  # else an update goes on with its own
            seen = attached.keys_and_values(model, first_row(rows))
            attached.add_prefixes(
                model,
                {
                    name: (_places(key, self._length), _places(value, self._length))
                    for name, (key, value) in seen.items()
                },
            )
        freeze(model, set(attached.names(model)))
        return model


def _places(seen: Any, length: int) -> Any:
    """The first `length` places of (heads, places, width), from the first again where there are
    fewer."""
    import torch

    return seen[:, torch.arange(length) % seen.shape[1]]
