"""Newcomers: an item that nobody has taken is recommended as those are that it resembles, a user
without a history gets what users like him take. What they are like stands in their columns.

How much a column counts for items is learnt: as much as being alike in it goes with being taken by
the same users. For users it is naive Bayes over the parts of their columns, each share drawn
towards that of all users where few have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from feilun.engines.recommender import ABOUT
from feilun.modalities.table.described import Described

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["of_users", "with_new_items"]

_ALIKE = 20  # known items that a new one is taken for
_PAIRS = 20_000  # of known items, by which columns are weighed
_SOURCES = 200  # items of a history that speak for a new one
_CAUTION = 0.5  # of what speaks for its likes, so much speaks for a new item
_PRIOR = 10.0  # users that a part of a column is thought to have besides its own
_LEAST_USERS = 20  # described users with a history below which nothing is learnt of columns
_MOST_FEATURES = 1000
_MOST_ITEMS = 5000  # the most taken ones, which are offered by columns


def with_new_items(
    matrix: csr_matrix, names: Sequence[str], about: Mapping[str, Any], speaks: csr_matrix
) -> csr_matrix:
    """`speaks` with what speaks for items that nobody has taken. `matrix` (users, items) says who
    took what, `about` what is known of items by their `names`."""
    from scipy.sparse import csr_matrix

    taken = np.asarray(matrix.sum(axis=0)).ravel()
    described = np.array([name in about for name in names])
    new, known = np.flatnonzero(described & (taken == 0)), np.flatnonzero(described & (taken > 0))
    if not len(new) or len(known) < 2:
        return speaks
    told = Described.fit([about[names[n]] for n in known.tolist()])
    old = told.blocks([about[names[n]] for n in known.tolist()])
    weights = _weights(matrix[:, known], old)
    if not weights.any():
        return speaks
    fresh = told.blocks([about[names[n]] for n in new.tolist()])
    likeness = sum(
        weight * (mine @ theirs.T) for weight, mine, theirs in zip(weights, fresh, old, strict=True)
    )
    alike = _largest(likeness.tocsr(), _ALIKE)
    share = np.asarray(alike.sum(axis=1)).ravel()
    alike = csr_matrix(alike.multiply(1 / np.maximum(share, 1e-9)[:, None]))
    # What speaks for its likes speaks for it, and so do they themselves.
    for_likes = speaks.tocsc()[:, known].tocsr()
    itself = _strongest(speaks)[known]
    direct = csr_matrix((itself, (known, np.arange(len(known)))), (len(names), len(known)))
    column = (alike @ (for_likes + direct).T).tocsr() * _CAUTION
    column = _largest(column, _SOURCES).tocoo()
    whole = speaks.tocoo()
    rows = np.concatenate([whole.row, column.col])
    columns = np.concatenate([whole.col, new[column.row]])
    values = np.concatenate([whole.data, column.data]).astype(np.float32)
    made = csr_matrix((values, (rows, columns)), speaks.shape)
    made.sort_indices()
    return made


def of_users(
    matrix: csr_matrix, names: Sequence[str], about: Mapping[str, Any], folder: Path
) -> dict[str, np.ndarray]:
    """What users' columns say of items, as tensors: `column_items` (items,) int32 the items that
    are offered by columns, and `column_odds` (features, items) float32 how much likelier each part
    of a column makes them, in logarithms. The parts stand in ``about.json`` in `folder`, with the
    columns of users that have no history. Nothing where nothing is known. `matrix` (users, items)
    says who took what, `about` what is known of users by their `names`."""
    rows = [place for place, name in enumerate(names) if name in about]
    if len(rows) < _LEAST_USERS:
        return {}
    told = Described.fit([about[names[place]] for place in rows])
    told = Described([one for one in told.state if "grams" not in one])
    if not told.state:
        return {}
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    matrix = matrix[rows]
    offered = np.argsort(-counts, kind="stable")[:_MOST_ITEMS]
    offered = np.sort(offered[counts[offered] > 0])
    blocks = told.blocks([about[names[place]] for place in rows])
    if sum(block.shape[1] for block in blocks) > _MOST_FEATURES:
        return {}
    shares = np.asarray(matrix[:, offered].sum(axis=0)).ravel() + 0.5
    shares = shares / (len(rows) + 1)
    odds = []
    for block in blocks:
        has = block.copy()
        has.data[:] = 1
        users = np.asarray(has.sum(axis=0)).ravel()[:, None]
        took = np.asarray((has.T @ matrix[:, offered]).todense())
        odds.append(np.log((took + _PRIOR * shares) / ((users + _PRIOR) * shares)))
    known = set(names)
    strangers = {name: one for name, one in about.items() if name not in known}
    plain: dict[str, Any] = {"columns": told.state, "users": strangers}
    (folder / ABOUT).write_bytes(msgspec.json.encode(plain))
    return {
        "column_items": offered.astype(np.int32),
        "column_shares": shares.astype(np.float32),
        "column_odds": np.concatenate(odds).astype(np.float32),
    }


def _weights(matrix: csr_matrix, blocks: Sequence[csr_matrix]) -> np.ndarray:
    """How much each column's likeness goes with common users: correlations over pairs of items,
    half of which have common users; 0 below nothing."""
    draw = np.random.default_rng(0)
    count = matrix.shape[1]
    common = (matrix.T @ _some_users(matrix, draw)).tocoo() if count <= 20_000 else None
    first, second = draw.integers(0, count, (2, _PAIRS))
    if common is not None and common.nnz:
        places = draw.integers(0, common.nnz, _PAIRS)
        first = np.concatenate([first, common.row[places]])
        second = np.concatenate([second, common.col[places]])
    apart = first != second
    first, second = first[apart], second[apart]
    columns = matrix.tocsc()
    size = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    together = np.asarray(columns[:, first].multiply(columns[:, second]).sum(axis=0)).ravel()
    near = together / (size[first] * size[second] + 10.0)
    weights = []
    for block in blocks:
        alike = np.asarray(block[first].multiply(block[second]).sum(axis=1)).ravel()
        moves = alike.std() > 0 and near.std() > 0
        weights.append(max(0.0, float(np.corrcoef(alike, near)[0, 1])) if moves else 0.0)
    return np.array(weights)


def _some_users(matrix: csr_matrix, draw: np.random.Generator) -> csr_matrix:
    """`matrix` with 2,000 of its users, which is enough to find items with common ones."""
    from scipy.sparse import diags

    kept = np.zeros(matrix.shape[0])
    kept[draw.permutation(matrix.shape[0])[:2000]] = 1
    return diags(kept) @ matrix


def _strongest(speaks: csr_matrix) -> np.ndarray:
    """What each item speaks for most strongly, as a number."""
    found: np.ndarray = np.asarray(speaks.max(axis=1).todense()).ravel()
    return found


def _largest(matrix: csr_matrix, most: int) -> csr_matrix:
    """The `most` largest values above 0 of each row."""
    from scipy.sparse import csr_matrix

    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    kept = order[(rank < most) & (matrix.data[order] > 0)]
    return csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), matrix.shape)
