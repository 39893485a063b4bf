"""One round: everything that is compared, in turns, so that what drifts falls on all alike."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
IMAGE_CLIENTS = 16

Found = dict[tuple[str, int], list[dict[str, float]]]
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


def once(plan: Plan) -> Found:
    """One round."""
    found: Found = defaultdict(list)
    _in_process(plan, found)
    with serving(plan.workspace) as server:
        text = replace(server, key=plan.keys["reviews"])
        for clients in plan.clients:
            _say(f"feilun, {clients} clients")
            found["feilun", clients].append(measured(text, clients, plan.seconds, plan.bodies(1)))
        for size, clients in SIZES.items():
            _say(f"feilun, {size} inputs a call")
            bodies = plan.bodies(size)
            result = measured(text, clients, plan.seconds, bodies, whole=size > 1)
            found["sizes", size].append(result)
        _big_among_small(plan, text, found)
        _say("feilun, pictures")
        pictures = replace(server, key=plan.keys["pictures"])
        found["pictures", IMAGE_CLIENTS].append(
            measured(pictures, IMAGE_CLIENTS, plan.seconds, plan.images)
        )
    for peer in plan.peers:
        _peer(plan, peer, found)
    return found


def _in_process(plan: Plan, found: Found) -> None:
    _say("in process")
    engine = opened(plan.models.int8)
    found["alone", 1].append({"ms": alone(engine, plan.texts, plan.seconds)})
    found["sorted limit", 0].append({"per_second": sorted_limit(engine, plan.texts)})
    for clients in plan.clients:
        found["limit", clients].append(limit(engine, plan.texts, clients, plan.seconds))
    for size, clients in SIZES.items():
        found["raw sizes", size].append(limit(engine, plan.texts, clients, plan.seconds, size))
    engine.close()
    engine = opened(plan.models.pictures)
    found["raw pictures", IMAGE_CLIENTS].append(
        limit(engine, plan.pictures, IMAGE_CLIENTS, plan.seconds)
    )
    engine.close()


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
