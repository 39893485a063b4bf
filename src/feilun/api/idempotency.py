"""``Idempotency-Key``: a request that is sent again gets its first answer, and is charged once.

A key is the customer's own word for one request, 1 to 255 visible ASCII characters. Its answer is
kept for 24 hours in the commit that charges it, so that it holds over restarts and between servers
on one database. While the first of several is under way here, the others wait for it; on another
server they are computed too, and the ledger lets one of them win. Of a stream the whole is kept;
one that broke off is charged for what was delivered, and leaves its key free.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

from feilun.api.answer import Answer, Streamed, framing
from feilun.api.body import Receive, again, read_body
from feilun.api.claim import Claim
from feilun.api.context import Api
from feilun.api.trace import Trace
from feilun.errors import Unauthorized, UsageError
from feilun.store.ledger_records import Idempotent
from feilun.store.records import ApiKey

__all__ = ["HEADER", "REPLAYED", "once", "replay"]

HEADER = b"idempotency-key"
REPLAYED = ((b"idempotency-replayed", b"true"),)
"""What an answer says that was given before."""

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")

Handler = Callable[[Api, Mapping[bytes, bytes], Receive, Trace], Awaitable[Answer | Streamed]]


async def once(
    api: Api,
    target: tuple[str, str, Handler],
    headers: Mapping[bytes, bytes],
    receive: Receive,
    trace: Trace,
) -> Answer | Streamed:
    """Answers a request by `target` (method, path, handler), or as it was answered before.

    Raises `UsageError` for a key that is none, `InvalidData` (422) for one that was used for
    another request, and whatever the handler raises; a call that failed leaves its key free.
    """
    method, path, handler = target
    given = headers.get(HEADER)
    if given is None:
        return await handler(api, headers, receive, trace)
    if not _KEY.fullmatch(given):
        raise UsageError("api.bad_idempotency_key", param="Idempotency-Key")
    key = await api.authorise(headers)
    body = await read_body(receive, headers)
    digest = sha256(f"{method}\n{path}\n".encode() + body)
    claim = Claim(key.customer, given.decode("ascii"), digest.hexdigest())
    mine = await api.retries.first(claim)
    answer: Answer | Streamed | None = None
    try:
        earlier = await asyncio.to_thread(_earlier, api, key, claim)
        if earlier is not None:
            return replay(earlier)
        trace.claim = claim
        answer = await handler(api, headers, again(body, receive), trace)
        return answer
    finally:
        if isinstance(answer, Streamed):  # the others wait for its end
            answer.ended.append(lambda: api.retries.done(claim, mine))
        else:
            api.retries.done(claim, mine)


def replay(earlier: Idempotent) -> Answer:
    """The earlier answer, byte for byte."""
    return Answer(earlier.body, (*REPLAYED, *framing(earlier.body)))


def _earlier(api: Api, key: ApiKey, claim: Claim) -> Idempotent | None:
    earlier = api.service.store.ledger.earlier(claim.customer, claim.key)
    if earlier is None:
        return None
    claim.check(earlier.fingerprint)
    # This answer does not pass the meter, which would have asked.
    api.keys.look_again()
    if not api.keys.valid(key.id):
        raise Unauthorized("billing.key_ended")
    return earlier
