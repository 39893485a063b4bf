"""Tokenizers trained on one's own text: byte-level BPE and byte-level Unigram.

Both begin from the 256 bytes, so that no text of any language has an unknown token, and every text
comes back from its tokens byte for byte. Digits stand alone (Singh and Strouse, 2024, "Tokenization
counts"). The same texts in the same order give the same tokenizer, byte for byte.

BPE is that of the library tokenizers. Its Unigram trainer sums in an order that differs from run to
run, so Unigram (Kudo, 2018, "Subword regularization") is trained here: pieces of a larger BPE are
the seeds, counts come from the most likely segmentation, and the pieces whose loss costs least are
dropped by quarters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["END", "KINDS", "LEAST", "MASK", "MOST_CHARACTERS", "PAD", "SPECIALS", "save", "train"]

Kind = Literal["bpe", "unigram"]
KINDS: tuple[Kind, ...] = ("bpe", "unigram")
END, PAD, MASK = "<|endoftext|>", "<|pad|>", "<|mask|>"
SPECIALS = (END, PAD, MASK, "<|im_start|>", "<|im_end|>")
"""The first ids: the end of a document, padding, a masked token, and turns of a conversation."""
LEAST = 256 + len(SPECIALS) + 1
"""The smallest vocabulary: the bytes, the special tokens, and one that was learnt."""
MOST_CHARACTERS = {"bpe": 200_000_000, "unigram": 20_000_000}
"""What is learnt from at most: counts of pieces of Chinese need memory in proportion to it."""

_SEEDS = 3
_KEPT = 0.75
_ROUNDS = 2
_BATCH = 1000


def train(
    texts: Iterable[str],
    kind: Kind,
    vocabulary: int,
    noted: Callable[[str], None] = lambda what: None,
) -> Tokenizer:
    """A tokenizer of `vocabulary` tokens, fewer where `texts` hold no more. `noted` hears
    ``merges`` when the texts have been read, and ``pieces`` when Unigram begins to drop pieces."""
    if kind == "bpe":
        return _bpe(_until(texts, MOST_CHARACTERS[kind], noted), vocabulary)
    held = list(_until(texts, MOST_CHARACTERS[kind], noted))
    seeds = _bpe(held, _SEEDS * vocabulary)
    noted("pieces")
    return _unigram(held, seeds, vocabulary)


def save(tokenizer: Tokenizer, folder: Path, config: Mapping[str, Any] | None = None) -> None:
    """Writes the tokenizer as transformers reads it: ``tokenizer.json`` and its configuration,
    `config` where it has one already."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = config or {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "bos_token": END,
        "pad_token": PAD,
        "mask_token": MASK,
        "additional_special_tokens": list(SPECIALS[3:]),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", "utf-8")


def _until(texts: Iterable[str], most: int, noted: Callable[[str], None]) -> Iterator[str]:
    left = most
    for text in texts:
        if left <= 0:
            break
        left -= len(text)
        yield text
    noted("merges")


def _dressed(tokenizer: Tokenizer) -> Tokenizer:
    from tokenizers import decoders, pre_tokenizers

    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bpe(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = _dressed(Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigram(texts: Sequence[str], seeds: Tokenizer, vocabulary: int) -> Tokenizer:
    """Drops pieces of `seeds` until `vocabulary` tokens are left."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = seeds.get_vocab()
    learnt = sorted((p for p in known if len(p) > 1 and p not in SPECIALS), key=known.__getitem__)
    pieces = [*letters, *learnt]
    scores = np.full(len(pieces), -math.log(len(pieces)))
    wanted = vocabulary - len(SPECIALS)
    while True:
        for _ in range(_ROUNDS):
            counts = _counts(_model(pieces, scores), texts)
            scores = np.log(np.maximum(counts, 0.1) / max(1.0, counts.sum()))
        if len(pieces) <= wanted:
            return _model(pieces, scores)
        losses = _losses(pieces, scores, counts)
        losses[: len(letters)] = np.inf
        size = max(wanted, int(_KEPT * len(pieces)))
        # Of equal losses the earlier, more frequent pair of BPE stays.
        kept = np.sort(np.argsort(-losses, kind="stable")[:size])
        pieces = [pieces[place] for place in kept.tolist()]
        scores = scores[kept]


def _model(pieces: Sequence[str], scores: np.ndarray) -> Tokenizer:
    from tokenizers import Tokenizer, models

    vocabulary = [(one, 0.0) for one in SPECIALS]  # which no piece of a text ever spells
    vocabulary += zip(pieces, scores.tolist(), strict=True)
    tokenizer = _dressed(Tokenizer(models.Unigram(vocabulary, None, False)))
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def _counts(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """How often each piece stands in the most likely segmentation of `texts`."""
    size = tokenizer.get_vocab_size()
    found = np.zeros(size, np.float64)
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer.encode_batch_fast(list(texts[start : start + _BATCH]))
        ids = [number for one in encoded for number in one.ids]
        found += np.bincount(np.array(ids, np.int64), minlength=size)
    return found[len(SPECIALS) :]


def _losses(pieces: Sequence[str], scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What the texts' likelihood would lose with each piece: the piece is written as the likelier
    of its divisions into two."""
    known = dict(zip(pieces, scores.tolist(), strict=True))
    absent = float(scores.min()) * 2
    losses = np.zeros(len(pieces))
    for place, piece in enumerate(pieces):
        if len(piece) > 1:
            halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
            best = max(known.get(a, absent) + known.get(b, absent) for a, b in halves)
            losses[place] = counts[place] * (known[piece] - best)
    return losses
