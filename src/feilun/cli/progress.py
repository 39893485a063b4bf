"""How a long step shows that it goes on: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from feilun.durations import spoken
from feilun.messages import t
from feilun.messages.words import step_words, unit_words
from feilun.types import Progress

__all__ = ["Lines", "drawn", "figures", "shown"]

_SILENCE = 30.0
"""Seconds without a line after which one is printed where there is no terminal."""
_NARROW = 110
_FIRST = ("loss", "validation_accuracy", "accuracy", "validation_loss")
"""Figures in the order in which they are worth the room."""
_SHOWN = 2


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """What a step's signs of life are given to, shown on stderr as long as it lasts."""
    if sys.stderr.isatty():
        from rich.console import Console

        with drawn(Console(stderr=True, highlight=False)) as report:
            yield report
        return
    lines = Lines()
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(lines, ended), name="feilun-lines", daemon=True)
    watch.start()
    try:
        yield lines
    finally:
        ended.set()


def _watch(lines: Lines, ended: threading.Event) -> None:
    while not ended.wait(1.0):
        lines.quiet(time.monotonic())


@contextmanager
def drawn(console: Any) -> Iterator[Callable[[Progress], None]]:
    """Bars in `console`: what is done, how much of it, how long it takes yet, two figures. In 80
    columns there is room for no more; in a wide terminal the count and all figures stand there."""
    from rich import progress as rp
    from rich.table import Column

    wide = console.width >= _NARROW
    columns: list[rp.ProgressColumn] = [
        rp.TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=40 if wide else 22),
        ),
        rp.BarColumn(bar_width=30 if wide else 10),
        rp.TextColumn("{task.fields[part]}", markup=False, table_column=_whole()),
        rp.TextColumn("{task.fields[left]}", markup=False, table_column=_whole()),
        rp.TextColumn("{task.fields[figures]}", markup=False, table_column=_whole()),
    ]
    if wide:
        columns.insert(3, rp.TextColumn("{task.fields[count]}", markup=False))
    with rp.Progress(*columns, console=console) as bars:
        tasks: dict[str, _Bar] = {}
        said = _Once()

        def report(event: Progress) -> None:
            if said.new(event):
                bars.console.print(event.note, markup=False)
            if event.note and not event.total:
                return
            if event.step not in tasks:
                task = bars.add_task(step_words(event.step), count="", figures="", part="", left="")
                tasks[event.step] = _Bar(task)
            bar = tasks[event.step]
            bars.update(
                bar.task,
                completed=event.done,
                total=event.total or None,
                count=_count(event),
                figures=figures(event.figures, None if wide else _SHOWN),
                part=f"{100 * event.done / event.total:3.0f} %" if event.total else "",
                left=bar.left(event, time.monotonic()),
            )

        yield report


def _whole() -> Any:
    from rich.table import Column

    return Column(no_wrap=True, min_width=1)


@dataclass(slots=True)
class _Bar:
    """How far a step was when its present part began: a step may count rows first, then fits."""

    task: Any
    total: float = 0.0
    done: float = 0.0
    began: float = 0.0
    last: float = 0.0

    def left(self, event: Progress, now: float) -> str:
        """The time that the present part still takes, in words; empty while nobody knows."""
        if event.total != self.total or event.done < self.last:
            self.total, self.done, self.began = event.total, event.done, now
        self.last = event.done
        got, rest = event.done - self.done, event.total - event.done
        if got <= 0 or rest <= 0:
            return ""
        return t("units.left", time=spoken((now - self.began) * rest / got))


class Lines:
    """Progress where nobody can see a bar: a line when a step begins, at quarters, and ends; and
    one after half a minute without any."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._bars: dict[str, _Bar] = {}
        self._said = _Once()
        self._spoke = self._began = time.monotonic()
        self._step = ""

    def __call__(self, event: Progress) -> None:
        now = time.monotonic()
        if event.step != self._step:
            self._step, self._began = event.step, now
        if self._said.new(event):
            self._print(event.note, now)
        if event.note and not event.total:
            return
        left = self._bars.setdefault(event.step, _Bar(None)).left(event, now)
        quarter = int(4 * event.done / event.total) if event.total else 0
        if self._last.get(event.step) == quarter and now - self._spoke < _SILENCE:
            return
        self._last[event.step] = quarter
        more = {name: value for name, value in event.figures.items() if name != event.unit}
        parts = [step_words(event.step), _count(event), left, figures(more)]
        self._print(" ".join(part for part in parts if part), now)

    def quiet(self, now: float) -> None:
        """Says that the step goes on when nothing was said for half a minute."""
        if self._step and now - self._spoke >= _SILENCE:
            took = spoken(now - self._began)
            self._print(t("units.still", step=step_words(self._step), time=took), now)

    def _print(self, line: str, now: float) -> None:
        self._spoke = now
        print(line, file=sys.stderr, flush=True)


class _Once:
    """A step says the same note with every sign of life; people need to read it once."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def new(self, event: Progress) -> bool:
        known = not event.note or (event.step, event.note) in self._said
        self._said.add((event.step, event.note))
        return not known


def _count(event: Progress) -> str:
    return f"{event.done:,.0f}/{event.total:,.0f} {unit_words(event.unit)}" if event.total else ""


def figures(found: Mapping[str, float], most: int | None = None) -> str:
    """Figures in words: all as they are, or the `most` telling ones."""
    names, digits = list(found), ".4g"
    if most is not None:
        names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        digits = ".3g"
    return "  ".join(f"{unit_words(name)} {found[name]:{digits}}" for name in names[:most])
