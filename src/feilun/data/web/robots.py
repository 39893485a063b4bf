"""What a site lets a robot read (robots.txt, RFC 9309), and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from feilun.data.web.http import Web, origin_of, sound_url
from feilun.errors import InvalidData

if TYPE_CHECKING:
    from protego import Protego

__all__ = ["Robots"]

_LIMIT = 512 << 10
_HOPS = 5


class Robots:
    """The rules of the sites that are asked; each is read once."""

    def __init__(self, web: Web, agent: str) -> None:
        self._web, self._agent = web, agent
        self._known: dict[str, Protego | None] = {}

    def check(self, url: str) -> float:
        """Seconds that the site wants between two pages. Raises `InvalidData` when its robots.txt
        does not let us read `url`, or cannot be had now: then nothing may be read."""
        origin = origin_of(url)
        if origin not in self._known:
            self._known[origin] = self._load(origin)
        rules = self._known[origin]
        if rules is None:
            raise InvalidData("web.no_robots", origin=origin)
        if not rules.can_fetch(url, self._agent):
            raise InvalidData("web.robots", origin=origin)
        return float(rules.crawl_delay(self._agent) or 0)

    def _load(self, origin: str) -> Protego | None:
        from protego import Protego

        url = f"{origin}/robots.txt"
        for _ in range(_HOPS + 1):
            try:
                answer = self._web.get(url, _LIMIT)
                if answer.location is None:
                    break
                url = sound_url(urljoin(url, answer.location))
            except InvalidData as error:
                if error.code in ("web.private", "web.no_host"):
                    raise  # the page itself would fail for the same reason
                return None
        else:
            return Protego.parse("")  # redirects without end: as if there were none
        if answer.status >= 500 or answer.status == 429:
            return None
        rules = answer.body.decode("utf-8", "replace") if answer.status == 200 else ""
        return Protego.parse(rules)
