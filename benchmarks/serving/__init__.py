"""Throughput and waiting through HTTP, with keys, limits, ledger and prediction log on, beside what
the engine can do in process and what others do with the same model. See `__main__`."""
