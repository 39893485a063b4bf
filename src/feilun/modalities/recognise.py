"""Which column of a file is what: by its usual names in English and Chinese, else by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from feilun.errors import InvalidData
from feilun.modalities.base import Column
from feilun.types import ColumnSample, Roles, Scalar

__all__ = [
    "GROUP",
    "ID",
    "IMAGE",
    "LABEL",
    "SUBJECT",
    "TEXT",
    "is_image",
    "is_named",
    "named",
    "pair_roles",
    "roles",
]

TEXT = (
    "text", "review", "comment", "content", "sentence", "message", "body", "description",
    "document", "question", "query", "utterance", "tweet", "title",
    "文本", "评论", "内容", "正文", "评价", "留言", "句子", "描述", "问题", "标题",
)  # fmt: skip
IMAGE = (
    "image", "picture", "photo", "img", "file", "filename", "file_name", "path",
    "图片", "图像", "照片", "文件", "文件名", "路径",
)  # fmt: skip
LABEL = (
    "label", "labels", "target", "class", "category", "sentiment", "score", "rating", "stars",
    "topic", "intent", "emotion", "type", "tag", "y",
    "标签", "类别", "分类", "情感", "类型", "评分", "得分", "星级", "主题", "意图", "情绪",
)  # fmt: skip
ID = ("id", "row_id", "uuid", "guid", "key", "编号", "主键", "唯一标识")
GROUP = ("group", "group_id", "分组", "组别", "组号")
SUBJECT = (
    "subject", "customer", "customer_id", "user", "user_id", "username", "author",
    "客户", "客户编号", "客户id", "用户", "用户编号", "用户id", "用户名", "作者",
)  # fmt: skip

_IMAGE_NAME = re.compile(r"\.(png|jpe?g|jpe|jfif|mpo|heic|webp|gif|bmp|tiff?)$", re.IGNORECASE)

# `comment_id` is about a comment, not one.
_ABOUT = frozenset(
    {"count", "date", "id", "lang", "language", "length", "link", "no", "number", "time", "url"}
    | {"timestamp", "数量", "日期", "时间", "编号", "语言", "链接", "长度"}
)


def roles(columns: Sequence[ColumnSample], wanted: Column, label_names: Sequence[str]) -> Roles:
    """The roles of `columns` for a task with the one input `wanted` and a label.

    A column with a usual name has its role; a whole name counts before a part of one
    (``review_text``). Without such a name the input is the column of the longest texts, or of
    images, and the label the column of the fewest values that repeat. Row numbers and other
    columns of values that never repeat are no labels. Raises `InvalidData` naming the columns
    when none can be the input.
    """
    fits = _holds_images if wanted.kind == "image" else _holds_text
    able = [column for column in columns if fits(column)]
    label = _named(columns, label_names, whole=True)
    source = _named(_without(able, label), (wanted.name, *wanted.aliases), whole=True)
    source = source or _named(_without(able, label), wanted.aliases, whole=False)
    if source is None:
        source = max(_without(able, label), key=_mean_length, default=None)
    if source is None:
        raise InvalidData(
            "tasks.no_input_column", kind=wanted.kind, columns=[c.name for c in columns]
        )
    return _beside({wanted.name: source}, columns, label, label_names)


def pair_roles(
    columns: Sequence[ColumnSample],
    wanted: tuple[Column, Column],
    together: Sequence[tuple[str, str]],
    label_names: Sequence[str],
) -> Roles:
    """The roles of `columns` for a task on two texts and a label.

    Two columns with names that belong `together` are the texts; else each is found by its own
    names, and what has none is the longest texts that are left, in the file's order. Raises
    `InvalidData` naming the text that no column can be.
    """
    able = [column for column in columns if _holds_text(column)]
    label = _named(columns, label_names, whole=True)
    free = _without(able, label)
    found = _named_pair(free, ((wanted[0].name, wanted[1].name), *together))
    for place, one in enumerate(wanted):
        if found[place] is None:
            others = _without(free, found[1 - place])
            found[place] = _named(others, (one.name, *one.aliases), whole=True)
    longest = sorted(free, key=_mean_length, reverse=True)
    spare = [c for c in longest if c is not found[0] and c is not found[1]]
    spare = spare[: found.count(None)]
    spare = [column for column in free if any(column is one for one in spare)]
    inputs = {}
    for one, named_so in zip(wanted, found, strict=True):
        source = named_so or (spare.pop(0) if spare else None)
        if source is None:
            raise InvalidData(
                "tasks.no_input_column", kind=one.name, columns=[c.name for c in columns]
            )
        inputs[one.name] = source
    return _beside(inputs, columns, label, label_names)


def _named_pair(
    columns: Sequence[ColumnSample], together: Sequence[tuple[str, str]]
) -> list[ColumnSample | None]:
    for names in together:
        both = [_named(columns, (name,), whole=True) for name in names]
        if None not in both:
            return both
    return [None, None]


def _beside(
    inputs: Mapping[str, ColumnSample],
    columns: Sequence[ColumnSample],
    label: ColumnSample | None,
    label_names: Sequence[str],
) -> Roles:
    """The roles where the inputs are known, and the label where it has a usual name."""
    rest = [column for column in columns if not any(column is one for one in inputs.values())]
    if label is None:
        possible = [column for column in rest if _repeats(column)]
        label = _named(possible, label_names, whole=False) or _fewest_values(possible)
    taken = [c for c in rest if c is not label]
    return Roles(
        inputs={name: column.name for name, column in inputs.items()},
        label=label.name if label else None,
        id=_name(_named([c for c in taken if _never_repeats(c)], ID, whole=True)),
        group=_name(_named(taken, GROUP, whole=True)),
        subject=_name(_named(taken, SUBJECT, whole=True)),
    )


def is_image(value: Scalar) -> bool:
    """Whether a cell holds an image: its bytes, or the name of an image file."""
    if isinstance(value, bytes):
        return True
    return isinstance(value, str) and _IMAGE_NAME.search(value.strip()) is not None


def named(columns: Sequence[ColumnSample], names: Sequence[str]) -> str | None:
    """The name of the column that wholly has the first of `names` that any has."""
    return _name(_named(columns, names, whole=True))


def is_named(column: str, names: Sequence[str]) -> bool:
    """Whether a column's name is one of `names`, or ends in one as a word of its own."""
    words = _words(column)
    whole = "_".join(words)
    return (
        whole in names or column.strip().casefold() in names or bool(words and words[-1] in names)
    )


def _without(columns: Iterable[ColumnSample], one: ColumnSample | None) -> list[ColumnSample]:
    return [column for column in columns if column is not one]


def _name(column: ColumnSample | None) -> str | None:
    return column.name if column else None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return [word for word in re.split(r"[\W_]+", spaced.casefold()) if word]


def _named(
    columns: Iterable[ColumnSample], names: Sequence[str], *, whole: bool
) -> ColumnSample | None:
    """The column with the first of `names` that any has: as its whole name, or as a part."""
    columns = list(columns)
    test: Callable[[str, str], bool] = _is_whole if whole else _is_part
    for name in names:
        for column in columns:
            if test(column.name, name):
                return column
    return None


def _is_whole(column: str, name: str) -> bool:
    return "_".join(_words(column)) == name


def _is_part(column: str, name: str) -> bool:
    words = _words(column)
    if not words or words[-1] in _ABOUT:
        return False
    return name in words if name.isascii() else any(name in word for word in words)


def _filled(column: ColumnSample) -> list[Scalar]:
    return [v for v in column.values if v is not None and v != "" and v == v]


def _holds_text(column: ColumnSample) -> bool:
    values = _filled(column)
    texts = [v for v in values if isinstance(v, str) and any(map(str.isalpha, v))]
    return 2 * len(texts) > len(values)


def _holds_images(column: ColumnSample) -> bool:
    values = _filled(column)
    return bool(values) and 2 * sum(map(is_image, values)) > len(values)


def _mean_length(column: ColumnSample) -> float:
    values = _filled(column)
    return sum(len(str(v)) for v in values) / len(values) if values else 0.0


def _distinct(column: ColumnSample) -> int:
    return len({str(value) for value in _filled(column)})


def _repeats(column: ColumnSample) -> bool:
    """Whether there are two values or more, each with two rows on average or more."""
    return 2 <= _distinct(column) <= max(2, len(_filled(column)) // 2)


def _never_repeats(column: ColumnSample) -> bool:
    return _distinct(column) == len(column.values)


def _fewest_values(columns: Sequence[ColumnSample]) -> ColumnSample | None:
    return min(columns, key=_distinct, default=None)
