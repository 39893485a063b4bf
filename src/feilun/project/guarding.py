"""How well ``[guard]`` tells what has to be stopped from what may pass, on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from feilun.data import personal
from feilun.engines.base import open_engine
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.messages import t
from feilun.metrics.intervals import wilson
from feilun.pipeline.context import Context
from feilun.project.results import percent
from feilun.serving import denied
from feilun.table import Result, Table
from feilun.tasks import base as tasks
from feilun.types import Example

__all__ = ["GuardRates", "guard_rates"]

_STOP = frozenset(
    ("stop", "block", "blocked", "refuse", "harmful", "unsafe", "1", "true", "yes", "拦截", "有害",
     "违规", "是")
)  # fmt: skip
_PERSONAL = frozenset(("personal", "pii", "个人信息", "隐私"))
_ALLOW = frozenset(
    ("allow", "pass", "safe", "ok", "harmless", "0", "false", "no", "放行", "无害", "正常", "否")
)
_FEW = 100  # rows of one kind below which an interval is wide


@dataclass(frozen=True)
class GuardRates(Result):
    """What each part of the guard did on `rows`: of those that have to be stopped (for
    ``personal``: that hold personal data) the share that it caught, of the others the share of
    false alarms, with intervals; `missed` and `alarms` are the first rows of each kind, as
    numbers counted from 1."""

    rows: int
    parts: Sequence[Mapping[str, Any]]
    missed: Sequence[int]
    alarms: Sequence[int]

    def tables(self) -> Sequence[Table]:
        columns = [
            t(f"project.guard_{one}") for one in ("part", "harmful", "catch", "others", "alarms")
        ]
        rows = [
            [
                t(f"project.guard_{one['part']}"),
                f"{one['harmful']:,}",
                percent(one["catch_rate"]),
                f"{one['others']:,}",
                percent(one["false_alarm_rate"]),
            ]
            for one in self.parts
        ]
        notes = []
        if self.missed:
            notes.append(t("project.guard_missed", rows=", ".join(map(str, self.missed))))
        if self.alarms:
            notes.append(t("project.guard_wrong", rows=", ".join(map(str, self.alarms))))
        if any(min(one["harmful"], one["others"]) < _FEW for one in self.parts):
            notes.append(t("project.guard_few", rows=_FEW))
        return (Table(t("project.guard_rates", rows=self.rows), columns, rows, notes),)


def guard_rates(context: Context, given: Any) -> GuardRates:
    """The rates on the rows of a file, or rows at hand: a text and a label each. Labels say that a
    text has to be stopped (``stop``, or one of the labels that ``guard.refuse`` names), may pass
    (``allow``), or holds personal data (``personal``). Raises `UsageError` where ``[guard]`` looks
    at nothing, `InvalidData` for other labels, `NotFound` where its classifier is not live."""
    settings = context.config.guard
    examples = _read(given)
    truth = [_kind(one, number, settings.refuse) for number, one in enumerate(examples, 1)]
    texts = [str(one.item) for one in examples]
    stops: dict[str, list[bool]] = {}
    if settings.deny:
        wanted = [denied.plain(one) for one in settings.deny if one]
        stops["deny"] = [denied.first(text, wanted) is not None for text in texts]
    if settings.max_characters:
        stops["length"] = [len(text) > settings.max_characters for text in texts]
    if settings.model:
        stops["classifier"] = _classified(context, settings.model, settings.refuse, texts)
    if not stops and not settings.mask_personal:
        raise UsageError("project.guard_off", project=context.config.project.name)
    harmful = [one == "stop" for one in truth]
    parts = [_rates(name, found, harmful) for name, found in stops.items()]
    together = [any(found) for found in zip(*stops.values(), strict=True)] if stops else []
    if len(stops) > 1:
        parts.append(_rates("together", together, harmful))
    if settings.mask_personal:
        masks = [bool(personal.find(text)) for text in texts]
        parts.append(_rates("personal", masks, [one == "personal" for one in truth]))

    def rows(wrong: Callable[[bool, bool], bool]) -> list[int]:
        pairs = zip(together, harmful, strict=True) if stops else ()
        return [number for number, pair in enumerate(pairs, 1) if wrong(*pair)][:10]

    return GuardRates(
        len(texts),
        parts,
        rows(lambda stopped, bad: bad and not stopped),
        rows(lambda stopped, bad: stopped and not bad),
    )


def _read(given: Any) -> list[Example]:
    from feilun.data.reading import read
    from feilun.data.sources.base import Held, Source

    return list(read(Source(Held.place(given)), tasks.get("text-classification"), {}))


def _kind(one: Example, row: int, refuse: Sequence[str]) -> str:
    label = str(one.label or "").strip()
    plain = label.casefold()
    for kind, names in (("stop", _STOP), ("personal", _PERSONAL), ("allow", _ALLOW)):
        if plain in names or (kind == "stop" and label in refuse):
            return kind
    options = ["stop", "allow", "personal", *refuse]
    raise InvalidData("project.guard_label", row=row, label=label, options=options)


def _classified(
    context: Context, name: str, refuse: Sequence[str], texts: Sequence[str]
) -> list[bool]:
    catalog = context.store.catalog
    live = catalog.live(name)
    if live is None:
        raise NotFound("project.guard_no_model", name=name)
    version = catalog.model_version(live.version)
    with closing(open_engine(context.folder(version))) as engine:
        family = tasks.get(engine.card.schema.task).family
        return [family.said(output) in refuse for output in engine.predict(list(texts))]


def _rates(part: str, stopped: Sequence[bool], wanted: Sequence[bool]) -> dict[str, Any]:
    pairs = list(zip(stopped, wanted, strict=True))
    harmful = sum(wanted)
    others = len(pairs) - harmful
    caught = sum(found and bad for found, bad in pairs)
    false = sum(found and not bad for found, bad in pairs)
    return {
        "part": part,
        "harmful": harmful,
        "catch_rate": asdict(wilson(caught, harmful)) if harmful else None,
        "others": others,
        "false_alarm_rate": asdict(wilson(false, others)) if others else None,
    }
