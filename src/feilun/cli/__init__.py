"""The command line. One file a noun in `feilun.cli.commands`; heavy imports inside functions."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``feilun`` command; ends the process with its exit code."""
    import os
    import sys

    from feilun.cli.failures import INTERRUPTED

    try:
        from feilun.cli.app import run

        code = run()
    except KeyboardInterrupt:  # before anything was begun, or after all was done
        from feilun.messages import t

        print(t("cli.interrupted"), file=sys.stderr)
        code = INTERRUPTED
    if code == INTERRUPTED:
        # A thread may still be in a step that reports rarely; the interpreter would wait for it.
        # Every step can be killed at any moment, so this loses nothing.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
