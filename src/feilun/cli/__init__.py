"""The command line. One command a file in `feilun.cli.commands`; heavy imports inside functions."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``feilun`` command; ends the process with its exit code."""
    from feilun.cli.app import run

    raise SystemExit(run())
