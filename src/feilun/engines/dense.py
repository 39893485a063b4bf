"""Search by vectors: an encoder in OpenVINO, the vectors of a catalogue, and its BM25 index.

A version holds the encoder (``model.xml``, ``model.bin``, the tokenizer's files), the catalogue
(see `_index`) and ``vectors.safetensors``: `vectors` (documents, dimensions) float16, every row of
length one, and of many documents `codes` and `units`, the same in 8 bits (see `_vectors`). The
card's ``extra`` says what stands before a `query` and before a `document` when the encoder reads
it, and what BM25 counts: a document's score is ``(1 - lexical) * cosine + lexical * BM25``, where
`lexical` was chosen on the validation rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.engines._index import best, terms
from feilun.engines._mapped import mapped
from feilun.engines._search import Catalogue, depth, ranked_texts
from feilun.engines._vectors import Vectors
from feilun.engines.array import ArrayEngine, Inferred
from feilun.engines.card import Card
from feilun.engines.openvino import Requests, compiled_model
from feilun.errors import CorruptArtifact
from feilun.tasks.base import Arrays
from feilun.types import Chunk, EngineRequest, Item, Output

__all__ = [
    "FORMATS",
    "VECTORS",
    "DenseEngine",
    "EncoderRequests",
    "combined",
    "load",
    "unit",
]

FORMATS = ("dense",)
VECTORS = "vectors.safetensors"

_SPARE = 100  # documents beside those that are shown whose rounded vectors are looked at again


def unit(vectors: np.ndarray, dimensions: int | None = None) -> np.ndarray:
    """The first `dimensions` (None: all) of `vectors` (n, width), float32, every row of length
    one; a row of nothing stays nothing."""
    kept = np.asarray(vectors[:, :dimensions], np.float32)
    length = np.linalg.norm(kept, axis=1, keepdims=True)
    scaled: np.ndarray = kept / np.where(length, length, np.float32(1))
    return scaled


def combined(cosine: np.ndarray, lexical: np.ndarray, weight: float) -> np.ndarray:
    """The scores of documents by both."""
    scores: np.ndarray = (1 - weight) * cosine + weight * lexical
    return scores.astype(np.float32)


class DenseEngine(ArrayEngine):
    """Answers from a `dense` version. Whoever wants vectors gets those of the encoder."""

    _catalogue: Catalogue | None = None

    def __init__(
        self, folder: Path, card: Card, requests: Requests, streams: int, facts: Mapping[str, Any]
    ) -> None:
        width = int(card.extra["width"])
        super().__init__(folder, card, requests, streams, facts, width=width)
        self._threads = int(facts.get("threads", 1))
        self._vectors = _read(folder, self.open_catalogue(folder), self._threads)
        self._dimensions = self._vectors.width
        self._lexical = float(card.extra.get("lexical", 0.0))
        self._before = [str(card.extra.get(name, "")) for name in ("query", "document")]
        self._ranked, self._decode = self._decode, _placeholders
        self._search = ThreadPoolExecutor(streams, "feilun-search")

    def open_catalogue(self, folder: Path) -> int:
        """Opens what is searched, and says how many documents there are."""
        self._catalogue = Catalogue.read(folder)
        return len(self._catalogue.documents)

    @property
    def documents(self) -> Sequence[str]:
        """See `Searches`; nothing where what is found is no document of a catalogue."""
        return () if self._catalogue is None else self._catalogue.documents

    def search_over(self, documents: Sequence[str]) -> None:
        """See `Searches`; the encoder reads those that it has no vectors of."""
        place = {text: number for number, text in enumerate(self.documents)}
        added = [text for text in documents if text not in place]
        vectors = self._vectors.vectors
        if added:
            read = super().raw([self._before[1] + text for text in added])
            fresh = unit(read, self._dimensions).astype(vectors.dtype)
            vectors = np.concatenate([vectors, fresh])
        place |= {text: len(place) + number for number, text in enumerate(added)}
        self._vectors = Vectors(vectors[[place[text] for text in documents]], threads=self._threads)
        self._catalogue = Catalogue.of(list(documents))

    def lexical(self, query: str) -> np.ndarray:
        """The score of every document for a query by their terms, float32 (documents,)."""
        assert self._catalogue is not None
        return self._catalogue.lexical(query)

    def scores_of(self, query: str, documents: Sequence[Sequence[str]]) -> np.ndarray:
        """The scores by terms of any documents, given as terms, float32."""
        assert self._catalogue is not None
        return self._catalogue.index.scores(terms(query), documents)

    def found(self, query: str, scores: np.ndarray, options: Mapping[str, Any]) -> Any:
        """The raw output for a query whose `scores` of all documents are known."""
        assert self._catalogue is not None
        return self._catalogue.ranked(scores, options, least=-np.inf)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        texts = [self._before[0] + str(item) for item in items]
        for place, vector in enumerate(unit(super().raw(texts), self._dimensions)):
            found[place] = self._nearest(str(items[place]), vector, {})
        return found

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        return self._ranked(self.raw(items), all_scores)

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if request.vectors:
            async for chunk in super().submit(request):
                yield chunk
            return
        queries = [str(item) for item in request.items]
        documents = [str(text) for text in request.options.get("documents", ())]
        texts = [self._before[0] + text for text in queries]
        texts += [self._before[1] + text for text in documents]
        async for chunk in super().submit(replace(request, items=texts, vectors=True)):
            vectors = unit(np.stack([one["vector"] for one in chunk.outputs]), self._dimensions)
            loop = asyncio.get_running_loop()
            begin = perf_counter()
            raw = await loop.run_in_executor(
                self._search, self._found, queries, documents, vectors, request.options
            )
            usage = chunk.usage
            if usage is not None:
                seconds = usage.engine_seconds + perf_counter() - begin
                units = {"documents": len(documents)} if documents else {}
                usage = replace(usage, inputs=len(queries), engine_seconds=seconds, units=units)
            costs = chunk.costs if not documents else None
            yield Chunk(self._ranked(raw, request.all_scores), usage, costs)

    def close(self) -> None:
        super().close()
        self._search.shutdown(wait=False)

    def _found(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        vectors: np.ndarray,
        options: Mapping[str, Any],
    ) -> np.ndarray:
        found = np.empty(len(queries), dtype=object)
        read = [terms(document) for document in documents]
        for place, query in enumerate(queries):
            if "documents" not in options:
                found[place] = self._nearest(query, vectors[place], options)
                continue
            cosine = vectors[len(queries) :] @ vectors[place]
            lexical = self.scores_of(query, read)
            found[place] = ranked_texts(documents, combined(cosine, lexical, self._lexical))
        return found

    def _nearest(self, query: str, vector: np.ndarray, options: Mapping[str, Any]) -> Any:
        cosine = self._vectors.cosine(vector)
        if self._vectors.rounds and self._catalogue is not None:
            return self._of_many(self._catalogue, query, vector, cosine, options)
        scores = cosine
        if self._lexical:
            scores = combined(cosine, self.lexical(query), self._lexical)
        return self.found(query, scores, options)

    def _of_many(
        self,
        catalogue: Catalogue,
        query: str,
        vector: np.ndarray,
        cosine: np.ndarray,
        options: Mapping[str, Any],
    ) -> Any:
        """What is nearest by rounded vectors, in the order of the vectors as they are."""
        base = (1 - self._lexical) * cosine
        if self._lexical:
            share, least = self._lexical, -np.inf
            places, scores = catalogue.nearest(query, options, base, share, least, _SPARE)
        else:
            places = best(base, depth(options) + _SPARE, -np.inf)
            scores = base[places]
        scores = scores - base[places] + (1 - self._lexical) * self._vectors.exact(places, vector)
        order = np.lexsort((places, -scores))[: depth(options)]
        return catalogue.shown(places[order], scores[order], options)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> DenseEngine:
    """Compiles the encoder as `engines.openvino` does."""
    compiled, streams, threads = compiled_model(folder, card, streams, threads)
    facts = {
        "engine": "dense",
        "device": "CPU",
        "threads": threads,
        "vectors": True,
        "searches": True,
    }
    return DenseEngine(folder, card, EncoderRequests(compiled), streams, facts)


class EncoderRequests(Requests):
    """An encoder's vectors, as raw outputs and as vectors."""

    def __call__(self, arrays: Arrays) -> Inferred:
        vectors, _ = super().__call__(arrays)
        return vectors, vectors


def _placeholders(raw: np.ndarray, all_scores: bool) -> list[Output]:
    return [{} for _ in raw]


def _read(folder: Path, documents: int, threads: int) -> Vectors:
    file = folder / VECTORS
    try:
        held = mapped(file)
        vectors = held["vectors"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
    if vectors.ndim != 2 or len(vectors) != documents:
        reason = f"{vectors.shape}, {documents}"
        raise CorruptArtifact("engines.bad_weights", file=file, reason=reason)
    return Vectors(vectors, held.get("codes"), held.get("units"), threads=threads)
