"""Structured pruning: heads of attention and units of feed-forward layers that matter least are
left out, so that the matrices are smaller in every engine.

What a head matters is how much the loss would change without it, to first order: the sum of its
output times the gradient of the loss there, absolute, as a mean over rows, and by layer divided by
the layer's norm (Michel, Levy and Neubig 2019, "Are Sixteen Heads Really Better than One?"). What a
unit matters is the same of its weights: weight times gradient (Molchanov and others 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.errors import UsageError
from feilun.families.objective import Objective
from feilun.modalities import narrowed
from feilun.training.batches import EncodedRows, order_once

__all__ = ["Block", "Importance", "blocks", "importance", "prune"]

ROWS = 256
"""Training rows that what matters is measured on at most."""
_BATCH = 16
_UNITS = 16
"""Units are left out so many at a time: matrices of such widths are what processors are fast at."""

_QUERIES = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"))
_OUTPUTS = ("output.dense", "out_lin", "out_proj", "o_proj", "dense")
_WIDE = (("intermediate.dense", "output.dense"), ("lin1", "lin2"), ("fc1", "fc2"))
"""What transformers calls the parts of a layer."""


@dataclass(frozen=True, slots=True)
class Block:
    """The names of the linear layers of one layer of the network: queries, keys and values, what
    gathers their heads, and the two of its feed-forward part; `head` is the width of one head."""

    asking: tuple[str, ...]
    gathering: str
    widening: str
    narrowing: str
    heads: int
    head: int


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """By layer: of each head, and of each unit of the feed-forward part."""

    heads: list[np.ndarray]
    units: list[np.ndarray]


def blocks(model: Any) -> list[Block]:
    """The layers of `model`, the lowest first. Raises `UsageError` for a network without such."""
    import torch

    linear = {
        name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)
    }
    found = []
    for name, module in model.named_modules():
        names = next((one for one in _QUERIES if all(hasattr(module, part) for part in one)), None)
        if names is None:
            continue
        asking = tuple(f"{name}.{part}" for part in names)
        head = _head(module, model.config)
        block = _around(name, asking, linear)
        if block is None or not head or any(one not in linear for one in asking):
            continue
        if len({linear[one].out_features for one in asking}) > 1:
            continue  # keys that several queries share
        found.append(Block(asking, *block, linear[asking[0]].out_features // head, head))
    if not found:
        raise UsageError("training.no_heads", architecture=type(model).__name__)
    return found


def _head(module: Any, config: Any) -> int:
    """The width of one head."""
    for name in ("attention_head_size", "head_dim", "dim_head"):
        if isinstance(getattr(module, name, None), int):
            return int(getattr(module, name))
    counts = [getattr(config, one, None) for one in ("num_attention_heads", "n_heads")]
    widths = [getattr(config, one, None) for one in ("hidden_size", "dim")]
    heads, width = (next((one for one in found if one), 0) for found in (counts, widths))
    return int(width // heads) if heads else 0


def _around(
    name: str, asking: Sequence[str], linear: dict[str, Any]
) -> tuple[str, str, str] | None:
    """What gathers the heads of the attention `name`, and the feed-forward part of its layer."""
    wide = linear[asking[0]].out_features if asking[0] in linear else 0
    owner = name
    gathering = None
    for _ in range(3):  # from the attention upwards to the layer
        if gathering is None:
            names = (f"{owner}.{part}" for part in _OUTPUTS)
            gathering = next(
                (one for one in names if one in linear and linear[one].in_features == wide), None
            )
        for first, second in _WIDE:
            pair = f"{owner}.{first}", f"{owner}.{second}"
            prefixed = [
                key
                for part in (first, second)
                for key in linear
                if key.startswith(f"{owner}.") and key.endswith(f".{part}") and name not in key
            ]
            if not all(one in linear for one in pair) and len(prefixed) == 2:
                pair = prefixed[0], prefixed[1]
            fits = all(one in linear for one in pair) and (
                linear[pair[0]].out_features == linear[pair[1]].in_features
            )
            if fits and gathering is not None and gathering not in pair:
                return gathering, *pair
        owner = owner.rpartition(".")[0]
    return None


def importance(model: Any, rows: EncodedRows, objective: Objective) -> Importance:
    """What each head and each unit of `model` matters for the loss of `rows`."""
    import torch

    found = blocks(model)
    heads = [np.zeros(one.heads) for one in found]
    units = [np.zeros(model.get_submodule(one.widening).out_features) for one in found]
    given: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def seen(_: Any, inputs: Any) -> None:
            inputs[0].retain_grad()
            given[name] = inputs[0]

        return seen

    hooks = [
        model.get_submodule(one.gathering).register_forward_pre_hook(watch(one.gathering))
        for one in found
    ]
    model.eval()
    count = 0
    try:
        for places in order_once(rows.costs, _BATCH, 1 << 40):
            batch = rows.collate([rows[place] for place in places])
            labels = batch.pop("labels")
            model.zero_grad(set_to_none=True)
            given.clear()
            outputs = model(**batch)
            logits = outputs[0] if not isinstance(outputs, torch.Tensor) else outputs
            loss: Any = objective.loss(logits.float(), labels)
            loss.backward()
            count += len(places)
            for layer, one in enumerate(found):
                seen = given[one.gathering]
                by_row = (seen * seen.grad).detach().flatten(1, -2) if seen.dim() > 3 else None
                each = (seen * seen.grad).detach() if by_row is None else by_row
                each = each.reshape(len(places), -1, one.heads, one.head).sum(dim=(1, 3)).abs()
                heads[layer] += each.sum(dim=0).double().numpy()
                wide = model.get_submodule(one.widening)
                change = (wide.weight * wide.weight.grad).detach().sum(dim=1)
                if wide.bias is not None:
                    change = change + (wide.bias * wide.bias.grad).detach()
                units[layer] += change.abs().double().numpy()
    finally:
        for hook in hooks:
            hook.remove()
        model.zero_grad(set_to_none=True)
    heads = [one / max(1, count) for one in heads]
    return Importance([one / max(float(np.linalg.norm(one)), 1e-12) for one in heads], units)


def prune(model: Any, found: Importance, heads: float, width: float) -> tuple[int, int, int, int]:
    """Leaves so large a share of the heads and of the units of each feed-forward part in `model`,
    those that matter most; no layer loses its last head. Returns how many heads stay of how many,
    and how many units."""
    import torch

    layers = blocks(model)
    stays = list(_kept_heads(found.heads, heads))
    kept_units = all_units = 0
    for one, which, matters in zip(layers, stays, found.units, strict=True):
        if len(which) < one.heads:
            places = torch.cat([torch.arange(h * one.head, (h + 1) * one.head) for h in which])
            for name in one.asking:
                narrowed.keep(model, name, outputs=places)
            narrowed.keep(model, one.gathering, inputs=places)
        count = _rounded(len(matters), width)
        if count < len(matters):
            best = torch.from_numpy(np.sort(np.argsort(-matters, kind="stable")[:count]))
            narrowed.keep(model, one.widening, outputs=best)
            narrowed.keep(model, one.narrowing, inputs=best)
        kept_units += count
        all_units += len(matters)
    kept = sum(len(which) for which in stays)
    return kept, sum(one.heads for one in layers), kept_units, all_units


def _kept_heads(found: Sequence[np.ndarray], share: float) -> Iterator[list[int]]:
    """By layer the heads that stay: the best one of each, then the best of all."""
    total = sum(len(one) for one in found)
    wanted = max(len(found), round(share * total))
    first = {(layer, int(one.argmax())) for layer, one in enumerate(found)}
    ranked = sorted(
        ((layer, head) for layer, one in enumerate(found) for head in range(len(one))),
        key=lambda place: (place not in first, -found[place[0]][place[1]], place),
    )
    stays = set(ranked[:wanted])
    for layer, one in enumerate(found):
        yield [head for head in range(len(one)) if (layer, head) in stays]


def _rounded(units: int, share: float) -> int:
    """So large a share of the units, as a multiple of `_UNITS` where there are that many."""
    step = _UNITS if units >= 4 * _UNITS else 1
    return min(units, max(step, round(units * share / step) * step))
