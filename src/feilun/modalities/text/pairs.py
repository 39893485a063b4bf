"""Two texts as one network reads them together: one behind the other, told apart by separators and
token types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from feilun.modalities.base import Arrays, Encoded
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import Item

__all__ = ["PairProcessor"]


class PairProcessor(TextProcessor):
    """A tokenizer for pairs, which joins them as its own post-processor says. What exceeds
    ``max_length`` together is cut off at the end of the longer text."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._own = self.tokenizer.num_special_tokens_to_add(True)

    @property
    def separator(self) -> int | None:
        """The token that ends the first text; None where token types tell the texts apart, and
        where nothing does."""
        if self.takes_types:
            return None
        one, two = (self.tokenizer.encode(text, add_special_tokens=False) for text in ("a", "b"))
        joined, end = self.tokenizer.post_process(one, two), len(one)
        marks = [place for place, mark in enumerate(joined.special_tokens_mask) if mark]
        between = [place for place in marks if end <= place < len(joined.ids) - 1]
        return joined.ids[between[0]] if between else None

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Token numbers and types of each pair."""
        texts = _texts(items)
        cut = [max(0, len(text) - self._characters) for text in texts]
        found = self.tokenizer.encode_batch(
            [text[: self._characters] for text in texts], add_special_tokens=False
        )
        encoded = []
        for place in range(0, len(found), 2):
            first, second = found[place : place + 2]
            both = self.tokenizer.post_process(first, second)
            ids = np.array(both.ids, np.int32)
            lost = sum(len(part) for one in (first, second) for part in one.overflowing)
            lost += max(0, len(first) + len(second) + self._own - len(ids))
            lost += sum(self._tokens(over) for over in cut[place : place + 2])
            arrays = {"input_ids": ids, "types": np.array(both.type_ids, np.int32)}
            encoded.append(Encoded(arrays, len(ids), lost))
        return encoded

    def collate(self, batch: Sequence[Encoded], multiple: int = 1) -> Arrays:
        """As `TextProcessor.collate`, with the types of both texts where the model takes them."""
        arrays = super().collate(batch, multiple)
        if self.takes_types:
            types = np.concatenate([one.arrays["types"] for one in batch])
            arrays["token_type_ids"][arrays["attention_mask"] == 1] = types
        return arrays

    def unknown_share(self, items: Sequence[Item]) -> float:
        """See `Processor`."""
        return super().unknown_share(_texts(items))


def _texts(items: Sequence[Item]) -> list[str]:
    """Both texts of every pair, one after the other."""
    return [cast(Mapping[str, str], item)[name] for item in items for name in ("text", "other")]
