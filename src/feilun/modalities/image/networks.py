"""Torch modules over pictures: ``forward`` takes the arrays of
`image.arrays.ImageProcessor.collate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData
from feilun.modalities import checkpoints

if TYPE_CHECKING:
    import torch

__all__ = ["SCRATCH", "classifier", "encoder"]

SCRATCH = ("scratch:resnet", "scratch:vit")
"""Bases that begin from nothing."""


def classifier(
    base: Path | str, outputs: Sequence[str], side: int, color: bool, problem: str | None
) -> torch.nn.Module:
    """Gives `outputs` (batch, outputs). Random weights come from torch's generator: seed it before.

    Raises `InvalidData` for a name that is none of `SCRATCH`.
    """
    from transformers import AutoModelForImageClassification

    if isinstance(base, Path):
        model: Any = checkpoints.read_classifier(
            AutoModelForImageClassification, base, outputs, problem
        )
    else:
        config = _scratch(base, side, 3 if color else 1)
        checkpoints.name_labels(config, outputs, problem)
        with checkpoints.quiet():
            model = AutoModelForImageClassification.from_config(config)
    module: torch.nn.Module = _modules()[0](model)
    return module.eval()


def encoder(base: Path) -> torch.nn.Module:
    """Gives the pooled last layer (batch, width); nothing in it learns."""
    from transformers import AutoModel

    module: torch.nn.Module = _modules()[1](checkpoints.read(AutoModel, base))
    return module.eval().requires_grad_(False)


def _scratch(base: str, side: int, channels: int) -> Any:
    """Small networks for pictures of about 8 to 64 pixels and some thousand rows."""
    from transformers import ResNetConfig, ViTConfig

    if base == "scratch:resnet":
        return ResNetConfig(
            num_channels=channels,
            embedding_size=32,
            hidden_sizes=[32, 64, 128],
            depths=[2, 2, 2],
            layer_type="basic",
        )
    if base == "scratch:vit":
        return ViTConfig(
            num_channels=channels,
            image_size=side,
            patch_size=max(1, side // 8),
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=192,
        )
    raise InvalidData("tasks.unknown_scratch", base=base, options=SCRATCH)


@cache
def _modules() -> tuple[type[Any], type[Any]]:
    import torch

    class ImageLogits(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(pixel_values=pixel_values).logits.float()
            return logits

    class ImageVectors(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            output = self.model(pixel_values=pixel_values)
            hidden: torch.Tensor = output.last_hidden_state.float()
            if hidden.dim() == 4:  # convolutions: (batch, width, rows, columns)
                return hidden.mean(dim=(2, 3))
            return hidden.mean(dim=1)

    return ImageLogits, ImageVectors
