"""A project's list price, and what an answer costs the operator.

Money is whole micro-units of a currency (1 USD = 1,000,000). A list price is for 1,000 inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from feilun.money import MICRO
from feilun.store.catalog import Catalog
from feilun.store.records import Price

__all__ = [
    "MICRO",
    "CostCarry",
    "UpstreamPrice",
    "set_price",
    "set_upstream_price",
    "upstream_prices",
]

UPSTREAM_PRICE = "upstream-price:"
"""What the catalog's settings that hold them begin with."""


def set_price(catalog: Catalog, project: str, price_per_1000: float, currency: str) -> Price:
    """Makes `price_per_1000` units of `currency` the price of `project` from now on; a price that
    is in force already is kept. Prices never change in the past."""
    return catalog.add_price(project, round(price_per_1000 * MICRO), currency)


@dataclass(frozen=True, slots=True)
class UpstreamPrice:
    """What 1,000 tokens cost that another server reads and writes, in units of the currency."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def of(self, units: Mapping[str, int]) -> float:
        """Micro-units of so many ``tokens_in`` and ``tokens_out``."""
        read = self.tokens_in * units.get("tokens_in", 0)
        return (read + self.tokens_out * units.get("tokens_out", 0)) * MICRO / 1000


def set_upstream_price(catalog: Catalog, project: str, price: UpstreamPrice, currency: str) -> None:
    """Makes `price` what answers of the other server behind `project` cost from now on."""
    key, new = f"{UPSTREAM_PRICE}{project}", {**asdict(price), "currency": currency}
    if catalog.setting(key) != new and (price != UpstreamPrice() or catalog.setting(key)):
        catalog.set_setting(key, new)


def upstream_prices(catalog: Catalog) -> dict[str, UpstreamPrice]:
    """These prices by project."""
    return {
        key.removeprefix(UPSTREAM_PRICE): UpstreamPrice(one["tokens_in"], one["tokens_out"])
        for key, one in catalog.settings(UPSTREAM_PRICE).items()
    }


@dataclass(slots=True)
class CostCarry:
    """Engine time as money. One answer often costs less than a micro-unit: what was rounded off is
    carried to the next, so that the sum is right."""

    _rest: float = 0.0

    def cost(
        self, engine_seconds: float, streams: int, machine_per_hour: float, besides: float = 0.0
    ) -> int:
        """Micro-units of one call: its share of a machine that runs `streams` batches at once, and
        what is paid `besides`."""
        machine = engine_seconds / streams * machine_per_hour * MICRO / 3600
        exact = self._rest + machine + besides
        whole = int(exact)
        self._rest = exact - whole
        return whole
