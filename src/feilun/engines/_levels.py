"""What the folder of a cascade, or of an ensemble, holds.

``stages`` has a folder a stage, ``0`` the cheapest, each of which could answer alone, in whatever
format an engine loads. The card's ``extra`` holds the ``stages`` (`Level.to_json`), the
``thresholds``, one for each stage but the last, and ``drawn``: the share of inputs that go to the
last stage whoever were sure of them. They are drawn by their content, so that nobody chooses them:
what the last stage says of them judges the others. Every stage's own card holds an operating point
by which it says what the cascade's point says.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card, read_card, write_card
from feilun.families.base import Family
from feilun.tasks import base as tasks
from feilun.types import EngineRequest, Item, Output, Usage

__all__ = [
    "FORMATS",
    "PASSED_ON",
    "STAGES",
    "Level",
    "StagedEngine",
    "certainty",
    "collected",
    "copied",
    "is_drawn",
    "levels_of",
    "mixed",
    "open_stages",
    "stages_of",
    "unit",
    "write_cascade",
]

FORMATS = ("cascade",)
STAGES = "stages"
"""The folder with the stages."""
PASSED_ON = "passed_on"
"""In a written answer: a later stage gave it."""


@dataclass(frozen=True, slots=True)
class Level:
    """One stage: what it is called, the `version` and `variant` it comes from, the operating point
    that was set for it alone, and the `share` of the rows it was measured on that it answers."""

    name: str
    version: str = ""
    variant: str = ""
    point: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the card holds it."""
        return asdict(self)


def unit(name: str) -> str:
    """The unit that counts the answers of the stage `name`."""
    return f"answers_{name.replace('-', '_')}"


def levels_of(card: Card) -> tuple[Level, ...]:
    """The stages that a cascade's card lists; none for any other card."""
    known = {one.name for one in fields(Level)}
    listed: Sequence[Mapping[str, Any]] = card.extra.get("stages", ())
    return tuple(
        Level(**{name: value for name, value in one.items() if name in known}) for one in listed
    )


def certainty(family: Family, outputs: Sequence[Output]) -> np.ndarray:
    """How sure each answer is, float64 (rows,); NaN where nothing says so, or it abstains."""
    said = [None if "abstained" in one else family.sure(one) for one in outputs]
    return np.array([np.nan if one is None else one for one in said], np.float64)


def mixed(
    card: Card, levels: Sequence[Level], thresholds: Sequence[float], raws: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What a cascade answers where its stages' raw outputs for the same rows are `raws`: raw
    outputs for the operating point of `card`, and the place of the stage that gives each answer,
    int64 (rows,)."""
    schema, family = card.schema, tasks.of(card.schema).family
    result = family.settled(raws[-1], schema, levels[-1].point).copy()
    given = np.full(len(result), len(levels) - 1)
    for place in reversed(range(len(levels) - 1)):
        own = levels[place].point
        decode = family.decoder(schema, family.scaled(card.point, own))
        kept = certainty(family, decode(raws[place], False)) >= thresholds[place]
        result[kept] = family.settled(raws[place], schema, own)[kept]
        given[kept] = place
    return result, given


def write_cascade(
    folder: Path,
    stages: Sequence[tuple[str | Level, Path]],
    thresholds: Sequence[float],
    *,
    point: Mapping[str, Any] | None = None,
    drawn: float = 0.0,
) -> Card:
    """Writes a cascade into the new `folder`: copies of `stages`, each a name or a `Level` and an
    engine's folder, the cheapest first; stage i passes on what it is less sure of than
    ``thresholds[i]``. `point` is the operating point of all of it, by default the neutral one.
    Method and settings of the card are those of the last stage."""
    cards = [read_card(source) for _, source in stages]
    last = cards[-1]
    family = tasks.of(cards[0].schema).family
    point = family.neutral() if point is None else point
    extra = {
        "stages": copied(folder, stages, point),
        "thresholds": [round(float(one), 6) for one in thresholds],
        "drawn": drawn,
    }
    made = Card(FORMATS[0], cards[0].schema, last.method, last.precision, last.config, extra, point)
    write_card(folder, made)
    return made


def copied(
    folder: Path, stages: Sequence[tuple[str | Level, Path]], point: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Copies `stages` into `folder`, each with an operating point by which it says what `point`
    says, and returns what a card lists of them."""
    listed = []
    for place, (name, source) in enumerate(stages):
        card = read_card(source)
        level = name if isinstance(name, Level) else Level(name, point=card.point)
        own = folder / STAGES / str(place)
        shutil.copytree(source, own, copy_function=shutil.copyfile)
        family = tasks.of(card.schema).family
        write_card(own, replace(card, point=family.scaled(point, level.point)))
        listed.append({**level.to_json(), "method": card.method, "format": card.format})
    return listed


async def collected(
    stage: Engine, request: EngineRequest
) -> tuple[list[Output], Usage, Sequence[int] | None]:
    """All that a stage answers to a call, what it used, and the costs of the inputs."""
    outputs: list[Output] = []
    usage, costs = Usage(inputs=len(request.items)), None
    async for chunk in stage.submit(request):
        outputs += chunk.outputs
        usage, costs = chunk.usage or usage, chunk.costs or costs
    return outputs, usage, costs


def is_drawn(item: Item, share: float) -> bool:
    """Whether the content of `item` is among the `share` of all contents that are drawn."""
    digest = blake2b(repr(item).encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def stages_of(folder: Path) -> list[Path]:
    """The folders of the stages of a cascade, the first one first; none for another version."""
    found = [one for one in (folder / STAGES).glob("*") if one.name.isdigit() and one.is_dir()]
    return sorted(found, key=lambda one: int(one.name))


class StagedEngine:
    """What cascades and ensembles do alike with their `stages`: one that is closed closes all."""

    stages: tuple[Engine, ...]
    _closed = False

    def warm_up(self) -> None:
        for stage in self.stages:
            stage.warm_up()

    def close(self) -> None:
        self._closed = True
        for stage in self.stages:
            stage.close()

    def abandon(self) -> None:
        """Gives up on all stages where one hangs."""
        self._closed = True
        for stage in self.stages:
            getattr(stage, "abandon", stage.close)()


def open_stages(
    folders: Sequence[Path], *, streams: int | None, threads: int | None
) -> list[Engine]:
    """The engines of `folders`; none stays open where one cannot be."""
    with ExitStack() as opened:
        stages = []
        for one in folders:
            stages.append(open_engine(one, streams=streams, threads=threads))
            opened.callback(stages[-1].close)
        opened.pop_all()
    return stages
