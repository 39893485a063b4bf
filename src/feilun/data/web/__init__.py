"""Pages of the web from a list that somebody gives: ``feilun data fetch``.

Never from a request to the API: `feilun.api` may not import this, which the layers contract holds.
"""

from __future__ import annotations

from feilun.data.web.fetch import Fetched, fetch

__all__ = ["Fetched", "fetch"]
