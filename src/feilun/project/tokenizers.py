"""Trains a tokenizer on one's own text, and says what it gains over that of a base model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.config import Settings
from feilun.data._ticker import Ticker
from feilun.data.reading import Reading, open_readings
from feilun.data.sources.base import AS_FOUND, BadRow, Held, ReadOptions, Source
from feilun.data.sources.plain import prose
from feilun.errors import Conflict, EnvironmentProblem, InvalidData, NotFound, UsageError
from feilun.messages import t
from feilun.modalities.text.tokens import TextProcessor
from feilun.table import Result, Table
from feilun.tasks import base as tasks
from feilun.training import tokenizer as training
from feilun.training.bases import starters
from feilun.types import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Tokenized", "TrainedTokenizer", "train"]

_EVERY = 20
"""Of so many documents one is kept back to measure on."""
_MEASURED = 2000
_HEAD = 2000
"""Documents to measure on at most, and characters of each."""
_REFERENCE = "minilm"


@dataclass(frozen=True)
class Tokenized:
    """How a tokenizer writes the texts that were kept back: `tokens` for a character, bytes for a
    token, the share of `unknown` tokens, and how many of the texts' bytes do not come back."""

    name: str
    vocabulary: int
    tokens_per_character: float
    bytes_per_token: float
    unknown: float
    bytes_lost: int


@dataclass(frozen=True)
class TrainedTokenizer(Result):
    """A tokenizer trained on `documents` of `characters`, in `folder`; `measured` on so many
    documents, which it was not trained on where `held_out`. `before` is the base's, None where
    there is none."""

    folder: Path
    kind: str
    documents: int
    characters: int
    bad: int
    measured: int
    held_out: bool
    before: Tokenized | None
    after: Tokenized

    def tables(self) -> Sequence[Table]:
        names = ("name", "vocabulary", "per_character", "per_token", "unknown", "lost")
        rows = [
            [
                one.name,
                f"{one.vocabulary:,}",
                f"{one.tokens_per_character:.3f}",
                f"{one.bytes_per_token:.2f}",
                f"{100 * one.unknown:.2f} %",
                f"{one.bytes_lost:,}",
            ]
            for one in (self.before, self.after)
            if one is not None
        ]
        measured = "tokenizer.measured" if self.held_out else "tokenizer.measured_trained"
        notes = [t(measured, documents=self.measured)]
        if self.bad:
            notes.append(t("tokenizer.bad", rows=self.bad))
        notes.append(t("tokenizer.next", folder=self.folder))
        title = t(
            "tokenizer.trained",
            folder=self.folder,
            documents=self.documents,
            characters=self.characters,
        )
        return (Table(title, [t(f"tokenizer.{name}") for name in names], rows, notes),)


def train(
    settings: Settings,
    sources: Sequence[Any],
    out: Path,
    *,
    kind: str = "bpe",
    vocabulary: int = 16_000,
    base: str | None = None,
    columns: Mapping[str, str] | None = None,
    query: str | None = None,
    report: Callable[[Progress], None] | None = None,
    read: ReadOptions = AS_FOUND,
) -> TrainedTokenizer:
    """A tokenizer of `vocabulary` tokens from the texts of `sources`, in the new folder `out`.
    `base`, a starter's name or a folder, is what it is compared with: by default the starter
    minilm. See `feilun.training.tokenizer`.

    Raises `UsageError` for an unknown `kind` and too small a `vocabulary`, `Conflict` where `out`
    exists, `NotFound` for an unknown base, `InvalidData` for what cannot be read.
    """
    if not sources:
        raise UsageError("project.no_sources")
    if kind not in training.KINDS:
        raise UsageError("tokenizer.unknown_kind", kind=kind, options=training.KINDS)
    if vocabulary < training.LEAST:
        raise UsageError("tokenizer.small", given=vocabulary, least=training.LEAST)
    if out.exists():
        raise Conflict("project.folder_exists", folder=out)
    reference = _reference(settings, base)
    corpus = _Corpus(sources, columns or {}, read, query, report)
    noted = _noted(report)
    made = training.train(corpus.texts(), kind, vocabulary, noted)
    if not corpus.documents:
        raise InvalidData("data.no_rows", files=[str(place) for place in corpus.places])
    held = corpus.held if corpus.documents >= _EVERY else corpus.first
    try:
        training.save(made, out)
    except OSError as error:
        shutil.rmtree(out, ignore_errors=True)
        raise EnvironmentProblem("training.cannot_write", reason=str(error)) from None
    return TrainedTokenizer(
        folder=out,
        kind=kind,
        documents=corpus.documents,
        characters=corpus.characters,
        bad=corpus.bad,
        measured=len(held),
        held_out=held is corpus.held,
        before=_measured(*reference, held) if reference else None,
        after=_measured(out.name, TextProcessor.read(out, 1_000_000), held),
    )


class _Corpus:
    """The documents of all sources, as a stream; some are held to measure on."""

    def __init__(
        self,
        sources: Sequence[Any],
        columns: Mapping[str, str],
        read: ReadOptions,
        query: str | None,
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.places = [Held.place(source) for source in sources]
        self._columns = columns
        self._options = read.options(query)
        self._tick = Ticker(report)
        self.documents = self.characters = self.bad = 0
        self.first: list[str] = []
        self.held: list[str] = []

    def texts(self) -> Iterator[str]:
        """Those to learn from: all but every twentieth."""
        task = tasks.get("text-classification")  # which finds a column of texts
        for place in self.places:
            source = prose(Source(place, self._options, self._columns))
            with ExitStack() as opened:
                readings = open_readings(source, task, need_label=False)
                for reading in readings:
                    opened.callback(reading.table.close)
                for reading in readings:
                    yield from self._learnt(reading)

    def _learnt(self, reading: Reading) -> Iterator[str]:
        table = reading.table
        self._tick.begin("read", table.total, table.unit, table.position)
        for row in replace(reading, roles=replace(reading.roles, label=None)):
            if isinstance(row, BadRow) or not str(row.item).strip():
                self.bad += 1
                continue
            text = str(row.item)
            self.documents += 1
            self.characters += len(text)
            if self.documents <= _EVERY:
                self.first.append(text[:_HEAD])
            if self.documents % _EVERY == 0 and len(self.held) < _MEASURED:
                self.held.append(text[:_HEAD])
            else:
                yield text
            self._tick(self.documents)
        self._tick(self.documents, last=True)


def _reference(settings: Settings, base: str | None) -> tuple[str, TextProcessor] | None:
    at_hand = starters(settings)
    if base is None:
        folder = at_hand.get(_REFERENCE)
        return (_REFERENCE, TextProcessor.read(folder, 1_000_000)) if folder else None
    for folder in (at_hand.get(base), Path(base).expanduser(), settings.workspace / base):
        if folder is not None and folder.is_dir():
            return base, TextProcessor.read(folder, 1_000_000)
    raise NotFound("training.no_folder", base=base, options=list(at_hand))


def _noted(report: Callable[[Progress], None] | None) -> Callable[[str], None]:
    def noted(what: str) -> None:
        if report is not None:
            report(Progress("read", 0, 0, note=t(f"tokenizer.note_{what}")))

    return noted


def _measured(name: str, processor: TextProcessor, texts: Sequence[str]) -> Tokenized:
    from rapidfuzz.distance import LCSseq

    tokenizer: Tokenizer = processor.tokenizer
    tokenizer.no_truncation()
    tokens = unknown = lost = 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokens += len(ids)
        unknown += sum(one == processor.unknown_id for one in ids)
        again = tokenizer.decode(ids)
        if again != text:
            written, read = text.encode(), again.encode()
            lost += len(written) - int(LCSseq.similarity(written, read))
    characters, size = sum(map(len, texts)), sum(len(text.encode()) for text in texts)
    return Tokenized(
        name,
        tokenizer.get_vocab_size(),
        round(tokens / max(1, characters), 4),
        round(size / max(1, tokens), 3),
        round(unknown / max(1, tokens), 5),
        lost,
    )
