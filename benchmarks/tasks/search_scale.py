"""Search over a million made-up documents: how long a query takes by terms, by vectors and by both,
and what the index needs.

    python -m benchmarks.tasks.search_scale [--documents 1000000] [--width 384] [--json FILE]

Documents have thirty words, questions eight, drawn from 30,000 words as frequent as those of a
language (Zipf); vectors are drawn at random. The index is written as a version's is and opened from
its files. The encoder's own time for a question comes on top and does not grow with the documents.
Peaks of memory are those of the process so far. Answers mean nothing: what is shown is time and
memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines._mapped import mapped
from feilun.engines._search import Catalogue
from feilun.engines._vectors import Vectors, rounded

WORDS, DOCUMENT, QUESTION, QUESTIONS = 30_000, 30, 8, 100
SHARE = 0.3  # of BM25 where both count
SHOWN, SPARE = 10, 100


def words(draw: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """The words, and how often each comes."""
    letters = list("etaoinshrdlcumwfgypbvk")
    made = ["".join(draw.choice(letters, draw.integers(3, 10))) for _ in range(WORDS)]
    shares = 1 / np.arange(1, WORDS + 1)
    return made, shares / shares.sum()


def texts(count: int, long: int, seed: int) -> Iterator[str]:
    """`count` texts of `long` words."""
    draw = np.random.default_rng(seed)
    known, shares = words(np.random.default_rng(0))
    for start in range(0, count, 10_000):
        for row in draw.choice(WORDS, (min(10_000, count - start), long), p=shares).tolist():
            yield " ".join([known[place] for place in row])


def write(folder: Path, documents: int, width: int) -> dict[str, float]:
    """The files of a version; seconds and peaks of memory."""
    from safetensors.numpy import save_file

    begin = time.perf_counter()
    made = list(texts(documents, DOCUMENT, 1))
    drawn = time.perf_counter()
    Documents.write(folder / "documents.arrow", made)
    index = Index.of(made)
    index.write(folder)
    indexed = time.perf_counter()
    peak = _peak()
    del index, made
    draw = np.random.default_rng(2)
    vectors = np.empty((documents, width), np.float16)
    for start in range(0, documents, 65_536):
        part = draw.standard_normal((min(65_536, documents - start), width), dtype=np.float32)
        vectors[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    codes, units = rounded(vectors)
    save_file({"vectors": vectors, "codes": codes, "units": units}, folder / "vectors.safetensors")
    return {
        "drawing_s": drawn - begin,
        "indexing_s": indexed - drawn,
        "indexing_peak_gb": peak,
        "mb": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
    }


def asked(folder: Path, width: int) -> list[dict[str, Any]]:
    """How long opening takes, and a query of each kind."""
    begin = time.perf_counter()
    catalogue = Catalogue.read(folder)
    opened = time.perf_counter()
    held = mapped(folder / "vectors.safetensors")
    vectors = Vectors(held["vectors"], held["codes"], held["units"])
    ready = time.perf_counter()
    questions = list(texts(QUESTIONS, QUESTION, 3))
    draw = np.random.default_rng(4).standard_normal((QUESTIONS, width)).astype(np.float32)
    queries = draw / np.linalg.norm(draw, axis=1, keepdims=True)

    def lexical(place: int) -> Any:
        return catalogue.index.nearest(terms(questions[place]), SHOWN)

    def near(place: int) -> Any:
        cosine = vectors.cosine(queries[place])
        places = best(cosine, SHOWN + SPARE, -np.inf)
        return vectors.exact(places, queries[place])

    def both(place: int) -> Any:
        base = (1 - SHARE) * vectors.cosine(queries[place])
        found = catalogue.index.nearest(
            terms(questions[place]), SHOWN + SPARE, base, SHARE, -np.inf
        )
        return vectors.exact(found[0], queries[place])

    return [
        {"by": "terms (BM25)", "opening_s": opened - begin, **_timed(lexical)},
        {"by": "vectors", "opening_s": ready - opened, **_timed(near)},
        {"by": "both", "opening_s": ready - begin, **_timed(both)},
    ]


def _timed(ask: Callable[[int], Any]) -> dict[str, float]:
    """The median, 95 of 100 and longest times, in ms; the first ten queries read from disk."""
    took = []
    for place in range(QUESTIONS):
        begin = time.perf_counter()
        ask(place)
        took.append(1000 * (time.perf_counter() - begin))
    warm = np.array(took[10:])
    return {"first": took[0], "p50": float(np.median(warm)),
            "p95": float(np.percentile(warm, 95)), "peak_gb": _peak()}  # fmt: skip


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        print("-- writing", file=sys.stderr, flush=True)
        cost = write(Path(place), options.documents, options.width)
        rows = asked(Path(place), options.width)
    made = f"{cost['indexing_s']:,.0f} s with {cost['indexing_peak_gb']:.1f} GB at most"
    print(f"{options.documents:,} documents: {cost['mb']:,.0f} MB, the index made in {made}.\n")
    print("| by | opening, s | first query, ms | p50, ms | p95, ms | peak GB |")
    print("|---|--:|--:|--:|--:|--:|")
    for row in rows:
        cells = [row["by"], f"{row['opening_s']:.2f}", f"{row['first']:.1f}", f"{row['p50']:.1f}"]
        print("|", " | ".join([*cells, f"{row['p95']:.1f}", f"{row['peak_gb']:.1f}"]), "|")
    if options.json:
        told = {**cost, "queries": rows}
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
