"""As `prompt-tuning`, but the vectors of the virtual tokens learn through a small network that
relates them to one another (Liu and others, 2021, "GPT Understands, Too"), here beside the vectors
themselves: it begins by adding nothing.

The network is needed for learning alone: the version holds the vectors that it gave.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from feilun.training.body import Body
from feilun.training.job import TrainJob
from feilun.training.methods import prompt_tuning
from feilun.training.virtual_tokens import VirtualTokens

__all__ = ["Method", "Settings"]


class Settings(prompt_tuning.Settings):
    """``[training.p-tuning]``."""

    encoder: Literal["lstm", "mlp"] = Field(
        "lstm",
        description="the network behind the vectors: lstm reads them in both directions, mlp each "
        "by itself",
    )
    encoder_width: int = Field(128, ge=1, le=4096, description="width of that network")


class Method(prompt_tuning.Method):
    """Vectors of virtual tokens, and the network behind them."""

    rate = 1e-2

    def parameters(self, body: Body, settings: Any) -> int:
        inner: int = settings.encoder_width
        return super().parameters(body, settings) + 8 * inner * (body.width + inner)

    def adaptation(self, job: TrainJob, settings: Any) -> VirtualTokens:
        return VirtualTokens(job, lambda width: _encoder(settings, width))


def _encoder(settings: Settings, width: int) -> Any:
    import torch

    class Lstm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(width, inner, bidirectional=True)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.lstm(vectors)[0]
            return hidden

    inner = settings.encoder_width
    last = torch.nn.Linear(2 * inner, width)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    first = Lstm() if settings.encoder == "lstm" else torch.nn.Linear(width, 2 * inner)
    return torch.nn.Sequential(first, torch.nn.Linear(2 * inner, 2 * inner), torch.nn.ReLU(), last)
