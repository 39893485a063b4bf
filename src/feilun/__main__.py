"""``python -m feilun`` is the ``feilun`` command."""

from feilun.cli import main

main()
