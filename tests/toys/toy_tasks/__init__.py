"""A distribution that brings tasks of its own: what a stranger would write. See
`tests/integration/test_seam.py`."""
