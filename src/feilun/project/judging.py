"""Two versions' answers before a larger model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feilun.engines.base import open_engine
from feilun.engines.upstream import address_of
from feilun.errors import NotFound, UsageError
from feilun.evaluation.judge import Judge, Pair, compare, prompt_of, summed
from feilun.messages import t
from feilun.metrics.intervals import wilson
from feilun.pipeline.context import Context
from feilun.project.preference import chosen_pairs, keep_judged
from feilun.project.results import percent
from feilun.project.scope import Scope
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.table import Result, Table
from feilun.tasks._questions import questions
from feilun.types import Item, Progress

__all__ = ["Judged", "judge"]

_CHARACTERS_PER_TOKEN = 2.0  # of English and Chinese together; told as an estimate


@dataclass(frozen=True)
class Judged(Result):
    """What a larger model preferred of `version` and `other` on `rows` questions: how often the
    first won, lost and tied, `win_rate` (a tie counts half) with its interval, how many pairs it
    decided by their place alone, and `agreement` with `people`'s preferences, each the share in
    which it preferred what they did. `calls` and tokens are what its server told."""

    version: str
    other: str
    judge: str
    rows: int
    wins: int
    losses: int
    ties: int
    same_first: int
    unreadable: int
    win_rate: Mapping[str, float]
    people: int
    agreement: Mapping[str, float] | None
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def tables(self) -> Sequence[Table]:
        columns = [t(f"project.judge_{one}") for one in ("wins", "losses", "ties", "win_rate")]
        row = [f"{self.wins:,}", f"{self.losses:,}", f"{self.ties:,}", percent(self.win_rate)]
        notes = [t("project.judge_orders", same=self.same_first, bad=self.unreadable)]
        if self.agreement:
            share = percent(self.agreement)
            notes.append(t("project.judge_agrees", share=share, people=self.people))
        else:
            notes.append(t("project.judge_no_people"))
        calls, read, written = (f"{n:,}" for n in (self.calls, self.tokens_in, self.tokens_out))
        notes.append(t("project.judge_used", calls=calls, read=read, written=written))
        if self.cost is not None:
            notes.append(t("project.judge_cost", cost=f"{self.cost:.4f}"))
        title = t(
            "project.judged", version=self.version, other=self.other, judge=self.judge,
            rows=self.rows,
        )  # fmt: skip
        return (Table(title, columns, [row], notes),)


def judge(
    scope: Scope,
    context: Context,
    version: ModelVersion,
    other: ModelVersion,
    address: str,
    model: str,
    rows: int,
    price: tuple[float, float] | None,
) -> Judged:
    """Asks the judge at `address` of `rows` test questions drawn by the seed, and of the answers
    that people have corrected. `price` is that of a million tokens read and written. What it will
    take is reported before the first call."""
    family = context.task.family
    if version.id == other.id:
        raise UsageError("project.judge_one_version", version=version.id)
    address = address_of(address)
    with Judge(address, model) as asked:
        data = context.store.catalog.latest_data(context.project)
        if data is None:
            raise NotFound("project.judge_no_rows", project=context.config.project.name)
        items = _questions(context.dataset(data), rows, context.config.training.seed)
        if not items:
            raise NotFound("project.judge_no_rows", project=context.config.project.name)
        answers = []
        for done, one in enumerate((version, other)):
            context.report(Progress("evaluate", done, 2, note=one.id))
            with closing(open_engine(context.folder(one))) as engine:
                answers.append([family.said(output) for output in engine.predict(items)])
        pairs = [Pair(str(item), *both) for item, *both in zip(items, *answers, strict=True)]
        people = _preferences(scope, context)
        different = [pair for pair in (*pairs, *people) if pair.one.strip() != pair.other.strip()]
        context.report(Progress("evaluate", 0, 0, note=_told(different, price)))
        total = len(pairs) + len(people)

        def tell(done: int) -> None:
            context.report(Progress("evaluate", done, total, "rows"))

        found = summed(compare(asked, pairs, tell))
        kept = summed(compare(asked, people)) if people else None
        score = wilson(kept.wins, len(people)) if kept else None
        judged = Judged(
            version.id,
            other.id,
            f"{model} ({address})",
            len(pairs),
            found.wins,
            found.losses,
            found.ties,
            found.same_first,
            found.unreadable,
            asdict(found.win_rate),
            len(people),
            asdict(score) if score else None,
            asked.calls,
            asked.tokens_in,
            asked.tokens_out,
            _cost(asked.tokens_in, asked.tokens_out, price),
        )
    keep_judged(scope, judged.to_json())
    return judged


def _questions(dataset: Dataset, rows: int, seed: int) -> list[Item]:
    """Test questions, drawn by the seed where there are more than `rows`."""
    items: Any = questions(dataset).items("test")
    if len(items) <= rows:
        return list(items)
    drawn = np.random.default_rng(seed).choice(len(items), rows, replace=False)
    return [items[place] for place in np.sort(drawn).tolist()]


def _preferences(scope: Scope, context: Context) -> list[Pair]:
    """What people would rather have had, before what was answered or what they liked less:
    corrections that are kept, and pairs of which they preferred one."""
    family = context.task.family
    found = []
    for one in context.store.ledger.feedback(context.project, unused_only=False):
        said = family.said(one.prediction.output)
        if one.feedback.label and one.feedback.label != said:
            found.append(Pair(str(one.prediction.input), one.feedback.label, said))
    chosen, _ = chosen_pairs(scope, tests=True)
    return found + [Pair(str(prompt), better, worse) for prompt, better, worse in chosen]


def _told(pairs: Sequence[Pair], price: tuple[float, float] | None) -> str:
    """What asking about `pairs` will take."""
    calls = 2 * len(pairs)
    read = int(2 * sum(len(prompt_of(pair)) for pair in pairs) / _CHARACTERS_PER_TOKEN)
    cost = _cost(read, 16 * calls, price)
    money = "" if cost is None else t("project.judge_cost", cost=f"{cost:.4f}")
    return t("project.judge_before", calls=f"{calls:,}", tokens=f"{read:,}", cost=money).strip()


def _cost(read: int, written: int, price: tuple[float, float] | None) -> float | None:
    return None if price is None else (read * price[0] + written * price[1]) / 1e6
