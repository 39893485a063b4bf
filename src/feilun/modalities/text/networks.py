"""Torch modules over texts: ``forward`` takes the arrays of `text.tokens.TextProcessor.collate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData
from feilun.modalities import checkpoints

if TYPE_CHECKING:
    import torch

__all__ = ["classifier", "encoder", "tagger"]


def classifier(
    base: Path | str | None, outputs: Sequence[str], problem: str | None
) -> torch.nn.Module:
    """Gives `outputs` (batch, outputs), and by ``with_vectors`` the last layer's mean over the real
    tokens beside them. Raises `InvalidData` without a base folder."""
    from transformers import AutoModelForSequenceClassification

    return _read(AutoModelForSequenceClassification, base, outputs, problem, 0)


def tagger(base: Path | str | None, outputs: Sequence[str], problem: str | None) -> torch.nn.Module:
    """Gives `outputs` for each token (batch, tokens, outputs). Raises `InvalidData` without a base
    folder."""
    from transformers import AutoModelForTokenClassification

    return _read(AutoModelForTokenClassification, base, outputs, problem, 2)


def _read(
    auto: Any, base: Path | str | None, outputs: Sequence[str], problem: str | None, kind: int
) -> torch.nn.Module:
    if not isinstance(base, Path):
        raise InvalidData("tasks.text_needs_base", base=base)
    model = checkpoints.read_classifier(auto, base, outputs, problem)
    module: torch.nn.Module = _modules()[kind](model)
    return module.eval()


def encoder(base: Path) -> torch.nn.Module:
    """Gives the last layer's mean over the real tokens (batch, width); nothing in it learns."""
    from transformers import AutoModel

    module: torch.nn.Module = _modules()[1](checkpoints.read(AutoModel, base))
    return module.eval().requires_grad_(False)


@cache
def _modules() -> tuple[type[Any], type[Any], type[Any]]:
    # Named arguments instead of **arrays: converters read the inputs off the signature.
    import torch

    def mean_of(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = hidden.float()
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return mean

    class TextTags(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            output = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
            logits: torch.Tensor = output.logits.float()
            return logits

    class TextLogits(TextTags):
        def with_vectors(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            output = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                output_hidden_states=True,
                **types,
            )
            return output.logits.float(), mean_of(output.hidden_states[-1], attention_mask)

    class TextVectors(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            output = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
            return mean_of(output.last_hidden_state, attention_mask)

    return TextLogits, TextVectors, TextTags
