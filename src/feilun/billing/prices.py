"""What a call costs the customer, and what it costs the operator.

Money is whole micro-units of a currency (1 USD = 1,000,000). A price is for 1,000 inputs; the
amount of a call is rounded half up to a whole micro-unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from feilun.store.catalog import Catalog
from feilun.store.records import Price

__all__ = ["MICRO", "CostCarry", "PriceBook", "amount_of", "set_price"]

MICRO = 1_000_000


def set_price(catalog: Catalog, project: str, price_per_1000: float, currency: str) -> Price:
    """Makes `price_per_1000` units of `currency` the price of `project` from now on; a price that
    is in force already is kept. Prices never change in the past."""
    return catalog.add_price(project, round(price_per_1000 * MICRO), currency)


def amount_of(price: Price | None, inputs: int) -> int:
    """Micro-units that `inputs` cost at `price`; nothing without one."""
    return 0 if price is None or price.amount is None else (price.amount * inputs + 500) // 1000


class PriceBook:
    """The prices of every project, in memory; `reload` reads them again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._prices: Mapping[str, Sequence[Price]] = {}

    def reload(self) -> None:
        """Reads all prices. Raises `EnvironmentProblem` when the catalog cannot be read."""
        names = [project.name for project in self._catalog.projects()]
        self._prices = {name: self._catalog.prices(name) for name in names}

    def current(self, project: str, now: datetime | None = None) -> Price | None:
        """The price of `project` in force now; the newest word on it, where two begin at once."""
        prices = self._prices.get(project, ())
        if not prices:
            return None
        moment = now or datetime.now(UTC)
        in_force = None
        for price in prices:  # by the time they take effect
            if price.effective > moment:
                break
            in_force = price
        return in_force


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
