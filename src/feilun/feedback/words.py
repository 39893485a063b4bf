"""What an update held back, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feilun.messages import Language, t

__all__ = ["suspicion", "trust_words"]


def trust_words(collected: Mapping[str, Any]) -> list[str]:
    """A sentence for each suspected key, and one for each other reason why corrections of a
    collect step were not learned."""
    trust: Mapping[str, Any] = collected.get("trust") or {}
    words = [suspicion(one) for one in trust.get("suspects", ())]
    held = trust.get("held", {})
    if held.get("conflict"):
        words.append(t("trust.conflicts", rows=held["conflict"]))
    if held.get("row"):
        words.append(t("trust.rows", rows=held["row"]))
    if held:
        words.append(t("trust.review"))
    words += [
        t("trust.over", customer=name, rows=rows) for name, rows in trust.get("over", {}).items()
    ]
    if collected.get("near_test"):
        words.append(t("trust.near_test", rows=collected["near_test"]))
    return words


def suspicion(one: Mapping[str, Any], lang: Language | None = None) -> str:
    """Why a key is suspected: its customer by name, the key by its visible beginning."""
    return t(
        f"trust.{one['why']}",
        lang,
        customer=one["customer"] or "–",
        key=one["key"] or "–",
        held=one["held"],
        count=one["count"],
        of=one["of"],
        share=f"{100 * one['count'] / max(1, one['of']):.0f}",
        expected=f"{100 * one['expected']:.0f}",
    )
