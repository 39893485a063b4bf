"""Which items of a catalogue a user will want next."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.ranking import DEPTH, RANKING, describes, items_of
from feilun.modalities import askers, recognise
from feilun.modalities.table import column_kinds
from feilun.modalities.table.described import cells_of
from feilun.tasks.base import Column, Features, Processor, RowReader, TaskBase, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

_USERS = (
    "user", "user_id", "userid", "uid", "customer", "customer_id", "customerid", "client_id",
    "member_id", "account_id", "reviewer_id", "visitor_id", "visitorid", "session_id",
    "用户", "用户编号", "用户id", "用户名", "客户", "客户编号", "客户id", "会员", "会员编号",
    "会员id", "买家", "买家id",
)  # fmt: skip
_ITEMS = (
    "item", "item_id", "itemid", "iid", "movie_id", "movieid", "product_id", "productid", "product",
    "sku", "asin", "article_id", "article", "book_id", "isbn", "song_id", "track_id", "artist_id",
    "stock_code", "goods_id", "movie", "title",
    "物品", "物品编号", "物品id", "商品", "商品编号", "商品id", "产品", "产品编号", "电影",
    "电影编号", "电影id", "书名", "名称", "标题",
)  # fmt: skip


_RATINGS = (
    "rating", "ratings", "score", "stars", "rate", "overall",
    "评分", "打分", "得分", "星级",
)  # fmt: skip


class Settings(TaskSettings):
    """The ``[task]`` table of a project that recommends."""

    repeat: bool = Field(
        False, description="whether items that a user has taken already may be recommended again"
    )
    least_rating: float | None = Field(
        None,
        description="rows with a lower rating are left out: they say that an item was not liked. "
        "Counts for rows that are added; by default every row says that the item was taken",
    )
    feature_bits: int = Field(
        14, ge=8, le=24, description="drift hashes users and items into 2 to this power columns"
    )


class Task(TaskBase):
    """Which items a user will want next, the likeliest first, from who took what: orders, clicks,
    plays, ratings. A row is one user and one item.

    The input is a user, or the items that somebody has taken (``history``), or both. A call may
    also say how many items it wants (``k``), which it does not (``exclude``), and of which to
    choose (``candidates``). An unknown user without a history gets what users like him take, where
    ``columns`` say what he is like and the data describes users; else what is popular. The answer
    says which. ``{"item": ...}`` asks for what goes with an item.

    Tables of users or of items stand beside the rows: they name each once, and say what is known of
    it. New items are then recommended as those are that they resemble.
    """

    summary = "tasks.recommendation"
    Settings = Settings
    family = RANKING
    recurring = True
    columns = (Column("user", "category", _USERS[1:]),)
    label_aliases = _ITEMS
    _least: float | None = None
    examples = (
        Example("1", "1042", "tea"),
        Example("2", '{"history":["kettle","tea"]}', "cup"),
        Example("3", "小王", "茶壶"),
    )

    @property
    def modality(self) -> str:
        """``interactions``."""
        return "interactions"

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """User and item by their usual names. Raises `InvalidData` naming the columns where none is
        called like a user."""
        user = recognise.named(columns, _USERS)
        if user is None:
            names = [column.name for column in columns]
            raise InvalidData("tasks.no_input_column", kind="user", columns=names)
        rest = [column for column in columns if column.name != user]
        return Roles({"user": user}, label=recognise.named(rest, _ITEMS))

    def describes(
        self, columns: Sequence[ColumnSample], given: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """A table of users, or of items: it names one of them, once a row, and says more."""
        samples = {column.name: column for column in columns}
        user = given.get("user") if given.get("user") in samples else None
        item = given.get("label") if given.get("label") in samples else None
        user = user or recognise.named(columns, _USERS)
        rest = [column for column in columns if column.name != user]
        item = item or recognise.named(rest, _ITEMS)
        name = user or item
        if (user and item) or name is None or len(columns) < 2:
            return None
        values = [str(one) for one in samples[name].values if not column_kinds.missing(one)]
        if len(set(values)) < len(values) or len(values) < 2:
            return None
        return ("user" if user else "item"), name

    def description(self, kind: str, name: Any, columns: Mapping[str, Any]) -> tuple[Item, Any]:
        """A user by his name, an item as ``{"item": name}``, and what the columns say."""
        item = askers.canonical(name if kind == "user" else {"item": name})
        return item, {"columns": columns}

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """With the least rating that counts."""
        task = copy.copy(self)
        task._least = settings.get("least_rating")
        return task

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """Rows without those whose rating is too low, where a least one is set. Raises
        `InvalidData` where no column is called like a rating, and for a row whose rating is no
        number; a row without one counts."""
        least = self._least
        if least is None:
            return None
        column = recognise.named(samples, _RATINGS)
        if column is None:
            names = [sample.name for sample in samples]
            raise InvalidData("tasks.no_rating_column", columns=names, options=_RATINGS)

        def rows(item: Item, target: Any, values: Mapping[str, Any]) -> list[tuple[Item, Any]]:
            given = values.get(column)
            if column_kinds.missing(given):
                return [(item, target)]
            rating = None if isinstance(given, bool) else column_kinds.number(given)
            if rating is None or not math.isfinite(rating):
                raise InvalidData("tasks.not_a_rating", column=column, given=str(given)[:40])
            return [(item, target)] if rating >= least else []

        return rows

    def check(self, item: Item) -> Item:
        """A user as text; JSON with sorted keys where more is said than that. Raises `InvalidData`
        for what names neither a user nor a history."""
        return askers.canonical(item)

    def question(
        self, item: Item, targets: Sequence[str], earlier: Sequence[str] | None = None
    ) -> tuple[Item, str | None]:
        """Half of what the user took is told as history, beside what he took in `earlier` rows; the
        rest is to be found. Which half is drawn by the ids of the rows. Of rows that stand in no
        data version the user stays, because nothing else is known of him."""
        asker = askers.read(item)
        taken = [one for target in targets for one in items_of(target)]
        told = taken[: len(taken) // 2]
        before = [one for target in earlier or () for one in items_of(target)]
        history = [*asker.history, *before, *told]
        user = asker.user if earlier is None else None
        right = [one for one in taken[len(told) :] if one not in history]
        known = [cells_of(target) for target in earlier or () if describes(target)]
        columns = known[-1] if known else asker.columns
        return askers.write(user, history, columns), self.family.together(
            right or taken[len(told) :]
        )

    def described(self, item: Item) -> Item:
        """How many items the history has."""
        return {"history": len(askers.read(item).history)}

    def without_options(self, item: Item) -> Item:
        """The user, or the history, and what else is known of the user."""
        asker = askers.read(item)
        if asker.about is not None:
            return item
        return askers.write(asker.user, asker.history, asker.columns)

    def input_schema(self) -> dict[str, Any]:
        """A user, or an object that says more."""
        one = {"anyOf": [{"type": "string", "maxLength": askers.LONGEST}, {"type": "number"}]}
        several = {"type": "array", "items": one}
        more = {
            "type": "object",
            "properties": {
                "user": one,
                "history": several,
                "exclude": several,
                "candidates": several,
                "k": {"type": "integer", "minimum": 1, "maximum": DEPTH},
                "columns": {"type": "object"},
                "item": one,
            },
            "additionalProperties": False,
        }
        return {"anyOf": [*one["anyOf"], more]}

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """The user and the items of the history, hashed, by which calls are compared."""
        return askers.Marks(Settings(**settings).feature_bits)

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """There is none: no encoder reads users."""
        raise InvalidData("tasks.no_encoder_of_users", task=self.name)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """There is none."""
        raise InvalidData("tasks.no_encoder_of_users", task=self.name)

    def encoder(self, base: Path) -> torch.nn.Module:
        """There is none."""
        raise InvalidData("tasks.no_encoder_of_users", task=self.name)
