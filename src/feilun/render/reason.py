"""One sentence of the gate's decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from feilun.messages import Language, language
from feilun.render.wording import fill

__all__ = ["Figure", "Reason"]

Figure = str | int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of the decision: its key and figures, and whether it speaks ``for`` the
    promotion, ``against`` it (one is enough to refuse), or is a ``note``."""

    code: str
    params: Mapping[str, Figure]
    weight: Literal["for", "against", "note"]

    def text(self, lang: Language | None = None) -> str:
        """The sentence."""
        return fill(self.code, self.params, lang or language())
