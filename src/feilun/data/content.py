"""What makes two rows the same: the normalised content and its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feilun.data.sources.base import Source
from feilun.tasks.base import TaskBase
from feilun.types import Item

__all__ = ["content_key", "content_keys"]


def content_key(item: Item) -> bytes:
    """16 bytes that are equal for equal content: texts count in Unicode form NFC without the
    space around them, media by their bytes."""
    raise NotImplementedError


def content_keys(
    sources: Iterable[Source], task: TaskBase, columns: Mapping[str, str] | None = None
) -> frozenset[bytes]:
    """The keys of all usable rows of `sources`, for `build(exclude=…)`."""
    raise NotImplementedError
