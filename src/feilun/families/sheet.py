"""All versions' answers to the rows of one evaluation, beside the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.metrics.measured import Measured

if TYPE_CHECKING:
    from feilun.config import EvaluationConfig

__all__ = ["Error", "Sheet"]


@dataclass(frozen=True, slots=True)
class Error:
    """A row answered wrong: its place among the labelled rows, truth and answer in words, and the
    figures that the family states about it: how sure the answer was, and how likely the truth."""

    row: int
    truth: str
    answer: str
    stated: float
    stated_truth: float


class Sheet(ABC):
    """All versions' answers to the labelled rows of an evaluation beside the truth."""

    measured: Measured
    """The candidate's."""
    others: Mapping[str, Measured]
    """The other versions', by their role; over the same rows."""

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """What the candidate answers and the other version cannot (new labels), and the rows that
        both can be judged on, as a mask. Default: nothing, all rows."""
        return (), np.ones(self.measured.rows, dtype=bool)

    @abstractmethod
    def same(self, role: str) -> bool:
        """Whether both versions answered all rows alike, up to rounding."""

    @abstractmethod
    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows that the candidate has right, or nearer, where the other has not; and the other
        way round. Boolean masks."""

    @abstractmethod
    def targets(self) -> list[str]:
        """The canonical targets of the rows."""

    @abstractmethod
    def spoken(self, row: int) -> tuple[str, str, str]:
        """In words: the truth of a row, what the version under ``live`` answered, and what the
        candidate answers. Raises `KeyError` where there is no such version."""

    @abstractmethod
    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """How many rows were answered wrong, and the worst of them, at most `most`."""

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The family's own part of an evaluation, by the names of the fields of `Family.Details`.
        `validation` are raw outputs and truth of the validation rows with a target."""
        return {}
