"""Who reviews what: one queue a project, from which each reviewer gets an item of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeVar

from feilun.web.view import View

__all__ = ["Asked", "Desk", "Place"]

Place = tuple[str, int]
"""Which answer of which call."""

_HELD = 300.0  # seconds for which an item stays with the reviewer who got it
_AHEAD = 20  # items taken from the queue at a time
_FRESH = 60.0  # seconds after which an empty queue is looked at again


class Asked(Protocol):
    """Something that a person is asked about."""

    @property
    def place(self) -> Place:
        """What tells it from others."""
        ...


_Item = TypeVar("_Item", bound=Asked)


@dataclass
class _Queue(Generic[_Item]):
    source: Iterator[_Item] | None = None
    items: dict[Place, _Item] = field(default_factory=dict)
    held: dict[Place, tuple[str, float]] = field(default_factory=dict)
    done: dict[Place, _Item] = field(default_factory=dict)
    order: dict[str, list[Place]] = field(default_factory=dict)
    empty_at: float = 0.0


class Desk(Generic[_Item]):
    """The queues of one console. Safe for threads."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue[_Item]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, view: View, name: str) -> Desk[_Item]:
        """The one desk `name` of the console's process, made when it is first asked for."""
        state = view.request.app.state
        if not hasattr(state, name):
            setattr(state, name, cls())
        desk: Desk[_Item] = getattr(state, name)
        return desk

    def take(
        self, project: str, who: str, make: Callable[[], Iterator[_Item]], count: int
    ) -> list[_Item]:
        """The next `count` items for `who`: those that they hold already first. `make` begins the
        queue anew when it has run out."""
        with self._lock:
            queue = self._queues.setdefault(project, _Queue[_Item]())
            now = time.monotonic()
            queue.held = {p: h for p, h in queue.held.items() if h[1] > now}
            found: list[_Item] = []
            while len(found) < count:
                found = self._free(queue, who)[:count]
                if len(found) == count or not self._refill(queue, make, now):
                    break
            for item in found:
                queue.held[item.place] = (who, now + _HELD)
            return found

    def item(self, project: str, place: Place) -> _Item | None:
        """The item at `place`, None when it is not in the queue any more."""
        queue = self._queues.get(project)
        return queue.items.get(place) if queue else None

    def finish(self, project: str, who: str, place: Place) -> None:
        """The item is labelled, or skipped: nobody gets it again, but for `undo`."""
        with self._lock:
            queue = self._queues[project]
            item = queue.items.pop(place, None)
            queue.held.pop(place, None)
            if item is not None:
                queue.done[place] = item
                queue.order.setdefault(who, []).append(place)

    def undo(self, project: str, who: str) -> _Item | None:
        """Puts back what `who` finished last, first in their queue."""
        with self._lock:
            queue = self._queues.get(project)
            if queue is None or not queue.order.get(who):
                return None
            place = queue.order[who].pop()
            item = queue.done.pop(place)
            queue.items = {place: item, **queue.items}
            queue.held[place] = (who, time.monotonic() + _HELD)
            return item

    @staticmethod
    def _free(queue: _Queue[_Item], who: str) -> list[_Item]:
        mine = [i for p, i in queue.items.items() if queue.held.get(p, ("",))[0] == who]
        return mine + [i for p, i in queue.items.items() if p not in queue.held]

    @staticmethod
    def _refill(queue: _Queue[_Item], make: Callable[[], Iterator[_Item]], now: float) -> bool:
        """Whether more was found."""
        if queue.source is None:
            if queue.empty_at and now - queue.empty_at < _FRESH:
                return False
            queue.source = make()
        more = [i for i in islice(queue.source, _AHEAD) if i.place not in queue.done]
        if not more:
            queue.source, queue.empty_at = None, now
            return False
        queue.items.update({item.place: item for item in more if item.place not in queue.items})
        return True
