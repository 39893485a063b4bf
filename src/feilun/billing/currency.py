"""Amounts as people write them: decimal text, with the decimals that a currency has.

Micro-units are exact; what people pay is rounded half up to the currency's smallest coin, once, at
the end. The decimals are those of ISO 4217.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import cache

from feilun.money import MICRO

__all__ = ["amount_text", "decimals", "exact_text", "is_currency", "micro_of", "rounded"]

_MOST = 10**18
"""Micro-units that no amount may exceed, so that every sum fits into 64 bits."""


@cache
def decimals(currency: str) -> int:
    """Decimals of `currency`, an ISO 4217 code: 2 for USD, 0 for JPY, 3 for KWD. A code that the
    standard does not list, or that has no coins (XAU), counts as 2."""
    from iso4217 import Currency

    try:
        exponent: int | None = Currency(currency).exponent
    except ValueError:
        return 2
    return 2 if exponent is None else exponent


@cache
def is_currency(code: str) -> bool:
    """Whether ISO 4217 lists this code as something to pay with."""
    from iso4217 import Currency

    try:
        return bool(Currency(code).exponent is not None)
    except ValueError:
        return False


def rounded(micro: int, currency: str) -> int:
    """Micro-units rounded half away from nothing to the currency's smallest coin."""
    coin: int = MICRO // 10 ** min(6, decimals(currency))
    whole = (abs(micro) + coin // 2) // coin * coin
    return -whole if micro < 0 else whole


def amount_text(micro: int, currency: str) -> str:
    """Micro-units as decimal text with the currency's decimals: ``12.50``, of JPY ``13``."""
    places = decimals(currency)
    return f"{Decimal(rounded(micro, currency)) / MICRO:.{places}f}"


def exact_text(micro: int, currency: str) -> str:
    """Micro-units as decimal text, to the last one: at least the currency's decimals, at most
    six."""
    whole, _, part = f"{Decimal(micro) / MICRO:.6f}".partition(".")
    part = part.rstrip("0").ljust(decimals(currency), "0")
    return f"{whole}.{part}" if part else whole


def micro_of(text: str) -> int:
    """Micro-units of decimal text such as ``12.5``. Raises `ValueError` for what is no number, is
    negative, is too large, or has more than six decimals."""
    try:
        value = Decimal(text.strip()) * MICRO
    except InvalidOperation:
        raise ValueError(text) from None
    if not value.is_finite() or not 0 <= value <= _MOST or value != value.to_integral_value():
        raise ValueError(text)
    return int(value)
