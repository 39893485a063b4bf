"""What a family says of models that answer together, as in a cascade.

Where the nature of the answers does not allow it, the family says why, and no other room needs to
know which family it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from feilun.messages import t
from feilun.types import Output, Schema

__all__ = ["Combining"]


class Combining:
    """The questions; `Family` extends it."""

    name: ClassVar[str]

    def sure(self, output: Output) -> float | None:
        """How sure the answer is, 0 to 1; None where the family cannot say."""
        return None

    def uncascaded(self) -> str | None:
        """Why no cheaper model may answer what it is sure of, in words; None where one may.
        Default: it may where answers say how sure they are."""
        if type(self).sure is Combining.sure:
            return t("compression.not_sure", family=self.name)
        return None

    def settled(self, raw: np.ndarray, schema: Schema, point: Mapping[str, Any]) -> np.ndarray:
        """`raw` of a version at its operating `point`, on the scale that versions share: the
        neutral point states of it what `point` states of `raw`. Default: `raw`."""
        return raw

    def scaled(self, point: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
        """The operating point that says of raw outputs what `point` says of them settled at `own`.
        Default: `point`."""
        return point
