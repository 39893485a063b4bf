"""What the three OpenAI routes for texts word alike: usage, reasons, and what a call may be."""

from __future__ import annotations

from typing import Any

import msgspec

from feilun.serving.served import Served
from feilun.types import Output, Usage

__all__ = ["LONG", "StreamOptions", "created", "details", "reason", "sure", "usage_of"]

LONG = 32 * 1024
"""Bytes of a body from which checking it would hold up the event loop."""


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream tells besides its text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def details(usage: Usage) -> tuple[int, int, int]:
    """The tokens of the prompts, those of them that were kept from before, and those written."""
    units = usage.units
    cached = units.get("tokens_cached", 0)
    return units.get("tokens_in", 0) + cached, cached, units.get("tokens_out", 0)


def usage_of(usage: Usage) -> dict[str, Any]:
    """Usage as completions state it."""
    asked, cached, written = details(usage)
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def created(served: Served) -> int:
    """When the version that answers was made, in seconds since 1970."""
    return int(served.version.created.timestamp())


def reason(output: Output) -> str:
    """Why the answer ended."""
    return str(output.get("finish_reason", "stop"))


def sure(output: Output) -> dict[str, Any]:
    """What feilun says beyond OpenAI's fields: how sure the answer is, and whether it is none."""
    return {name: output[name] for name in ("score", "abstained") if name in output}
