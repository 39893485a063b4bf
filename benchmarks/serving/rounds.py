"""One round: everything that is compared, in turns, so that what drifts falls on all alike."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from benchmarks.serving.driving import Target, drive, drive_beside, measured
from benchmarks.serving.limits import alone, limit, opened, sorted_limit
from benchmarks.serving.models import Models, photos, tagged, write
from benchmarks.serving.peers import DidNotStart, Peer, running
from benchmarks.serving.servers import Keys, serving

__all__ = ["BIG", "IMAGE_CLIENTS", "SIZES", "SMALL_CLIENTS", "Found", "Plan", "once", "together"]

SIZES = {1: 64, 8: 16, 64: 8, 512: 2}
"""Inputs of a call, and with how many clients calls of that many are sent."""
BIG, SMALL_CLIENTS = 512, 4
IMAGE_CLIENTS = 64

Result = dict[str, float]
Found = dict[tuple[str, int], list[Result]]
"""(what, how many) to one result a round."""


@dataclass(frozen=True)
class Plan:
    """What is measured: for how long, with how many clients, on which files."""

    folder: Path
    models: Models
    keys: Keys
    texts: Sequence[str]
    seconds: float
    clients: Sequence[int]
    peers: Sequence[Peer] = ()
    pictures: Sequence[bytes] = field(default_factory=lambda: photos(64))

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def bodies(self, size: int) -> Path:
        """The file of calls with `size` texts."""
        file = self.folder / f"texts-{size}.jsonl"
        return file if file.exists() else write(file, self.texts, size)

    @property
    def lists(self) -> Path:
        """Calls with a list of one text."""
        file = self.folder / "lists.jsonl"
        return file if file.exists() else write(file, [[text] for text in self.texts])

    @property
    def images(self) -> Path:
        file = self.folder / "images.jsonl"
        return file if file.exists() else write(file, [tagged(one) for one in self.pictures])


def once(plan: Plan, number: int = 0) -> Found:
    """Round `number`."""
    found: Found = defaultdict(list)
    with closing(opened(plan.models.int8)) as engine, serving(plan.workspace) as server:
        text = replace(server, key=plan.keys["reviews"])
        _say("in process")
        found["alone", 1].append({"ms": alone(engine, plan.texts, plan.seconds)})
        found["sorted limit", 0].append({"per_second": sorted_limit(engine, plan.texts)})
        for clients in plan.clients:
            _say(f"feilun, {clients} clients")
            found["limit", clients], found["feilun", clients] = _side_by_side(
                number,
                partial(limit, engine, plan.texts, clients, plan.seconds),
                partial(measured, text, clients, plan.seconds, plan.bodies(1)),
            )
        for size, clients in SIZES.items():
            _say(f"feilun, {size} inputs a call")
            found["raw sizes", size], found["sizes", size] = _side_by_side(
                number,
                partial(limit, engine, plan.texts, clients, plan.seconds, size),
                partial(measured, text, clients, plan.seconds, plan.bodies(size), whole=size > 1),
            )
        _big_among_small(plan, text, found)
    _pictures(plan, number, found)
    for peer in plan.peers:
        _peer(plan, peer, found)
    return found


def _pictures(plan: Plan, number: int, found: Found) -> None:
    _say("feilun, pictures")
    with closing(opened(plan.models.pictures)) as engine, serving(plan.workspace) as server:
        target = replace(server, key=plan.keys["pictures"])
        found["raw pictures", IMAGE_CLIENTS], found["pictures", IMAGE_CLIENTS] = _side_by_side(
            number,
            partial(limit, engine, plan.pictures, IMAGE_CLIENTS, plan.seconds),
            partial(measured, target, IMAGE_CLIENTS, plan.seconds, plan.images),
        )


def _side_by_side(
    number: int, in_process: Callable[[], Result], through_http: Callable[[], Result]
) -> tuple[list[Result], list[Result]]:
    """Both, one right after the other, so that their ratio is of one moment of the machine; which
    comes first changes from round to round."""
    if number % 2:
        later = through_http()
        return [in_process()], [later]
    return [in_process()], [through_http()]


def _big_among_small(plan: Plan, server: Target, found: Found) -> None:
    """Calls of one text, alone and while one client sends calls of many without a pause."""
    _say("a big call among small ones")
    small = plan.bodies(1)
    found["small alone", 1].append(drive(server, SMALL_CLIENTS, plan.seconds, small))
    with drive_beside(server, 1, plan.seconds + 1, plan.bodies(BIG)) as big:
        found["small beside", 1].append(drive(server, SMALL_CLIENTS, plan.seconds, small))
    found["big beside", BIG].append(big[0])


def _peer(plan: Plan, peer: Peer, found: Found) -> None:
    _say(peer.title)
    try:
        with running(peer, plan.models.floats) as target:
            bodies = plan.lists if peer.lists else plan.bodies(1)
            for clients in plan.clients:
                found[peer.name, clients].append(measured(target, clients, plan.seconds, bodies))
    except DidNotStart as error:
        peer.out = str(error)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def together(rounds: Sequence[Mapping[tuple[str, int], list[dict[str, float]]]]) -> Found:
    """Rounds one after the other."""
    found: Found = defaultdict(list)
    for one in rounds:
        for place, rows in one.items():
            found[place] += rows
    return found
