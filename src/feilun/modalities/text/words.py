"""Texts as networks read them that answer word by word: where every word stands, and long texts in
windows that overlap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from feilun.modalities.base import Encoded
from feilun.modalities.text import sequence
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import Item

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ["WordProcessor"]

_OVERLAP = 4  # a window shares this part of its tokens with the next one
_SPACES = frozenset("▁Ġ")  # tokens that stand for the space before a word


class _Token(NamedTuple):
    """A token's number in the vocabulary, and its place in the text without the space before."""

    number: int
    start: int
    end: int


class WordProcessor(TextProcessor):
    """A tokenizer that keeps where words stand (see `feilun.families._bio`). Words are those of
    `sequence.tokens`, in Chinese single characters; a token of the vocabulary that covers more
    than one is taken apart, so that a span may begin and end at every word.

    Nothing is cut off: what is longer than ``max_length`` tokens is read in windows, each with a
    quarter of the one before.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.pads_left = False
        self.tokenizer.no_truncation()
        marked = self.tokenizer.encode("a")
        own = [place for place, one in enumerate(marked.special_tokens_mask) if not one]
        first, last = (own[0], own[-1] + 1) if own else (0, 0)
        self._before, self._behind = marked.ids[:first], marked.ids[last:]
        self._room = max(1, self.max_length - len(self._before) - len(self._behind))

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Token numbers and the words' places; several parts where a text needs several windows."""
        texts = [str(item) for item in items]
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return [self._encoded(*each) for each in zip(texts, encodings, strict=True)]

    def _encoded(self, text: str, encoding: Encoding) -> Encoded:
        tokens, places, words = self._aligned(text, encoding)
        windows = [
            self._window(tokens, places, words, begin, min(len(tokens), begin + self._room))
            for begin in _begins(len(tokens), self._room)
        ]
        if len(windows) == 1:
            (only,) = windows
            return Encoded(only.arrays, only.cost, text=text)
        return Encoded({}, sum(one.cost for one in windows), parts=tuple(windows), text=text)

    def _aligned(
        self, text: str, encoding: Encoding
    ) -> tuple[list[_Token], list[int], list[tuple[int, int]]]:
        """All tokens, and for every word that has one the place of its first and the word."""
        found = sequence.tokens(text)
        ends = [end for _, end in found]
        tokens: list[_Token] = []
        places: list[int] = []
        words: list[tuple[int, int]] = []
        for number, piece, (begin, end) in zip(
            encoding.ids, encoding.tokens, encoding.offsets, strict=True
        ):
            while begin < end and text[begin].isspace():
                begin += 1
            word = bisect_right(ends, begin)
            inside = begin < end and word < len(found) and found[word][0] < end
            if not inside or piece in _SPACES:
                tokens.append(_Token(number, begin, end))
                continue
            parts = [_Token(number, begin, end)]
            if word + 1 < len(found) and found[word + 1][0] < end:
                parts = self._apart(text, piece, parts[0])
            for part in parts:
                word = bisect_right(ends, part.start)
                if part.start < part.end and word < len(found):
                    self._note(found[word], part, len(tokens), places, words)
                tokens.append(part)
        return tokens, places, words

    @staticmethod
    def _note(
        word: tuple[int, int],
        part: _Token,
        place: int,
        places: list[int],
        words: list[tuple[int, int]],
    ) -> None:
        """Notes the token at `place` as the first of `word`, unless one was before it. A token that
        covers words which it could not be taken apart into stands for all of them together."""
        if words and word[0] < words[-1][1]:
            return
        places.append(place)
        words.append((word[0], max(word[1], part.end)))

    def _apart(self, text: str, piece: str, token: _Token) -> list[_Token]:
        """The characters of a token, each as one; the token itself where the vocabulary lacks one
        of them."""
        parts = []
        for place in range(token.start, token.end):
            number = self.tokenizer.token_to_id(text[place])
            if number is None:
                return [token]
            parts.append(_Token(number, place, place + 1))
        space = self.tokenizer.token_to_id(piece[0]) if piece[0] in _SPACES else None
        return parts if space is None else [_Token(space, token.start, token.start), *parts]

    def _window(
        self,
        tokens: Sequence[_Token],
        places: Sequence[int],
        words: Sequence[tuple[int, int]],
        begin: int,
        end: int,
    ) -> Encoded:
        numbers = [one.number for one in tokens[begin:end]]
        ids = np.array([*self._before, *numbers, *self._behind] or [self.pad_id], np.int32)
        at = np.array(places, np.int32)
        first, last = np.searchsorted(at, (begin, end)).tolist()
        spans = np.array(words[first:last], np.int32).reshape(-1, 2)
        arrays = {
            "input_ids": ids,
            "at": at[first:last] - begin + len(self._before),
            "starts": spans[:, 0],
            "ends": spans[:, 1],
        }
        return Encoded(arrays, len(ids))


def _begins(count: int, room: int) -> list[int]:
    """Where the windows of `count` tokens begin."""
    if count <= room:
        return [0]
    step = max(1, room - room // _OVERLAP)
    return [*range(0, count - room, step), count - room]
