"""What the headers of an answer say of the limits that a call went through."""

from __future__ import annotations

from feilun.billing.admission import Admission

__all__ = ["allowance_headers", "rate_headers"]

Headers = list[tuple[bytes, bytes]]


def allowance_headers(admission: Admission) -> Headers:
    """Of an answered call: how many more may begin at once, and a warning where a budget is used up
    to its mark."""
    allowance = admission.allowance()
    headers = [] if allowance is None else rate_headers(allowance)
    warning = admission.warning()
    if warning is not None:
        headers.append((b"x-feilun-budget-warning", warning.encode()))
    return headers


def rate_headers(allowance: tuple[int, int, float]) -> Headers:
    """`Admission.allowance` under the names that clients of OpenAI read; the reset in seconds, as
    ``0.25s``."""
    limit, remaining, reset = allowance
    return [
        (b"x-ratelimit-limit-requests", b"%d" % limit),
        (b"x-ratelimit-remaining-requests", b"%d" % remaining),
        (b"x-ratelimit-reset-requests", b"%.3fs" % reset),
    ]
