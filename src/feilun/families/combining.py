"""What a family says of models that work together: a cascade, an ensemble, a
teacher and its student.

Where the nature of the answers does not allow it, the family says why, and no other room needs to
know which family it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from feilun.messages import t
from feilun.types import Output, Schema

__all__ = ["Combining"]


class Combining:
    """The questions; `Family` extends it."""

    name: ClassVar[str]
    fitness: ClassVar[str | None] = None
    """The metric that weights of a mean are chosen by; None for the primary one."""

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

    def asserted(self, target: str | None, labels: Sequence[str]) -> np.ndarray | None:
        """Raw outputs for one row that state `target` as good as certainly, at the neutral point;
        of no target nothing. None where the family cannot: its answers are more than a name.
        Default: None."""
        return None

    def unaveraged(self) -> str | None:
        """Why answers of several models have no mean, in words; None where they have one. Default:
        they have one where the family has `mean`."""
        if type(self).mean is Combining.mean:
            return t("training.no_mean", family=self.name)
        return None

    def mean(self, raws: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The weighted mean of the settled raw outputs of several versions for the same rows;
        `weights` (versions,) add up to 1."""
        raise NotImplementedError(self.name)

    def stated(self, outputs: Sequence[Output], schema: Schema) -> np.ndarray:
        """The settled raw outputs that these answers, with all their scores, state. Needed where
        there is a `mean`."""
        raise NotImplementedError(self.name)

    def untaught(self) -> str | None:
        """Why a student cannot learn what another model answers, in words; None where it can.
        Default: it can where the family has `softened`."""
        if type(self).softened is Combining.softened:
            return t("training.not_soft", family=self.name)
        return None

    def softened(
        self, raw: np.ndarray, truth: np.ndarray, labels: Sequence[str], share: float
    ) -> np.ndarray:
        """Targets that `Family.objective` takes as it takes `truth`: a `share` of what a teacher's
        settled outputs `raw` state, the rest what is right; of rows without a target all."""
        raise NotImplementedError(self.name)
