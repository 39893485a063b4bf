"""Where fine-tuning begins: at the last layer that fits the base best as it is, a linear probe.

A new last layer is random, and until it has learnt it pulls the layers below in directions that
mean nothing; tags of spans, most of which are "none", take passes over the rows before anything
else is answered. So the last layer alone is fitted first, on what the base gives for some of the
rows, and all weights learn from there (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from feilun.families.objective import IGNORED, Objective
from feilun.messages import t
from feilun.training import heads
from feilun.training.batches import Examples, order_once
from feilun.training.job import Report
from feilun.training.standardise import spreads
from feilun.types import Progress

__all__ = ["ROWS", "fit"]

ROWS = 1000
"""Rows that are read at most."""
_TARGETS = 20_000  # of them that are fitted at most: rows of words have many
_BATCH = 32
_PENALTY = 0.01  # of a mean loss, for the squares of the weights in standard deviations
_STEPS = 100


def fit(
    model: Any,
    rows: Examples,
    objective: Objective,
    budget: int,
    half: bool,
    seed: int,
    report: Report,
) -> bool:
    """Puts a linear probe of some `rows`, drawn by the `seed`, into the last layer of the
    transformers `model`. Batches cost at most `budget`; `half` is whether the base computes in
    bfloat16. False where the model is left as it was, because its outputs are not what a linear
    layer gives for each target."""
    import torch

    head = model.get_submodule(heads.name_of(model))
    if head.bias is None:
        return False
    found = _read(model, head, rows, budget, half, seed, report)
    if found is None:
        return False
    given, targets = found
    mean = given.flatten(0, -2).mean(0)
    scale = torch.from_numpy(spreads(given.flatten(0, -2).numpy()))
    report(Progress("train", 0, len(rows), "rows", note=t("training.note_fitting")))
    weight, bias = _fitted((given - mean) / scale, targets, head.out_features, objective)
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        head.bias.copy_(bias - head.weight @ mean)
    return True


def _read(
    model: Any,
    head: Any,
    rows: Examples,
    budget: int,
    half: bool,
    seed: int,
    report: Report,
) -> tuple[Any, Any] | None:
    """What the last layer is given for each target (targets, width), and the targets; for positions
    both as those of one row."""
    import torch

    chosen = np.random.default_rng(seed).permutation(len(rows))[:ROWS]
    batches = order_once(rows.costs[chosen], _BATCH, budget)
    inputs: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    seen: list[Any] = []
    handle = head.register_forward_hook(lambda layer, args, output: seen.append((args[0], output)))
    done = count = 0
    model.eval()
    try:
        for number in np.random.default_rng(seed).permutation(len(batches)):
            places = chosen[batches[number]].tolist()
            batch = rows.collate([rows[place] for place in places])
            labels = batch.pop("labels")
            seen.clear()
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = model(**batch).logits
            if len(seen) != 1 or not torch.equal(seen[0][1], logits):
                return None
            given = seen[0][0].float()
            positions = given.dim() == 3
            if positions:
                if labels.shape != given.shape[:2]:
                    return None
                given, labels = given[labels != IGNORED], labels[labels != IGNORED]
            inputs.append(given)
            targets.append(labels)
            done, count = done + len(places), count + len(labels)
            note = t("training.note_embedding")
            report(Progress("train", done, len(chosen), "rows", note=note))
            if count >= _TARGETS:
                break
    finally:
        handle.remove()
    found = torch.cat(inputs), torch.cat(targets)
    return (found[0][None], found[1][None]) if positions else found


def _fitted(given: Any, targets: Any, outputs: int, objective: Objective) -> tuple[Any, Any]:
    """Weights (outputs, width) and biases of least loss, by L-BFGS."""
    import torch

    weight = torch.zeros(outputs, given.shape[-1], requires_grad=True)
    bias = torch.zeros(outputs, requires_grad=True)
    solver: Any = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Any:
        solver.zero_grad()
        loss = objective.loss(given @ weight.T + bias, targets) / targets.numel()
        loss = loss + _PENALTY * weight.square().sum() / 2
        loss.backward()
        return loss

    solver.step(closure)
    return weight.detach(), bias.detach()
