"""What is known of one call while it is answered: who answers, and where its time goes."""

from __future__ import annotations

from time import perf_counter

from feilun.api.claim import Claim
from feilun.types import Usage

__all__ = ["STAGES", "Trace", "outcome_of"]

STAGES = ("authorise", "read", "parse", "tokenise", "queue", "engine", "ledger", "write")
"""In the order of a call: key and limits; body from the network; JSON and checks; inputs into
arrays; waiting for a batch; computing, and putting the answer into words; ledger; answer to the
network. Together they are the call's time."""


class Trace:
    """One call. `endpoint` and `version` (``reviews@3``) are empty until they are found; `claim` is
    there where the request may be sent again."""

    __slots__ = ("_last", "claim", "endpoint", "seconds", "version")

    def __init__(self, start: float | None = None) -> None:
        """`start` is when the call came, by `time.perf_counter`; by default now."""
        self.endpoint = ""
        self.version = ""
        self.claim: Claim | None = None
        self.seconds: dict[str, float] = {}
        self._last = perf_counter() if start is None else start

    def lap(self, stage: str) -> float:
        """Ends `stage`: what has passed since the last lap was spent in it, and is returned."""
        now = perf_counter()
        passed, self._last = now - self._last, now
        self.seconds[stage] = self.seconds.get(stage, 0.0) + passed
        return passed

    def lap_engine(self, usage: Usage) -> None:
        """Ends the time in the engine, divided by what the engine said of it in `usage`."""
        passed = self.lap("engine")
        queue = min(passed, usage.queue_seconds)
        tokenise = min(passed - queue, usage.encode_seconds)
        self.seconds["queue"], self.seconds["tokenise"] = queue, tokenise
        self.seconds["engine"] -= queue + tokenise


def outcome_of(status: int) -> str:
    """What became of a call, in a word, by its HTTP status."""
    if status < 400:
        return "answered"
    if status == 499:
        return "disconnected"
    if status in (402, 429):
        return "limited"
    return "refused" if status < 500 else "failed"
