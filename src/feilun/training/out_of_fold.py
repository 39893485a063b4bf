"""Answers to training rows by models that did not see them, kept beside a version's weights.

Linear models choose their strength over folds of the training rows, so that every row has been
answered once by a model of the same recipe that did not learn from it. Two versions that both keep
these answers can be compared on all rows that both learned from, not on the test rows alone
(cross-validation; Stone 1974).

``out_of_fold.safetensors`` holds `raw` (rows, width) float32 and `keys` (rows,) uint64, the hashes
of the rows' ids. Answers that are no rows of numbers stand as JSON in `json` (bytes,) instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from feilun.families._objects import objects

__all__ = ["FILE", "OutOfFold", "deal", "fits", "keep", "keys_of", "places", "read", "refitted"]

FILE = "out_of_fold.safetensors"

_MOST = 8_000_000  # numbers that are kept at most, 32 MB
FOLDS = 3
"""Parts into which training rows are dealt, where a method chooses its strength."""


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Raw outputs, (rows, width) or objects (rows,), of the rows with these `keys` (rows,)."""

    keys: np.ndarray
    raw: np.ndarray


def keys_of(ids: Iterable[str]) -> np.ndarray:
    """A hash of each row id, uint64."""
    found = [blake2b(row.encode(), digest_size=8).digest() for row in ids]
    return np.frombuffer(b"".join(found), dtype="<u8").copy()


def fits(numbers: int) -> bool:
    """Whether so many outputs are kept."""
    return numbers <= _MOST


def keep(folder: Path, ids: Iterable[str] | None, raw: np.ndarray | None) -> None:
    """Writes the file into the version's `folder`; nothing where one of both is not known, or where
    they are very many numbers."""
    if ids is None or raw is None or not fits(raw.size):
        return
    from safetensors.numpy import save_file

    keys = keys_of(ids)
    if len(keys) != len(raw):
        raise ValueError(f"{len(keys)} ids for {len(raw)} rows")
    if raw.dtype == object:
        said = np.frombuffer(msgspec.json.encode(raw.tolist()), np.uint8)
        save_file({"keys": keys, "json": said}, folder / FILE)
    else:
        tensors = {"keys": keys, "raw": np.ascontiguousarray(raw, np.float32)}
        save_file(tensors, folder / FILE)


def read(folder: Path, kind: Any = None) -> OutOfFold | None:
    """What `keep` wrote, each object of this `kind` (`Family.Raw`); None where it is not there or
    not whole."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(folder / FILE)
        keys = found["keys"]
        raw = found["raw"] if kind is None else objects(_said(found["json"], kind))
    except (OSError, KeyError, SafetensorError, msgspec.MsgspecError):
        return None
    whole = len(keys) == len(raw) and raw.ndim == (2 if kind is None else 1)
    return OutOfFold(keys, raw) if whole else None


def _said(raw: np.ndarray, kind: Any) -> list[Any]:
    found: list[Any] = msgspec.json.decode(raw.tobytes(), type=list[kind])
    return found


def places(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of the `wanted` keys stands among the `known` ones; -1 where it does not."""
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)
    found: np.ndarray = order[at]
    return np.where(known[found] == wanted, found, -1)


def deal(
    targets: np.ndarray, groups: np.ndarray | None, folds: int = FOLDS, seed: int = 0
) -> np.ndarray:
    """The fold of every row, int64 (n,), of `folds`, drawn by `seed`.

    Rows of one of the `groups` (n,) share it, so that no row is answered by a model that learnt its
    near-duplicate; None for rows that stand alone. The groups of each label are dealt out like
    cards, so that every fold has its share of it; of numbers and sets of tags just by lot."""
    groups = np.arange(len(targets)) if groups is None else groups
    heads, first, of_row = np.unique(groups, return_index=True, return_inverse=True)
    lots = np.random.default_rng(seed).permutation(len(heads))
    labels = targets[first] if targets.ndim == 1 and targets.dtype.kind in "iu" else lots
    fold = np.empty(len(heads), np.int64)
    fold[np.lexsort((lots, labels))] = np.arange(len(heads)) % folds
    dealt: np.ndarray = fold[of_row]
    return dealt


def refitted(
    targets: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
    fit: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Raw outputs of every row for a method that has no folds of its own: ``fit(learn, judge)``
    gives those of the rows that the mask `judge` marks, learnt from those that `learn` marks. The
    folds are those of `deal`."""
    fold = deal(targets, groups, seed=seed)
    raw: np.ndarray | None = None
    for number in range(FOLDS):
        judge = fold == number
        given = fit(~judge, judge)
        if raw is None:
            raw = np.zeros((len(targets), given.shape[1]), np.float32)
        raw[judge] = given
    assert raw is not None
    return raw
