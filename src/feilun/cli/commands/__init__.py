"""The commands, one file a noun. A function in a file's ``__all__`` is a command and its name the
words that are typed: ``data_add`` is ``feilun data add``; a name that Python keeps for itself ends
with an underscore (``import_``).

Its docstring is for readers of the code; its words for people are in ``messages/cli.toml``.
"""
