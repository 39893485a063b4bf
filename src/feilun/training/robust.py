"""Trainings whose answers hang less on how a row is worded and on luck: perturbed embeddings, two
draws of dropout, moving averages of weights.

They are settings of every method that fine-tunes and work on what any network has: what its first
learning layer is given, its outputs, its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from feilun.errors import UsageError
from feilun.families.objective import Objective
from feilun.training.settings import MethodSettings

if TYPE_CHECKING:
    import torch

__all__ = ["Average", "Robust", "RobustSettings", "passes", "wanted"]

_SIZE = 0.5  # of the allowed length: one step of an attack of several
_WARMUP = 10.0


class RobustSettings(MethodSettings):
    """What methods that fine-tune let a project choose of this."""

    adversarial: Literal["none", "fgm", "pgd", "freelb"] = Field(
        "none",
        description="perturbed embeddings that are learnt too: fgm (twice the work), pgd (1 + "
        "adversarial_steps), freelb (adversarial_steps)",
    )
    adversarial_epsilon: float = Field(
        0.1, gt=0, le=1, description="length of a perturbation, as a share of the row's embeddings"
    )
    adversarial_steps: int = Field(3, ge=2, le=20, description="passes of pgd and freelb")
    r_drop: float = Field(
        0.0,
        ge=0,
        description="weight of the difference between two draws of dropout (twice the work); "
        "needs dropout",
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of the moving average of the weights that is judged and kept; 0: none",
    )


def passes(settings: Any) -> float:
    """How many times the work of a plain step a step is."""
    kind, steps = getattr(settings, "adversarial", "none"), _steps(settings)
    ascents = {"none": 1.0, "fgm": 2.0, "pgd": 1.0 + steps, "freelb": float(steps)}[kind]
    return ascents * (2.0 if getattr(settings, "r_drop", 0.0) else 1.0)


def wanted(settings: Any) -> bool:
    """Whether the settings want anything of this; those of pre-training have none of it."""
    kind = getattr(settings, "adversarial", "none")
    return kind != "none" or bool(getattr(settings, "r_drop", 0) or getattr(settings, "ema", 0))


def _steps(settings: Any) -> int:
    return int(getattr(settings, "adversarial_steps", 1))


class Average:
    """Exponential moving average of the weights that learn (Polyak and Juditsky, 1992), which is
    judged and saved in their place. Early steps count less: the decay of step t is at most
    (1 + t) / (10 + t)."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.weights: dict[str, torch.Tensor] = {}

    def update(self, model: Any, step: int) -> None:
        """Takes in the weights after the optimizer's step `step`, counted from 1."""
        import torch

        decay = min(self._decay, (1 + step) / (_WARMUP + step))
        with torch.no_grad():
            for name, weight in _learning(model).items():
                if name in self.weights:
                    self.weights[name].lerp_(weight, 1 - decay)
                else:
                    self.weights[name] = weight.detach().clone()

    def swap(self, model: Any) -> None:
        """Exchanges the model's weights with the averages."""
        import torch

        with torch.no_grad():
            for name, weight in _learning(model).items():
                if name in self.weights:
                    aside = weight.detach().clone()
                    weight.copy_(self.weights[name])
                    self.weights[name] = aside


def _learning(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


class Robust:
    """What the settings want of each step. `watch` puts it where a network begins to learn."""

    def __init__(self, settings: Any, objective: Objective) -> None:
        self._kind = getattr(settings, "adversarial", "none")
        self._epsilon = getattr(settings, "adversarial_epsilon", 0.0)
        self._steps = _steps(settings)
        self._r_drop = getattr(settings, "r_drop", 0.0)
        decay = getattr(settings, "ema", 0.0)
        self.average = Average(decay) if decay else None
        self._objective = objective
        self._attacking = self._begins = False
        self._weight = 1.0
        self._shift: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None
        if self._r_drop and not (getattr(settings, "dropout", None) or 0.0) > 0:
            raise UsageError("training.r_drop_needs_dropout")

    def watch(self, model: Any, layers: Any) -> None:
        """Perturbs the embeddings of a transformers `model`, or what its frozen `layers` gave.
        Raises `UsageError` for a network without embeddings."""
        if self._kind == "none":
            return
        if layers is not None:
            layers.perturbed = self.entered
            return
        try:
            table = model.get_input_embeddings()
            table.register_forward_hook(lambda module, args, output: self.entered(output))
        except (AttributeError, NotImplementedError):
            raise UsageError("training.no_embeddings", name=self._kind) from None

    def entered(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the network goes on with in place of `hidden` (rows, ...)."""
        import torch

        if not self._attacking or not torch.is_grad_enabled():
            return hidden
        if self._begins:  # FreeLB's first shift is drawn evenly from a ball
            drawn = torch.rand_like(hidden, dtype=torch.float32) * 2 - 1
            self._shift, self._begins = self._scaled(drawn, hidden) * _SIZE, False
        if self._shift is not None:
            hidden = hidden + self._shift.to(hidden.dtype)
        self._seen = hidden if hidden.requires_grad else hidden.requires_grad_()
        self._seen.retain_grad()
        return self._seen

    def step(self, plain: Callable[[], torch.Tensor], model: Any) -> torch.Tensor:
        """One step's gradients, by `plain` passes forwards and backwards. The loss of the first.

        FGM (Miyato et al., 2017) adds the pass in the direction in which the loss rises; PGD (Madry
        et al., 2018) comes to its shift in several passes, of which the last alone teaches; all
        passes of FreeLB (Zhu et al., 2020) teach.
        """
        if self._kind == "none":
            return plain()
        self._attacking, self._shift = True, None
        self._begins = self._kind == "freelb"
        self._weight = 1 / self._steps if self._begins else 1.0
        try:
            loss = plain()
            ascents = {"fgm": 1, "pgd": self._steps, "freelb": self._steps - 1}[self._kind]
            for ascent in range(ascents):
                self._ascend(whole=self._kind == "fgm")
                if self._kind == "pgd" and ascent < ascents - 1:
                    self._untaught(plain, model)
                else:
                    plain()
        finally:
            self._attacking, self._shift, self._seen, self._weight = False, None, None, 1.0
        return loss / self._weight

    def _ascend(self, whole: bool) -> None:
        """Moves the shift to where the loss is higher, no longer than allowed."""
        import torch

        assert self._seen is not None
        hidden, gradient = self._seen.detach(), self._seen.grad
        if gradient is None or not torch.isfinite(gradient).all():
            return
        before = self._shift
        origin = hidden if before is None else hidden - before.to(hidden.dtype)
        most = self._scaled(gradient.float(), origin)
        shift = most if whole else most * _SIZE + (0 if before is None else before)
        allowed, length = self._allowed(origin), _lengths(shift)
        self._shift = shift * (allowed / length.clamp(min=1e-12)).clamp(max=1.0)

    def _scaled(self, direction: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """`direction` of each row in the length that is allowed."""
        found: torch.Tensor = self._allowed(hidden) / _lengths(direction).clamp(min=1e-12)
        return direction * found

    def _allowed(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._epsilon * _lengths(hidden.detach().float())
        return found

    @staticmethod
    def _untaught(plain: Callable[[], torch.Tensor], model: Any) -> None:
        """A pass whose gradients teach nothing: they are for the next shift alone."""
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        kept = [None if weight.grad is None else weight.grad.clone() for weight in weights]
        plain()
        for weight, gradient in zip(weights, kept, strict=True):
            weight.grad = gradient

    def doubled(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A batch twice, where two draws of dropout are compared."""
        import torch

        if not self._r_drop:
            return inputs
        return {name: torch.cat([array, array]) for name, array in inputs.items()}

    def loss(
        self, total: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor, count: Any
    ) -> torch.Tensor:
        """The mean loss of a batch with `count` targets that count. R-Drop (Liang et al., 2021):
        that of both draws, and how far apart their answers are."""
        if not self._r_drop:
            plain: torch.Tensor = self._weight * total / count
            return plain
        one, other = outputs.chunk(2)
        apart = self._objective.divergence(one, other, targets.chunk(2)[0])
        both: torch.Tensor = self._weight * (total / 2 + self._r_drop * apart) / count
        return both


def _lengths(rows: torch.Tensor) -> torch.Tensor:
    """L2 norm of each row, in a shape that multiplies them."""
    flat: torch.Tensor = rows.flatten(1).norm(dim=1)
    return flat.view(-1, *[1] * (rows.dim() - 1))
