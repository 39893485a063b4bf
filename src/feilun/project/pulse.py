"""How the API does now: what its servers count, read from their metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from feilun.store.records import Server

__all__ = ["Pulse", "pulse"]

_WAIT = 0.5  # seconds for a server to say how it does
_CALLS = ("/v1/predict", "/v1/models/", "/v1/chat/", "/v1/completions", "/v1/embeddings", "/v2/")
_FAILED = ("failed",)
_BUCKET = "feilun_request_seconds_bucket{"


@dataclass(frozen=True, slots=True)
class Pulse:
    """Since the servers started: `calls` that were to be charged, of which `failed` were not
    answered by their fault, and `p95`, the seconds within which 95 % were answered (the upper end
    of a bucket); None where nothing was called."""

    calls: int
    failed: int
    p95: float | None


def pulse(servers: Sequence[Server]) -> Pulse | None:
    """Reads ``/metrics`` of every server; None where none answers."""
    texts = [text for text in map(_metrics, servers) if text]
    if not texts:
        return None
    calls = failed = 0
    buckets: dict[float, float] = {}
    for line in (line for text in texts for line in text.splitlines()):
        name, _, value = line.rpartition(" ")
        if name.startswith("feilun_calls_total{"):
            count = int(float(value))
            calls += count
            failed += count if _label(name, "outcome") in _FAILED else 0
        elif name.startswith(_BUCKET) and _label(name, "route").startswith(_CALLS):
            end = float(_label(name, "le").replace("+Inf", "inf"))
            buckets[end] = buckets.get(end, 0.0) + float(value)
    return Pulse(calls, failed, _p95(buckets))


def _p95(buckets: dict[float, float]) -> float | None:
    total = max(buckets.values(), default=0.0)
    within = [end for end, count in sorted(buckets.items()) if count >= 0.95 * total]
    return within[0] if total else None


def _label(name: str, label: str) -> str:
    return name.partition(f'{label}="')[2].partition('"')[0]


def _metrics(server: Server) -> str:
    try:
        with httpx.Client(timeout=_WAIT, trust_env=False, verify=False) as http:
            answer = http.get(f"{server.address}/metrics")
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 else ""
