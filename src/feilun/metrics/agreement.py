"""How far people who label the same rows agree beyond chance.

Krippendorff's alpha for nominal values (Krippendorff, *Content Analysis*, 2004, ch. 11): any number
of people, rows that some have not seen. 1 is perfect, 0 is chance. Cohen's kappa (1960) is for two
people and the rows that both have labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["cohen_kappa", "krippendorff_alpha"]

_DRAWS = 1000


def krippendorff_alpha(
    units: Sequence[Sequence[str]], *, seed: int = 0
) -> tuple[float, float, float] | None:
    """Alpha with its 95 % interval, by drawing `units` again. Each unit is what people said of one
    row; rows of one person say nothing and are left out. None where nothing can be said: no row
    has two voices, or all say one and the same."""
    several = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in several for value in unit})
    if len(values) < 2:
        return None
    place = {value: number for number, value in enumerate(values)}
    counts = np.zeros((len(several), len(values)))
    for row, unit in enumerate(several):
        for value in unit:
            counts[row, place[value]] += 1
    draw = np.random.default_rng(seed)
    shares = np.full(len(several), 1 / len(several))
    weights = draw.multinomial(len(several), shares, _DRAWS).astype(float)
    alpha = float(_alpha(counts, np.ones((1, len(several))))[0])
    drawn = _alpha(counts, weights)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (alpha, alpha)
    return alpha, float(low), float(high)


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Kappa of two people who labelled the same rows, in the same order; None where both said one
    and the same throughout, or nothing."""
    if not first:
        return None
    values = sorted({*first, *second})
    observed = sum(one == other for one, other in zip(first, second, strict=True)) / len(first)
    chance = sum(first.count(v) * second.count(v) for v in values) / len(first) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def _alpha(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Alpha once for every draw of `weights` (draws, units) over `counts` (units, values)."""
    voices = counts.sum(axis=1)
    # Pairs of a unit that differ, each pair weighted so that a voice counts once.
    apart = (voices**2 - (counts**2).sum(axis=1)) / (voices - 1)
    total, of_value = weights @ voices, weights @ counts
    observed = weights @ apart / total
    expected = (total**2 - (of_value**2).sum(axis=1)) / (total * (total - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha: np.ndarray = 1 - observed / expected
    return alpha
