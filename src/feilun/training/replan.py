"""Keeps a training within its deadline: where steps take longer than planned, there are fewer.

A plan rests on an estimate, and what shares the machine changes it. So the pace is measured while a
training goes on. Where all steps would end too late, the training ends at an earlier one, and the
step sizes fall to what the plan ends with until there, as if it had been planned so. What was
decided is kept in the scratch folder: a training that goes on after a kill bends where it bent.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from feilun.store.files import write_atomically

__all__ = ["Bend", "Replan", "load", "save", "shortened"]

_FEW = 4
"""Steps that a pace is measured over at least; the first of a process, which compiles, is none."""
_LOOKS = 40
"""Looks in the time that a training has."""
_WORTH = 0.05
"""Share of the remaining steps by which an end must move to be moved."""
_FILE = "replan.json"


@dataclass(frozen=True, slots=True)
class Bend:
    """From `step` on, at `place` of the plan's schedule, the training ends at step `end`."""

    step: int
    place: float
    end: int


@dataclass(slots=True)
class Replan:
    """The end of a training of `steps`, of which those in `ends` are followed by a judgement.

    `deadline` is a Unix time, None without a limit; `judging` how many steps' time a judgement
    takes, until one was measured. `clock` gives Unix times.
    """

    steps: int
    ends: Sequence[int]
    deadline: float | None = None
    judging: float = 0.0
    bends: list[Bend] = field(default_factory=list)
    clock: Callable[[], float] = time.time
    _marks: list[tuple[int, float]] = field(default_factory=list)
    _since: float = 0.0
    _paused: float = 0.0
    _judged: list[float] = field(default_factory=list)
    _saved: list[float] = field(default_factory=list)
    _begun: float = 0.0

    @property
    def end(self) -> int:
        """The step after which the training ends."""
        return self.bends[-1].end if self.bends else self.steps

    def place(self, step: float) -> float:
        """Where in the schedule of the plan a step stands (0 to `steps`)."""
        held = [bend for bend in self.bends if bend.step <= step]
        if not held:
            return step
        bend = held[-1]
        rest = (self.steps - bend.place) / max(1, bend.end - bend.step)
        return min(self.steps, bend.place + (step - bend.step) * rest)

    def begin(self, step: int) -> None:
        """The training begins at `step`: 0, or where a checkpoint lets it go on."""
        self.bends = [bend for bend in self.bends if bend.step <= step]
        self._begun = self.clock()
        if self.deadline is None and self.end < self.steps:  # nobody is in a hurry any more
            self.bends.append(Bend(step, self.place(step), self.steps))

    def stepped(self, step: int) -> bool:
        """Hears that `step` is over. Whether the end has moved."""
        now = self._since = self.clock()
        active = now - self._paused
        if not self._marks:
            self._marks.append((step, active))
            return False
        last_step, last = self._marks[-1]
        wait = 0.0 if self.deadline is None else (self.deadline - self._begun) / _LOOKS
        if self.deadline is None or step - last_step < _FEW or active - last < wait:
            return False
        self._marks.append((step, active))
        return self._look(step, self.deadline - now)

    def judged(self) -> None:
        """Hears that the judgement after the last step is over."""
        self._judged.append(self._pause())

    def saved(self) -> None:
        """Hears that the checkpoint after the last step or judgement is written."""
        self._saved.append(self._pause())

    def _pause(self) -> float:
        now = self.clock()
        took, self._since = now - self._since, now
        self._paused += took
        return took

    def _look(self, step: int, left: float) -> bool:
        # What the later half of the steps took: neighbours come and go.
        first_step, first = self._marks[(len(self._marks) - 1) // 2]
        last_step, last = self._marks[-1]
        pace = max(1e-9, (last - first) / (last_step - first_step))
        # The more steps the longer: the last end that is in time, one step away at least.
        ends = range(step + 1, self.steps + 1)
        in_time = bisect_right(ends, left, key=lambda end: self._needed(step, end, pace))
        end = ends[max(0, in_time - 1)] if ends else step
        if end == self.end or abs(end - self.end) < _WORTH * (self.end - step):
            return False
        self.bends.append(Bend(step, self.place(step), end))
        return True

    def _needed(self, step: int, end: int, pace: float) -> float:
        """Seconds from `step` to a training that ended at `end`."""
        judging = _mean(self._judged, self.judging * pace)
        saving = _mean(self._saved, 0.0)
        judgements = sum(step < one < end for one in self.ends) + 1
        # At the end the best step is read back and the version written.
        return (end - step) * pace + judgements * (judging + saving) + 2 * saving


def load(scratch: Path, mark: str) -> list[Bend]:
    """What was decided for the job of this `mark` before it was killed."""
    try:
        raw = json.loads((scratch / _FILE).read_text("utf-8"))
        return [Bend(*one) for one in raw["bends"]] if raw["job"] == mark else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def save(scratch: Path, mark: str, bends: Sequence[Bend]) -> None:
    """Keeps what was decided."""
    kept = {"job": mark, "bends": [[one.step, one.place, one.end] for one in bends]}
    write_atomically(scratch / _FILE, json.dumps(kept).encode(), durable=False)


def shortened(figures: Mapping[str, float]) -> bool:
    """Whether the clock ended a training of these figures."""
    fewer_steps = figures.get("steps_allowed", 0) < figures.get("steps_planned", 0)
    return bool(figures.get("cut_short")) or fewer_steps


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
