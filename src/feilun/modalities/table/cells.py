"""What an encoder reads of a table's rows: their columns of texts, each cell as one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from feilun.modalities.base import Encoded
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import Item

__all__ = ["CellsProcessor"]

_MAX_LENGTH = 256


class CellsProcessor(TextProcessor):
    """A tokenizer for the texts of a row, by which a training with an encoder is planned."""

    names: Sequence[str] = ()

    @classmethod
    def of_columns(cls, folder: Path | str | None, names: Sequence[str]) -> Self:
        """That of `folder` for the columns `names`; see `TextProcessor.read`."""
        found = cls.read(folder, _MAX_LENGTH)
        found.names = tuple(names)
        return found

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """The texts of each row, a part each."""
        cells = iter(super().encode(self._texts(items)))
        rows = [[next(cells) for _ in self.names] for _ in items]
        return [
            Encoded({}, sum(one.cost for one in row), sum(one.cut for one in row), tuple(row))
            for row in rows
        ]

    def unknown_share(self, items: Sequence[Item]) -> float:
        """See `Processor`."""
        return super().unknown_share(self._texts(items))

    def folded_share(self, items: Sequence[Item]) -> float:
        """See `TextProcessor`."""
        return super().folded_share(self._texts(items))

    def _texts(self, items: Sequence[Item]) -> list[str]:
        (first, *_) = self.names
        rows = [item if isinstance(item, Mapping) else {first: item} for item in items]
        return [str(row.get(name) or "") for row in rows for name in self.names]
