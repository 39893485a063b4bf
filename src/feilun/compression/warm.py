"""Imports what compression needs while something else is being waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["warmed"]


@contextmanager
def warmed() -> Iterator[None]:
    """Imports torch, transformers, OpenVINO and NNCF in a thread of its own while the block runs:
    seconds that a training in a child process leaves unused. What comes after the block finds them
    whole: transformers fills its modules in parts, and two threads that import it at once see
    names that are not there yet. Where the block raises, only the end of the process waits."""
    thread = threading.Thread(target=_import, name="feilun-warm")
    thread.start()
    yield
    thread.join()


def _import() -> None:
    from feilun.engines.openvino import openvino

    # Whoever needs what is missing here imports it again, and says so.
    with suppress(Exception):
        import torch  # noqa: F401
        import transformers.modeling_utils  # noqa: F401

        openvino()
        import nncf  # noqa: F401
