"""Low-rank adapters that learn direction and size of the weights apart (Liu and others, 2024,
"DoRA: Weight-Decomposed Low-Rank Adaptation"): nearer to all weights at low ranks than `lora`, and
slower.
"""

from __future__ import annotations

from feilun.training.methods import lora

__all__ = ["Method", "Settings"]


class Settings(lora.Settings):
    """``[training.dora]``."""


class Method(lora.Method):
    """As `lora`, with a size for each output of a layer."""

    on_request = True
    options = {"use_dora": True}  # noqa: RUF012 - declared by lora
