"""How likely a causal model finds a text after another, as lm-evaluation-harness asks
(``lm_eval/api/model.py``, ``_encode_pair``): spaces at the end of the context belong to the text,
and the text's tokens are those that follow when both are read as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["parted", "predicted"]


def parted(
    ids: Callable[[str], list[int]], context: str, text: str, begin: int
) -> tuple[list[int], list[int]]:
    """The tokens of context and text. An empty context is the token that a text begins with."""
    bare = context.rstrip()
    text = context[len(bare) :] + text
    if not bare:
        return [begin], ids(text)
    read = ids(bare)
    return read, ids(bare + text)[len(read) :]


def predicted(
    model: Any, read: Sequence[int], wanted: Sequence[int], window: int
) -> tuple[float, bool]:
    """The log-likelihood in nats of the tokens `wanted` after `read`, and whether each is the most
    probable one. Of what is longer than `window` the beginning is not read."""
    import torch

    if not wanted:
        return 0.0, True
    given = [*read, *wanted][-(window + 1) :]
    kept = min(len(wanted), len(given) - 1)
    target = torch.tensor(given[-kept:])
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([given[:-1]]), use_cache=False).logits
        rows = torch.log_softmax(logits[0, -kept:].float(), dim=-1)
        nats = rows.gather(1, target.unsqueeze(1)).sum()
        return float(nats), bool((rows.argmax(dim=1) == target).all())
