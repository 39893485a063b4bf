"""One command a file: ``data_add.py`` is ``feilun data add``.

Each defines ``command(shell, ...)``; its words for people are in ``messages/cli.toml``.
"""
