"""Low-rank adapters whose ranks learn, too: they begin wide, and what matters least is taken from
where it matters least (Zhang and others, 2023, "AdaLoRA: Adaptive Budget Allocation for
Parameter-Efficient Fine-Tuning").

An adapter is P diag(e) Q, with orthogonal P and Q; a rank is gone where its e is 0. They are merged
into the weights at the end; ``adapter/`` keeps them on their own.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from feilun.training.adapters import AdapterMethod, Peft
from feilun.training.batches import Examples
from feilun.training.body import Body
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import TrainJob

__all__ = ["Method", "Settings", "budget"]

_SENSITIVITY, _UNCERTAINTY = 0.85, 0.85  # the paper's moving averages of importance
_FIRST, _LAST = 0.1, 0.3  # shares of the steps before ranks are taken, and after the last is


class Settings(FineTuneSettings):
    """``[training.adalora]``."""

    rank: int = Field(8, ge=1, le=512, description="rank of the adapters at the end, on average")
    initial_rank: int = Field(
        12, ge=1, le=512, description="rank of every adapter at the beginning; at least `rank`"
    )
    alpha: int = Field(32, ge=1, description="weight of the adapters, as a multiple of 1 / rank")
    adapter_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the adapters' inputs dropped while learning"
    )
    orthogonality: float = Field(
        0.5, ge=0, description="weight of the loss that keeps the adapters' matrices orthogonal"
    )


class Method(AdapterMethod[Settings]):
    """Low-rank matrices beside every linear layer, of ranks that learn."""

    rate = 2e-3

    def parameters(self, body: Body, settings: Settings) -> int:
        return 12 * body.layers * _widest(settings) * body.width

    def adaptation(self, job: TrainJob, settings: Settings) -> Peft:
        return _Adaptive(job, settings)


def budget(step: int, steps: int, first: int, last: int) -> int:
    """Ranks that are left at `step` of `steps`, of `first` in all at the beginning and `last` at
    the end: the paper's cubic fall between its warm-up and its last phase."""
    begin, end = int(_FIRST * steps), int((1 - _LAST) * steps)
    if step < begin:
        return first
    share = min(1.0, (step - begin) / max(1, end - begin))
    return last + round((first - last) * (1 - share) ** 3)


def _widest(settings: Settings) -> int:
    return max(settings.rank, settings.initial_rank)


class _Adaptive(Peft):
    """peft's layers, with the allocation here: what it knows is kept in buffers of the layers, so
    that a training that was killed goes on as it would have gone on."""

    def __init__(self, job: TrainJob, settings: Settings) -> None:
        super().__init__(job, self._configured)
        self._settings = settings
        self._steps = 1

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        import torch

        self._steps = steps
        adapted = super().wrap(model, rows, steps)
        for layer in _layers(adapted):
            for name, weight in _parts(layer).items():
                for kind in ("sensitivity", "uncertainty"):
                    layer.register_buffer(f"{name}_{kind}", torch.zeros_like(weight))
            layer.register_buffer("kept", torch.ones(_parts(layer)["e"].shape, dtype=torch.bool))
        return adapted

    def penalty(self, model: Any) -> Any:
        import torch

        if not self._settings.orthogonality:
            return None
        found = []
        for layer in _layers(model):
            parts = _parts(layer)
            for gram in (parts["q"] @ parts["q"].T, parts["p"].T @ parts["p"]):
                found.append(torch.dist(gram, torch.eye(len(gram), device=gram.device)))
        return self._settings.orthogonality * torch.stack(found).mean()

    def stepped(self, model: Any, step: int) -> None:
        import torch

        layers = _layers(model)
        first = len(layers) * _widest(self._settings)
        with torch.no_grad():
            scores = torch.cat([_importance(layer) for layer in layers])
            left = budget(step, self._steps, first, len(layers) * self._settings.rank)
            if step <= (1 - _LAST) * self._steps:  # afterwards what is kept is settled
                kept = torch.zeros_like(scores, dtype=torch.bool)
                kept[scores.topk(left).indices] = True
                for layer, part in zip(layers, kept.view(len(layers), -1, 1), strict=True):
                    layer.kept.copy_(part)
            for layer in layers:
                _parts(layer)["e"].mul_(layer.kept)

    def _configured(self, layers: list[str], head: list[str] | None, steps: int) -> Any:
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            target_r=self._settings.rank,
            init_r=_widest(self._settings),
            lora_alpha=self._settings.alpha,
            lora_dropout=self._settings.adapter_dropout,
            target_modules=layers,
            modules_to_save=head,
            total_step=steps,
            tfinal=0,
        )


def _layers(model: Any) -> list[Any]:
    from peft.tuners.adalora import SVDLinear

    return [layer for layer in model.modules() if isinstance(layer, SVDLinear)]


def _parts(layer: Any) -> dict[str, Any]:
    """The factors P (outputs, rank), e (rank, 1) and Q (rank, inputs) of an adapter."""
    return {
        "p": layer.lora_B["default"],
        "e": layer.lora_E["default"],
        "q": layer.lora_A["default"],
    }


def _importance(layer: Any) -> Any:
    """How much the loss would change without each rank of an adapter (rank,), smoothed over the
    steps; see section 3.2 of the paper."""
    found = {}
    for name, weight in _parts(layer).items():
        now = (weight * weight.grad).abs()
        mean = getattr(layer, f"{name}_sensitivity")
        spread = getattr(layer, f"{name}_uncertainty")
        mean.mul_(_SENSITIVITY).add_(now, alpha=1 - _SENSITIVITY)
        spread.mul_(_UNCERTAINTY).add_((now - mean).abs(), alpha=1 - _UNCERTAINTY)
        found[name] = mean * spread
    return found["e"][:, 0] + found["q"].mean(dim=1) + found["p"].mean(dim=0)
