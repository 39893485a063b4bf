"""Money as whole numbers, and what a volume costs.

An amount is an integer of micro-units of a currency (1 USD = 1,000,000), so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MICRO", "Tariff"]

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a month's volume of one unit costs, in steps.

    `tiers` are (up to which volume, micro-units per 1,000 in this tier), rising; the last has None
    for its end. What is included for nothing is a first tier at 0.

    >>> Tariff(((1_000, 0), (None, 500_000))).total(3_000)
    1000000
    """

    tiers: tuple[tuple[int | None, int], ...]

    def __post_init__(self) -> None:
        ends = [end for end, _ in self.tiers]
        limited = [end for end in ends if end is not None]
        rising = all(a < b for a, b in zip([0, *limited], limited, strict=False))
        if not ends or ends[-1] is not None or len(limited) != len(ends) - 1 or not rising:
            raise ValueError(f"tiers must rise and the last must be open: {self.tiers}")

    @classmethod
    def flat(cls, per_1000: int) -> Tariff:
        """One price for every unit."""
        return cls(((None, per_1000),))

    def total(self, volume: int) -> int:
        """Micro-units that `volume` units cost together, rounded half up once, at the end."""
        thousandths, begin = 0, 0
        for end, per_1000 in self.tiers:
            until = volume if end is None else min(volume, end)
            thousandths += max(0, until - begin) * per_1000
            begin = until
        return (thousandths + 500) // 1000

    def most(self, units: int) -> int:
        """What `units` may cost at most, wherever the month stands."""
        dearest = max(per_1000 for _, per_1000 in self.tiers)
        # One more, because both ends of the month's total are rounded.
        return -(-units * dearest // 1000) + 1 if units and dearest else 0

    def amount(self, before: int, units: int) -> int:
        """What `units` more cost after `before` of the same month. The amounts of a month's calls
        add up to `total` of its volume, to the last micro-unit, however the calls were cut."""
        return self.total(before + units) - self.total(before)
