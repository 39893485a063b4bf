"""Documents as tokens in a memory-mapped file, and the rows that networks learn of them.

A corpus is tokenised once; the file holds uint16 or uint32, and what is read of it is mapped, so
that memory does not grow with the corpus but for some 40 bytes a block. Documents stand one after
the other, each after a token that begins it. For causal and masked models the stream is cut into
blocks; inside a block each document attends to itself alone, and its positions count from its own
beginning. Of a model of spans a row is one document, or a piece of it: its decoder would need a
mask of its own for packed documents, which transformers' T5 does not take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.families.objective import IGNORED
from feilun.modalities.language.models import Marks, corrupted
from feilun.modalities.pieces import words_of
from feilun.modalities.text.documents import MASKED, Objective, chosen
from feilun.store.files import write_atomically

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["Blocks", "Pieces", "Tokens", "tokenise"]

_CHUNK = 256
_META = "tokens.json"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised corpus: the mapped `ids` (tokens,), which token begins a `word` (uint8), where
    documents `begin` (int64), and how many bytes of text they are."""

    ids: np.ndarray
    words: np.ndarray
    begins: np.ndarray
    bytes: int


def tokenise(
    tokenizer: Tokenizer,
    documents: Iterable[str],
    folder: Path,
    marks: Marks,
    mark: str,
    whole_words: bool,
    told: Any = None,
) -> Tokens:
    """Tokens of `documents`, written to `folder` unless they are there already, whole, under the
    same `mark`. `told` hears how many documents are done."""
    kind = np.uint16 if tokenizer.get_vocab_size() < 1 << 16 else np.uint32
    meta = _meta(folder, mark)
    if meta is None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _META).unlink(missing_ok=True)
        size = _write(tokenizer, documents, folder, marks, kind, whole_words, told)
        write_atomically(folder / _META, json.dumps({"mark": mark, "bytes": size}).encode())
        meta = {"bytes": size}
    ids = np.memmap(folder / "ids.bin", kind, "r")
    words = np.memmap(folder / "words.bin", np.uint8, "r")
    begins = np.fromfile(folder / "begins.bin", np.int64)
    return Tokens(ids, words, begins, int(meta["bytes"]))


def _meta(folder: Path, mark: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / _META).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("mark") == mark else None


def _write(
    tokenizer: Tokenizer,
    documents: Iterable[str],
    folder: Path,
    marks: Marks,
    kind: Any,
    whole_words: bool,
    told: Any,
) -> int:
    place = size = done = 0
    source = iter(documents)
    with (
        (folder / "ids.bin").open("wb") as ids,
        (folder / "words.bin").open("wb") as words,
        (folder / "begins.bin").open("wb") as begins,
    ):
        while texts := list(islice(source, _CHUNK)):
            # Without their places tokens come faster.
            encode = tokenizer.encode_batch if whole_words else tokenizer.encode_batch_fast
            for text, one in zip(texts, encode(texts, add_special_tokens=False), strict=True):
                if not one.ids:
                    continue
                ids.write(np.array([marks.begin, *one.ids], kind).tobytes())
                firsts = _firsts(text, one.offsets) if whole_words else [1] * len(one.ids)
                words.write(bytes([1, *firsts]))
                begins.write(np.int64(place).tobytes())
                place += len(one.ids) + 1
                size += len(text.encode("utf-8", "replace"))
            done += len(texts)
            if told is not None:
                told(done)
        ids.write(np.array([marks.end], kind).tobytes())
        words.write(b"\1")
    return size


def _firsts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Which tokens begin a word, 0 or 1. What stands between words goes with the one before."""
    starts = [start for start, _ in words_of(text)]
    firsts, word = [], 0
    for place, (_, end) in enumerate(offsets):
        begins = place == 0
        while word < len(starts) and starts[word] < end:
            word, begins = word + 1, True
        firsts.append(int(begins))
    return firsts


class Blocks:
    """Blocks of `length` tokens for a causal or a masked model; see `Examples` for what it is to a
    training. There are `passes` places for each block, so that each time other words are hidden:
    which ones follows from the place and the `seed` alone."""

    def __init__(
        self,
        tokens: Tokens,
        objective: Objective,
        length: int,
        marks: Marks,
        vocabulary: int,
        passes: int = 1,
        seed: int = 0,
    ) -> None:
        self._tokens, self._objective, self._length = tokens, objective, length
        self._marks, self._vocabulary, self._seed = marks, vocabulary, seed
        self.count = max(1, -(-(len(tokens.ids) - 1) // length))
        self.costs = np.full(self.count * passes, length, np.int64)

    def __len__(self) -> int:
        return len(self.costs)

    def __getitem__(self, place: int) -> int:
        return place

    def arrays(self, place: int) -> dict[str, np.ndarray]:
        """``input_ids``, ``labels``, ``position_ids`` and ``segments``, int64 (length,). Labels
        stand where a model answers: for causal ones the next token."""
        begin = place % self.count * self._length
        read = np.asarray(self._tokens.ids[begin : begin + self._length + 1], np.int64)
        ids = np.full(self._length + 1, self._marks.end, np.int64)
        ids[: len(read)] = read
        inputs = ids[:-1]
        starts = (inputs == self._marks.begin) | (np.arange(self._length) >= len(read))
        starts[0] = True
        segments = np.cumsum(starts)
        where = np.where(starts, np.arange(self._length), 0)
        positions = np.arange(self._length) - np.maximum.accumulate(where)
        if self._objective == "causal":
            labels = ids[1:].copy()
            labels[max(0, len(read) - 1) :] = IGNORED
        else:
            inputs, labels = self._hidden(inputs, begin, place)
        return {
            "input_ids": inputs,
            "labels": labels,
            "position_ids": positions,
            "segments": segments,
        }

    def _hidden(self, ids: np.ndarray, begin: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        """BERT's: of the words 15 in 100 are to be predicted, of which 8 in 10 are masked, 1 is
        another token, and 1 stays."""
        flags = np.zeros(self._length, np.uint8)
        kept = self._tokens.words[begin : begin + self._length]
        flags[: len(kept)] = kept
        special = np.isin(ids, list(self._marks.specials))
        words = np.cumsum(flags | special)
        able = np.unique(words[~special])
        lots = np.random.default_rng((self._seed, place))
        labels = np.full(self._length, IGNORED, np.int64)
        if not len(able):
            return ids, labels
        picked = lots.choice(able, max(1, round(MASKED * len(able))), replace=False)
        wanted = np.isin(words, picked) & ~special
        labels[wanted] = ids[wanted]
        inputs = ids.copy()
        lot = dict(zip(picked.tolist(), lots.random(len(picked)).tolist(), strict=True))
        each = np.array([lot.get(word, 1.0) for word in words.tolist()])
        inputs[wanted & (each < 0.8)] = self._marks.mask
        random = wanted & (each >= 0.8) & (each < 0.9)
        inputs[random] = lots.integers(0, self._vocabulary, int(random.sum()))
        return inputs, labels

    def collate(self, batch: list[int]) -> dict[str, torch.Tensor]:
        """See `Examples`. The attention mask is bool (batch, 1, length, length)."""
        import torch

        found = [self.arrays(place) for place in batch]
        tensors = {
            name: torch.from_numpy(np.stack([one[name] for one in found])) for name in found[0]
        }
        segments = tensors.pop("segments")
        mask = segments[:, :, None] == segments[:, None, :]
        if self._objective == "causal":
            mask = mask.tril()
        return {**tensors, "attention_mask": mask[:, None]}


class Pieces:
    """Documents, or pieces of `length` tokens of them, for a model of spans: hidden runs of words
    are to be written, each after its sentinel. Places and lots as those of `Blocks`."""

    def __init__(
        self, tokens: Tokens, length: int, marks: Marks, passes: int = 1, seed: int = 0
    ) -> None:
        self._tokens, self._marks, self._seed = tokens, marks, seed
        ends = np.append(tokens.begins[1:], len(tokens.ids) - 1)
        parts = [
            np.stack([starts, np.minimum(starts + length, end)], axis=1)
            for begin, end in zip(tokens.begins.tolist(), ends.tolist(), strict=True)
            for starts in (np.arange(begin + 1, end, length),)
        ]
        self._rows = np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
        self.count = len(self._rows)
        self.costs = np.tile(self._rows[:, 1] - self._rows[:, 0], passes)

    def __len__(self) -> int:
        return len(self.costs)

    def __getitem__(self, place: int) -> int:
        return place

    def arrays(self, place: int) -> tuple[list[int], list[int]]:
        """What is read, with sentinels for what is hidden, and what is to be written."""
        begin, end = self._rows[place % self.count].tolist()
        ids = np.asarray(self._tokens.ids[begin:end], np.int64).tolist()
        firsts = np.flatnonzero(self._tokens.words[begin:end]).tolist()
        firsts = [0, *firsts] if not firsts or firsts[0] else firsts
        words = list(zip(firsts, [*firsts[1:], len(ids)], strict=True))
        lots = np.random.default_rng((self._seed, place))
        return corrupted(ids, chosen(words, "spans", lots), self._marks)

    def collate(self, batch: list[int]) -> dict[str, torch.Tensor]:
        """See `Examples`."""
        import torch

        pairs = [self.arrays(place) for place in batch]
        ids, mask = _padded([read for read, _ in pairs], self._marks.pad)
        labels, known = _padded([written for _, written in pairs], self._marks.pad)
        begun = np.concatenate(
            [np.full((len(labels), 1), self._marks.pad, np.int64), labels[:, :-1]], axis=1
        )
        arrays = {
            "input_ids": ids,
            "attention_mask": mask,
            "decoder_input_ids": begun,
            "labels": np.where(known > 0, labels, IGNORED),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
