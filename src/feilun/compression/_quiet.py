"""Keeps the converters silent: their bars, warnings and reports would mix with our own words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["quiet"]

_LOGGERS = ("nncf", "openvino", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, no warnings, nothing below an error, until it ends."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings(), _no_bars():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """NNCF draws bars on standard output, and has no switch for them."""
    try:
        from nncf.common.logging.track_progress import track
    except ImportError:
        yield
        return
    begin = track.__init__

    def without_bar(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **{**kwargs, "disable": True})

    track.__init__ = without_bar
    try:
        yield
    finally:
        track.__init__ = begin
