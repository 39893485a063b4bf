"""Transformers that begin from nothing, by the objective that they learn and by size.

Architectures are transformers' own: Llama (Touvron et al., 2023) for ``causal``, BERT (Devlin et
al., 2019) for ``masked``, T5 1.1 (Raffel et al., 2020) for ``spans``. Sizes are those of Turc et
al. (2019), "Well-Read Students Learn Better". How large a network is right for a corpus is told by
the compute-optimal rule of Hoffmann et al. (2022), "Training Compute-Optimal Large Language
Models": 20 tokens a parameter, at 6 operations a parameter and token; and a corpus is worth reading
4 times (Muennighoff et al., 2023, "Scaling Data-Constrained Language Models").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from feilun.modalities.text.documents import Objective

__all__ = [
    "OBJECTIVES",
    "PASSES",
    "SIZES",
    "Objective",
    "Size",
    "config",
    "flops",
    "parameters",
    "parsed",
    "right_size",
    "scratch_names",
    "tokens_for",
]

Size = Literal["nano", "tiny", "mini", "small", "medium", "base"]
SIZES: Mapping[Size, tuple[int, int]] = {
    "nano": (2, 64),
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}
"""Layers and width; ``nano`` is for trials."""
OBJECTIVES: Mapping[str, Objective] = {"llama": "causal", "bert": "masked", "t5": "spans"}
"""The objective that each architecture is trained with, by the architecture's name."""
PASSES = 4
_PER_PARAMETER = 20
_HEAD = 64


def scratch_names(*architectures: str) -> tuple[str, ...]:
    """The bases of these architectures that begin from nothing, such as ``scratch:t5-small``."""
    return tuple(f"scratch:{name}-{size}" for name in architectures for size in SIZES)


def parsed(base: object) -> tuple[Objective, Size] | None:
    """The objective and the size of a base such as ``scratch:t5-small``; None for others."""
    for name, objective in OBJECTIVES.items():
        for size in SIZES:
            if base == f"scratch:{name}-{size}":
                return objective, size
    return None


def parameters(objective: Objective, size: Size, vocabulary: int) -> int:
    """The parameters that every token passes, its table of words included as it is multiplied with
    at the end."""
    layers, width = SIZES[size]
    attention, forward = 4 * width**2, 3 * width * _inner(width)
    if objective == "masked":
        return layers * (attention + 8 * width**2) + width**2 + vocabulary * width
    blocks = layers * (attention + forward)
    if objective == "spans":
        blocks += layers * (2 * attention + forward)  # the decoder attends to the encoder, too
    return blocks + vocabulary * width


def flops(passing: int, tokens: float) -> float:
    """Floating-point operations that learning `tokens` takes: Kaplan et al. (2020), 6 N D."""
    return 6.0 * passing * tokens


def tokens_for(passing: int, corpus: float, budget: float) -> int:
    """Tokens to learn: `PASSES` times the corpus, or what the `budget` of operations allows."""
    return max(1, int(min(PASSES * corpus, budget / (6.0 * passing))))


def right_size(objective: Objective, vocabulary: int, corpus: float, budget: float) -> Size:
    """The largest size for which the corpus, read `PASSES` times, has 20 tokens a parameter, and
    whose training with so many fits the `budget`; the smallest but ``nano`` where none is."""
    chosen: Size = "tiny"
    for size in list(SIZES)[1:]:
        passing = parameters(objective, size, vocabulary)
        wanted = _PER_PARAMETER * passing
        if wanted <= PASSES * corpus and flops(passing, wanted) <= budget:
            chosen = size
    return chosen


def _inner(width: int) -> int:
    return -(-width * 8 // 3 // 64) * 64


def config(
    objective: Objective, size: Size, vocabulary: int, context: int, end: int, pad: int
) -> Any:
    """The transformers configuration of a network that reads `context` tokens; `end` is the id of
    the token that ends a document, `pad` that of padding."""
    layers, width = SIZES[size]
    heads = max(1, width // _HEAD)
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}
    if objective == "causal":
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=_inner(width),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            **ids,
        )
    if objective == "masked":
        from transformers import BertConfig

        return BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=context,
            type_vocab_size=1,
            **ids,
        )
    from transformers import T5Config

    return T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=_HEAD,
        d_ff=_inner(width),
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=heads,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        decoder_start_token_id=pad,
        use_cache=True,
        **ids,
    )
