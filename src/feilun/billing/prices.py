"""A project's list price, and what an answer costs the operator.

Money is whole micro-units of a currency (1 USD = 1,000,000). A list price is for 1,000 inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from feilun.money import MICRO
from feilun.store.catalog import Catalog
from feilun.store.records import Price

__all__ = ["MICRO", "CostCarry", "set_price"]


def set_price(catalog: Catalog, project: str, price_per_1000: float, currency: str) -> Price:
    """Makes `price_per_1000` units of `currency` the price of `project` from now on; a price that
    is in force already is kept. Prices never change in the past."""
    return catalog.add_price(project, round(price_per_1000 * MICRO), currency)


@dataclass(slots=True)
class CostCarry:
    """Engine time as money. One answer often costs less than a micro-unit: what was rounded off is
    carried to the next, so that the sum is right."""

    _rest: float = 0.0

    def cost(self, engine_seconds: float, streams: int, machine_per_hour: float) -> int:
        """Micro-units of one call: its share of a machine that runs `streams` batches at once."""
        exact = self._rest + engine_seconds / streams * machine_per_hour * MICRO / 3600
        whole = int(exact)
        self._rest = exact - whole
        return whole
