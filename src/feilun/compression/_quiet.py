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
    from nncf.common.logging.track_progress import track

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    begin = track.__init__

    def without_bar(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **{**kwargs, "disable": True})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        track.__init__ = without_bar
        try:
            yield
        finally:
            track.__init__ = begin
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
