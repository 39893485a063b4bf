"""Two versions before people: the same prompts, two answers in an order drawn by lot, a choice.

The prompts are drawn at random out of the kept calls or the frozen test rows, and people are asked
in that order, so that whoever ends early has judged a random sample. Which version stands first is
drawn for each person, evenly within every two pairs; nobody is told the versions. What each person
says of a pair is kept by itself. Answers to a call leave with the call's input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from feilun.data.content import content_key, stored_key
from feilun.engines._samples import sampled
from feilun.engines.base import open_engine
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.evaluation.facts import PeopleFacts
from feilun.feedback.to_data import content_hash
from feilun.messages import Language, t
from feilun.metrics.scores import Score
from feilun.pipeline.context import Context
from feilun.project.preferred import Preference, figures
from feilun.project.results import percent
from feilun.project.scope import Report, Scope
from feilun.store.dataset import INPUT
from feilun.store.records import ModelVersion
from feilun.tasks._questions import questions
from feilun.types import Item, Progress

__all__ = [
    "CHOICES",
    "PairItem",
    "Preferences",
    "chosen_pairs",
    "forget_pairs",
    "keep_judged",
    "key_of",
]

Choice = Literal["a", "b", "tie", "bad"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
"""The first answer, the second, both are as good, both are bad."""

_SAID = ("one", "other", "tie", "bad")
_PEOPLE = 9
_MOST = 1_000
_FEW_CALLS = 20
"""Kept calls below which the test rows are asked unless told otherwise."""


@dataclass
class PairItem:
    """A prompt and two answers, `a` shown first, for one person."""

    pair: int
    prompt: Item
    a: str
    b: str
    _scope: Scope
    _who: str

    def shown(self, lang: Language | None = None) -> Item:
        """The prompt as people read it, in `lang` (default: the one in force)."""
        return self._scope.task.readable(self.prompt, lang)

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from others."""
        return str(self.pair), 0

    def choose(self, choice: str) -> None:
        """Keeps which is better: one of `CHOICES`. Raises `InvalidData` for anything else."""
        Preferences(self._scope).say(self.pair, choice, self._who)

    def undo(self) -> bool:
        """Takes back what was said; False where nothing was."""
        key = _vote_key(self._scope, _latest(self._scope), self.pair, self._who)
        there = bool(self._scope.store.catalog.setting(key))
        if there:
            self._scope.store.catalog.set_setting(key, {})
        return there


class Preferences:
    """The comparison of a project's versions by people: begun, asked, told."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def start(
        self,
        model: str | None = None,
        against: str | None = None,
        *,
        rows: int = 100,
        prompts: str | None = None,
        people: int = 1,
        report: Report | None = None,
    ) -> Preference:
        """Has `model` (default: the newest) and `against` (default: the live version, else the one
        before it) answer `rows` prompts at most, drawn at random: of kept ``calls`` that stand in
        no data, or of the ``test`` rows. The same version twice gives two samples of it. `people`
        voices are wanted for each pair. Raises `UsageError` for answers that are not in words, and
        `NotFound` where there is no prompt or where all answers are the same."""
        scope = self._scope
        if not scope.task.family.faults:
            raise UsageError("preference.no_words", task=scope.task.name)
        if not (1 <= rows <= _MOST and 1 <= people <= _PEOPLE):
            raise UsageError("preference.numbers", rows=_MOST, people=_PEOPLE)
        if prompts not in (None, "calls", "test"):
            raise UsageError("preference.prompts", given=prompts)
        one = scope.version(model or "latest")
        other = scope.version_beside(one.id, against)
        context = scope.context(report)
        seed = len(_rounds(scope)) + context.config.training.seed
        drawn = _calls(context, seed) if prompts != "test" else []
        if prompts is None and len(drawn) < _FEW_CALLS:
            prompts = "test"
        found = drawn if prompts != "test" else _test_rows(context, seed)
        if not found:
            raise NotFound("preference.no_prompts", project=scope.called)
        found = found[:rows]
        answers = _answers(context, one, other, [item for _, item in found])
        differing = [n for n, pair in enumerate(answers) if pair[0].strip() != pair[1].strip()]
        if not differing:
            raise NotFound("preference.all_same", rows=len(found), one=one.id, other=other.id)
        made = {
            "version": one.id,
            "against": other.id,
            "prompts": "test" if prompts == "test" else "calls",
            "people": people,
            "equal": len(found) - len(differing),
            "pairs": len(differing),
            "at": datetime.now(UTC).isoformat(),
        }
        catalog, number = scope.store.catalog, len(_rounds(scope))
        for place, at in enumerate(differing):
            (row, _), (first, second) = found[at], answers[at]
            pair = {**row, "one": first, "other": second}
            catalog.set_setting(key_of(scope, "pair", number, f"{place:04}"), pair)
        catalog.set_setting(key_of(scope), [*_rounds(scope), made])
        catalog.note("preference.start", scope.name, made)
        return self.state()

    def state(self) -> Preference:
        """What people have said of the latest comparison. Raises `NotFound` where none was
        begun."""
        scope, number = self._scope, _latest(self._scope)
        made = _rounds(scope)[number]
        judged = scope.store.catalog.setting(
            key_of(scope, "judged", made["version"], made["against"])
        )
        return figures(made, _votes(scope, number), judged)

    def told_of(self, version: str) -> list[str]:
        """A sentence on each comparison of `version` that people have judged, for beside the gate's
        verdict, which it does not change: whom they prefer, and whether it may count as
        evidence."""
        found = []
        for one in self.facts_of(version):
            key = "beside_gate" if one.unbiased else "beside_gate_biased"
            told: dict[str, Any] = {"version": one.version, "against": one.against}
            told |= {"pairs": one.pairs, "rate": percent(asdict(one.rate))}
            found.append(t(f"preference.{key}", **told))
        return found

    def facts_of(self, version: str) -> list[PeopleFacts]:
        """The same as figures, for the report of `version`."""
        scope, found = self._scope, []
        for number, made in enumerate(_rounds(scope)):
            if version not in (made["version"], made["against"]):
                continue
            one = figures(made, _votes(scope, number))
            if one.win_rate is not None:
                found.append(
                    PeopleFacts(
                        one.version, one.against, one.judged, one.wins, one.losses, one.ties,
                        one.bad, Score(**one.win_rate), one.unbiased,
                    )
                )  # fmt: skip
        return found

    def queue(self, who: str) -> Iterator[PairItem]:
        """The pairs that `who` has not judged and that still want a voice, in the order in which
        they were drawn; those whose call is no longer kept are left out."""
        scope, number = self._scope, _latest(self._scope)
        people = _rounds(scope)[number]["people"]
        votes = _votes(scope, number)
        for place, prompt, pair in _kept(scope, number):
            said = votes.get(place, {})
            if who in said or len(said) >= people:
                continue
            texts = pair["one"], pair["other"]
            a, b = texts if _in_order(number, place, who) else texts[::-1]
            yield PairItem(place, prompt, a, b, scope, who)

    def say(self, pair: int, choice: str, who: str) -> None:
        """Keeps what `who` prefers of a pair, in place of what they said before: ``a`` is what
        `queue` shows them first. Raises `InvalidData` for another choice, `NotFound` for a pair
        that there is not."""
        scope, number = self._scope, _latest(self._scope)
        if choice not in CHOICES:
            raise InvalidData("preference.choice", given=str(choice)[:40], options=CHOICES)
        if not scope.store.catalog.setting(key_of(scope, "pair", number, f"{pair:04}")):
            raise NotFound("preference.no_pair", pair=pair)
        first = _in_order(number, pair, who)
        said = _SAID[CHOICES.index(choice)]
        if said in ("one", "other") and not first:
            said = "other" if said == "one" else "one"
        vote = {
            "pair": pair,
            "who": who,
            "said": said,
            "first": choice == "a",
            "at": datetime.now(UTC).isoformat(),
        }
        scope.store.catalog.set_setting(_vote_key(scope, number, pair, who), vote)


def keep_judged(scope: Scope, judged: Mapping[str, Any]) -> None:
    """Keeps what a larger model said of two versions, beside what people say of them."""
    names = ("version", "other", "judge", "win_rate", "rows", "agreement", "people")
    key = key_of(scope, "judged", judged["version"], judged["other"])
    scope.store.catalog.set_setting(key, {name: judged[name] for name in names})


def chosen_pairs(scope: Scope, *, tests: bool = False) -> tuple[list[tuple[Item, str, str]], int]:
    """Prompt, better and worse answer of every pair in which people preferred one, and how many
    were left out: those to test prompts, which never train, unless with `tests`."""
    found, left = [], 0
    for number, made in enumerate(_rounds(scope)):
        votes = _votes(scope, number)
        for place, prompt, pair in _kept(scope, number):
            said = [vote["said"] for vote in votes.get(place, {}).values()]
            ahead = said.count("one") - said.count("other")
            if not ahead:
                continue
            if made["prompts"] == "test" and not tests:
                left += 1
                continue
            texts = pair["one"], pair["other"]
            found.append((prompt, *(texts if ahead > 0 else texts[::-1])))
    return found, left


def forget_pairs(
    scope: Scope, rows: Collection[str], hits: Callable[[str], bool] = lambda text: False
) -> None:
    """Forgets the pairs that are about these rows, about calls that are gone, or of whose answers
    `hits` says so."""
    catalog = scope.store.catalog
    for key, pair in catalog.settings(key_of(scope, "pair", "")).items():
        if not pair:
            continue
        gone = pair.get("row") in rows or hits(pair["one"]) or hits(pair["other"])
        if gone or ("call" in pair and _asked(scope, pair) is None):
            catalog.set_setting(key, {})


def key_of(scope: Scope, *parts: object) -> str:
    """Where the catalog keeps a part of a project's comparisons; without parts, their list."""
    return ":".join(("preference", scope.name, *map(str, parts)))


def _calls(context: Context, seed: int) -> list[tuple[dict[str, Any], Item]]:
    """All kept calls that differ and that stand in no row of the data, in an order drawn by lot."""
    ledger = context.store.ledger
    found: dict[str, tuple[dict[str, Any], Item]] = {}
    for one in ledger.recent_predictions(context.project, limit=None):
        if one.input is not None:
            found.setdefault(content_hash(one.input), ({"call": list(one.place)}, one.input))
    known = _known(context, [item for _, item in found.values()])
    fresh = [(digest, one) for digest, one in found.items() if content_key(one[1]) not in known]
    return [one for _, one in sorted(fresh, key=lambda each: _lot(seed, each[0]))]


def _test_rows(context: Context, seed: int) -> list[tuple[dict[str, Any], Item]]:
    data = context.store.catalog.latest_data(context.project)
    if data is None:
        return []
    rows = list(questions(context.dataset(data)).examples("test"))
    rows.sort(key=lambda one: _lot(seed, one.row_id))
    return [({"row": one.row_id}, one.item) for one in rows]


def _known(context: Context, items: Sequence[Item]) -> set[bytes]:
    """The contents of `items` that rows of the latest data have: a version may know them by
    heart."""
    data = context.store.catalog.latest_data(context.project)
    if data is None:
        return set()
    wanted = {content_key(item) for item in items}
    dataset = context.dataset(data)
    kinds = list(dataset.columns.items())
    found: set[bytes] = set()
    for batch in dataset.batches([INPUT + name for name, _ in kinds]):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            key = stored_key(kinds, values)
            if key in wanted:
                found.add(key)
    return found


def _answers(
    context: Context, one: ModelVersion, other: ModelVersion, items: Sequence[Item]
) -> list[tuple[str, str]]:
    """What both versions say; of one version twice, two samples."""
    family = context.task.family
    if one.id == other.id:
        with closing(open_engine(context.folder(one))) as engine:
            first, second = (sampled(engine, items, seed) for seed in (1, 2))
    else:
        both = []
        for done, version in enumerate((one, other)):
            context.report(Progress("evaluate", done, 2, note=version.id))
            with closing(open_engine(context.folder(version))) as engine:
                both.append(engine.predict(items))
        first, second = both
    pairs = zip(first, second, strict=True)
    return [(family.worded(left), family.worded(right)) for left, right in pairs]


def _kept(scope: Scope, number: int) -> Iterator[tuple[int, Item, dict[str, Any]]]:
    """The pairs of a comparison whose prompt is still there, with it, in their order."""
    pairs = scope.store.catalog.settings(key_of(scope, "pair", number, ""))
    wanted = {pair["row"] for pair in pairs.values() if "row" in pair}
    rows: dict[str, Item] = {}
    data = scope.store.catalog.latest_data(scope.name) if wanted else None
    if data is not None:
        there = questions(scope.context().dataset(data)).examples("test")
        rows = {one.row_id: one.item for one in there if one.row_id in wanted}
    for key, pair in sorted(pairs.items()):
        if not pair:
            continue
        prompt = rows.get(pair["row"]) if "row" in pair else _asked(scope, pair)
        if prompt is None and "call" in pair:
            scope.store.catalog.set_setting(key, {})  # the answers go with what was asked
        if prompt is not None:
            yield int(key.rpartition(":")[2]), prompt, pair


def _asked(scope: Scope, pair: Mapping[str, Any]) -> Item | None:
    try:
        kept = scope.store.ledger.prediction(*pair["call"])
    except NotFound:
        return None
    gone = kept.purged or (kept.expires is not None and kept.expires <= datetime.now(UTC))
    return None if gone else kept.input


def _rounds(scope: Scope) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scope.store.catalog.setting(key_of(scope), [])
    return found


def _latest(scope: Scope) -> int:
    rounds = _rounds(scope)
    if not rounds:
        raise NotFound("preference.not_begun", project=scope.called)
    return len(rounds) - 1


def _votes(scope: Scope, number: int) -> dict[int, dict[str, dict[str, Any]]]:
    """What was said: by pair, by person."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for vote in scope.store.catalog.settings(key_of(scope, "vote", number, "")).values():
        if vote:  # one that was taken back is empty
            found.setdefault(vote["pair"], {})[vote["who"]] = vote
    return found


def _vote_key(scope: Scope, number: int, pair: int, who: str) -> str:
    return key_of(scope, "vote", number, hashlib.sha256(f"{pair}\0{who}".encode()).hexdigest()[:32])


def _in_order(number: int, pair: int, who: str) -> bool:
    """Whether the first version stands first: of every two pairs in one, drawn by lot."""
    lot = hashlib.sha256(f"{number}\0{pair // 2}\0{who}".encode()).digest()[0]
    return bool((lot + pair) % 2)


def _lot(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
