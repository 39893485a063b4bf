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

__all__ = ["classifier", "encoder", "pair_encoder", "states", "tagger"]


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


def states(base: Path) -> torch.nn.Module:
    """Gives the last layer for each token (batch, tokens, width); nothing in it learns."""
    from transformers import AutoModel

    module: torch.nn.Module = _modules()[3](checkpoints.read(AutoModel, base))
    return module.eval().requires_grad_(False)


def pair_encoder(base: Path, separator: int | None) -> torch.nn.Module:
    """Reads both texts of a pair, each by itself, and gives their means u and v, how far these are
    apart and what they share: [u, v, |u - v|, u * v] (batch, 4 * width), as InferSent does (Conneau
    and others, 2017). Nothing in it learns.

    `separator` is the token that ends the first text; None where token types tell the texts apart.
    """
    from transformers import AutoModel

    module: torch.nn.Module = _modules()[4](checkpoints.read(AutoModel, base), separator)
    return module.eval().requires_grad_(False)


def _mean(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Over the tokens that are not padding."""
    hidden = hidden.float()
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    mean: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return mean


@cache
def _modules() -> tuple[type[Any], ...]:
    # Named arguments instead of **arrays: converters read the inputs off the signature.
    import torch

    class TextTags(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def run(self, ids: Any, mask: Any, types: Any, **more: Any) -> Any:
            # A model without types of tokens takes none.
            given = {} if types is None else {"token_type_ids": types}
            return self.model(input_ids=ids, attention_mask=mask, **given, **more)

        def answered(self, output: Any, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = output.logits.float()
            return logits

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            output = self.run(input_ids, attention_mask, token_type_ids)
            return self.answered(output, attention_mask)

    class TextLogits(TextTags):
        def with_vectors(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            output = self.run(input_ids, attention_mask, token_type_ids, output_hidden_states=True)
            return output.logits.float(), _mean(output.hidden_states[-1], attention_mask)

    class TextVectors(TextTags):
        def answered(self, output: Any, attention_mask: torch.Tensor) -> torch.Tensor:
            return _mean(output.last_hidden_state, attention_mask)

    class TextStates(TextTags):
        def answered(self, output: Any, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = output.last_hidden_state.float()
            return hidden

    class PairVectors(TextTags):
        def __init__(self, model: Any, separator: int | None) -> None:
            super().__init__(model)
            self._by_types = separator is None
            self._separator = -1 if separator is None else separator  # no token has it

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            if self._by_types and token_type_ids is not None:
                second = token_type_ids
            else:
                ends = torch.eq(input_ids, self._separator).long()
                second = torch.gt(ends.cumsum(1) - ends, 0).long()
            # A single text is of type 0 to the encoder, and begins with its first token.
            types = None if token_type_ids is None else token_type_ids * 0
            first = torch.zeros_like(second)
            first[:, 0] = 1
            means = []
            for side in (1 - second, torch.maximum(second, first)):
                mask = attention_mask * side
                output = self.run(input_ids, mask, types)
                means.append(_mean(output.last_hidden_state, mask))
            u, v = means
            return torch.cat([u, v, (u - v).abs(), u * v], dim=1)

    return TextLogits, TextVectors, TextTags, TextStates, PairVectors
