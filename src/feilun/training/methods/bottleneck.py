"""After each block a small network of two layers learns, and nothing else (Houlsby and others,
2019, "Parameter-Efficient Transfer Learning for NLP"; one a block as in Pfeiffer and others, 2021).

They cannot be merged into weights: the version keeps them in ``attached/``, torch and OpenVINO
serve it, and a language model is not exported to GGUF.
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
    """``[training.bottleneck]``."""

    reduction: int = Field(
        16, ge=1, le=1024, description="how many times narrower than the block the adapter is"
    )


class Method(AdapterMethod[Settings]):
    """Down, GELU, up, and added, after each block."""

    rate = 1e-3
    needs_attention = True

    def parameters(self, body: Body, settings: Settings) -> int:
        return 2 * body.layers * body.width * max(1, body.width // settings.reduction)

    def adaptation(self, job: TrainJob, settings: Settings) -> Adaptation:
        return _Bottlenecks(settings.reduction)


class _Bottlenecks(Adaptation):
    above_frozen = False

    def __init__(self, reduction: int) -> None:
        self._reduction = reduction

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        if not attached.names(model):  # else an update goes on with its own
            widths = attached.blocks(model, first_row(rows))
            attached.add_bottlenecks(
                model, {name: (w, max(1, w // self._reduction)) for name, w in widths.items()}
            )
        freeze(model, set(attached.names(model)))
        return model
