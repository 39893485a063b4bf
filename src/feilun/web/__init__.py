"""The console: the whole wheel in a browser. It speaks to the verbs of `feilun.project` and has no
logic of its own; the pages come from the server and work without JavaScript, but for live parts.
"""

from __future__ import annotations

from feilun.web.app import create_console
from feilun.web.run import run

__all__ = ["create_console", "run"]
