"""Imports what compression needs while something else is being waited for."""

from __future__ import annotations

import threading
from contextlib import suppress

__all__ = ["warm"]


def warm() -> None:
    """Begins to import torch, transformers, OpenVINO and NNCF in a thread of its own: seconds that
    a training in a child process leaves unused. Returns at once; a second call finds them there.
    A process that ends meanwhile waits for the thread: none may be torn out of an import."""
    threading.Thread(target=_import, name="feilun-warm").start()


def _import() -> None:
    from feilun.engines.openvino import openvino

    # Whoever needs what is missing here imports it again, and says so.
    with suppress(Exception):
        import torch  # noqa: F401
        import transformers.modeling_utils  # noqa: F401

        openvino()
        import nncf  # noqa: F401
