"""Requests that may be sent again: which are under way, and how an answer is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feilun.errors import InvalidData, PayloadTooLarge
from feilun.store.ledger_records import Idempotent

__all__ = ["KEPT", "MOST_KEPT", "Claim", "Retries"]

KEPT = timedelta(hours=24)
MOST_KEPT = 1024 * 1024
"""Bytes of an answer that can be kept. A larger one is refused, and not charged."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that may be sent again: whose, by which key, and what it says (sha256)."""

    customer: str
    key: str
    fingerprint: str

    def keep(self, call_id: str, body: bytes) -> Idempotent:
        """The answer as it is kept. Raises `PayloadTooLarge` for more than `MOST_KEPT`."""
        if len(body) > MOST_KEPT:
            raise PayloadTooLarge("api.answer_too_large_to_keep", given=len(body), limit=MOST_KEPT)
        expires = datetime.now(UTC) + KEPT
        return Idempotent(self.customer, self.key, self.fingerprint, call_id, body, expires)

    def check(self, fingerprint: str) -> None:
        """Raises `InvalidData` when the key was another request's."""
        if fingerprint != self.fingerprint:
            raise InvalidData("store.idempotency_key_reused", key=self.key)


class Retries:
    """The requests with a key that are under way in this process."""

    def __init__(self) -> None:
        self._going: dict[tuple[str, str], tuple[str, asyncio.Future[None]]] = {}

    async def first(self, claim: Claim) -> asyncio.Future[None]:
        """Returns when nobody else is answering this key; `done` ends what begins then."""
        who = (claim.customer, claim.key)
        while who in self._going:
            fingerprint, ended = self._going[who]
            claim.check(fingerprint)
            # Shielded: one of those who wait may go away without the others.
            await asyncio.shield(ended)
        mine = asyncio.get_running_loop().create_future()
        self._going[who] = claim.fingerprint, mine
        return mine

    def done(self, claim: Claim, mine: asyncio.Future[None]) -> None:
        """Lets the next one begin."""
        del self._going[claim.customer, claim.key]
        mine.set_result(None)
