"""Texts about invoices with what stands in them, drawn by a seed."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["invoices"]

_FIRST = ("Anna", "Bela", "Carl", "Dora", "Emil", "Gina", "Hugo", "Ines", "Jack", "Kira", "李")
_LAST = ("Adams", "Brown", "Clark", "Davis", "Evans", "Green", "Irwin", "Lopez", "Moore")
_GOODS = {"travel": ("taxi", "flight"), "food": ("lunch", "coffee"), "office": ("paper", "toner")}


def invoices(count: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """`count` different texts, each with number (sometimes none), customer, date, total and
    category."""
    lots = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        kind = lots.choice(list(_GOODS))
        goods, day, month = lots.choice(_GOODS[kind]), lots.randint(1, 28), lots.randint(1, 9)
        name = f"{lots.choice(_FIRST)} {lots.choice(_LAST)}"
        number = f"{lots.choice('ABC')}-{lots.randint(10, 9999)}" if lots.random() < 0.8 else None
        total = round(lots.uniform(1000, 9000), 2)
        money, date = f"{total:,.2f}", f"{day:02d}.{month:02d}.2024"
        no = f" no. {number}" if number else ""
        text = lots.choice(
            (
                f"Invoice{no} of {date} for {name}: {goods}, total {money} EUR.",
                f"{name} paid for {goods} on {date}. Amount: EUR {money}.{no}",
                f"客户：{name}，日期：{date}，{goods}，合计 {money} 元。{no}",
            )
        )
        found[text] = {
            "number": number,
            "customer": {"name": name},
            "date": f"2024-{month:02d}-{day:02d}",
            "total": total,
            "category": kind,
        }
    return list(found.items())
