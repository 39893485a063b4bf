"""Versions that search are compared over one catalogue: more documents are more to be wrong about.

A version that was made when there were fewer documents finds the right one among fewer rivals, so
that an update which knows more of them looks worse than it is, on the very questions that both can
answer (261 new documents cost 2.3 points). Customers will search the candidate's documents, so the
others search these too, each by what it has learnt.
"""

from __future__ import annotations

from feilun.engines._search import Searches
from feilun.engines.base import Engine

__all__ = ["over_one_catalogue"]

_MOST = 20_000
"""Documents that a version is given to read for a comparison at most: more would take an encoder
longer than the training did, and then it searches its own."""


def over_one_catalogue(candidate: Engine, other: Engine) -> None:
    """Gives the `other` engine the catalogue of the `candidate`, where both search one."""
    if not (isinstance(candidate, Searches) and isinstance(other, Searches)):
        return
    mine, theirs = candidate.documents, set(other.documents)
    if not mine or not theirs or set(mine) == theirs:
        return
    if sum(text not in theirs for text in mine) <= _MOST:
        other.search_over(mine)
