"""How often one address may try keys that do not work.

Guessing 256 bits is hopeless at any speed; what is limited is the work and the noise that guesses
make. So a key that works is answered whatever its address has tried: several customers behind one
proxy cannot lock each other out. Only attempts that fail are held to the limit, and beyond it they
are refused without a look into the database.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from time import monotonic

__all__ = ["Attempts"]

PER_SECOND = 0.5
MOST = 10_000


class Attempts:
    """A bucket of failures for each address: `burst` at once, then `per_second`. The newest `most`
    addresses are remembered, so that memory is bounded. For one event loop: it has no lock."""

    def __init__(self, burst: int = 20, per_second: float = PER_SECOND, most: int = MOST) -> None:
        self._burst = burst
        self._rate = per_second
        self._most = most
        # How many failures stand against an address, and when that was so.
        self._standing: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._standing)

    def wait(self, address: str, now: float | None = None) -> float:
        """Seconds until a failure of `address` is taken again; 0 for now. `now` is monotonic."""
        count = self._count(_network(address), monotonic() if now is None else now)
        return max(0.0, (count + 1 - self._burst) / self._rate)

    def failed(self, address: str, now: float | None = None) -> None:
        """Counts one failure against `address`."""
        moment = monotonic() if now is None else now
        network = _network(address)
        # A whole bucket is all that can stand against anybody: waiting always ends soon.
        count = min(self._burst, self._count(network, moment) + 1)
        self._standing[network] = count, moment
        self._standing.move_to_end(network)
        if len(self._standing) > self._most:
            self._standing.popitem(last=False)

    def _count(self, network: str, now: float) -> float:
        count, then = self._standing.get(network, (0.0, now))
        return max(0.0, count - (now - then) * self._rate)


def _network(address: str) -> str:
    """`address`, but of IPv6 the half that one household has 2^64 addresses in."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return parsed.exploded[:19]
    return address
