"""Every sentence that a user may read, in English and Chinese, side by side.

One TOML file per room (``messages/data.toml``), one table per sentence::

    [unknown_column]
    en = "{file} has no column {column!r}; it has: {options}"
    zh = "{file} 中没有列 {column!r}；现有的列：{options}"
    hint.en = "name the column with --map text=COLUMN"
    hint.zh = "用 --map text=列名 指定列"

The key of that sentence is ``data.unknown_column``. Another distribution brings ``boxes.toml`` by
the entry point ``boxes`` of the group ``feilun.messages``, which names the package that holds it.
This package imports nothing of feilun, so that errors can speak; which language is right is decided
by ``config`` and told here by `use`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any, Literal, TypeVar, cast, get_args

__all__ = [
    "LANGUAGES", "Language", "Sentence", "advise", "completed", "has", "hint", "in_each", "keys",
    "knowing", "language", "raw", "speak_of", "speaking_of", "t", "use",
]  # fmt: skip

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_Said = TypeVar("_Said")
_EDGES = re.compile(r"^(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])$")
_TOUCHING = re.compile("(?<=[\u4e00-\u9fff])\0|\0(?=[\u4e00-\u9fff])")

_default: Language = "en"
_current: ContextVar[Language | None] = ContextVar("feilun_language", default=None)
_Completion = Callable[[str, str | None, Language], str]
_completion: _Completion | None = None
_knowing: ContextVar[bool] = ContextVar("feilun_knowing", default=False)
_project: ContextVar[str | None] = ContextVar("feilun_project", default=None)


def use(lang: Language, *, here_only: bool = False) -> None:
    """Speak `lang` from now on: in the whole process, or only in this context (a request)."""
    global _default
    if lang not in LANGUAGES:
        raise ValueError(f"lang must be one of {', '.join(LANGUAGES)}, not {lang!r}")
    if here_only:
        _current.set(lang)
    else:
        _default = lang


def in_each(make: Callable[[], _Said]) -> dict[Language, _Said]:
    """What `make` says in each language, to be kept for readers of either."""
    said: dict[Language, _Said] = {}
    before = _current.get()
    try:
        for lang in LANGUAGES:
            _current.set(lang)
            said[lang] = make()
    finally:
        _current.set(before)
    return said


def language() -> Language:
    """The language in force here: ``en`` or ``zh``."""
    return _current.get() or _default


def advise(how: _Completion | None) -> None:
    """From now on, in the whole process, sentences that name commands of feilun are said as `how`
    makes them of the sentence that stands here, not filled, of the project that is spoken of
    (`speak_of`) and of the language."""
    global _completion
    _completion = how


def speak_of(project: str | None) -> None:
    """In this context (a request), sentences speak of `project`; None: it need not be named."""
    _project.set(project)


@contextmanager
def knowing() -> Iterator[None]:
    """What `t` says meanwhile, in this context, is a `Sentence`, which can be kept for readers of
    either language. Elsewhere it is plain text, as encoders take nothing else."""
    token = _knowing.set(True)
    try:
        yield
    finally:
        _knowing.reset(token)


@contextmanager
def speaking_of(project: str | None) -> Iterator[None]:
    """As `speak_of`, for the sentences that are made meanwhile."""
    token = _project.set(project)
    try:
        yield
    finally:
        _project.reset(token)


def completed(words: str) -> str:
    """`words` with all that the commands in them need to be typed where the user is."""
    return _completed(words.replace("{", "{{").replace("}", "}}"), language()).format()


class Sentence(str):
    """Text that knows the `key` and the `params` it was made of (see `sentences`)."""

    key: str
    params: Mapping[str, Any]


def t(key: str, /, lang: Language | None = None, **params: Any) -> str:
    """The sentence `key` (``room.name``) in `lang` (default: the one in force), with `params`; a
    `Sentence` while `knowing`, but for one asked for in a `lang`, which is for that reader alone.

    Lists are joined the way the language joins them. Raises `KeyError` for an unknown key: a
    missing sentence is a bug, held by a test that reads every key out of the source.
    """
    spoken = lang or language()
    text = _fill(_sentence(key)[spoken], params, spoken)
    if lang is not None or not _knowing.get():
        return text
    said = Sentence(text)
    said.key, said.params = key, params
    return said


def hint(key: str, /, lang: Language | None = None, **params: Any) -> str:
    """What to do next, for the sentence `key`; empty where it has no hint."""
    lang = lang or language()
    hints = _sentence(key).get("hint")
    return _fill(cast(Mapping[str, str], hints)[lang], params, lang) if hints else ""


def has(key: str) -> bool:
    """Whether a sentence of this key exists."""
    room, _, name = key.partition(".")
    return name in _room(room)


def raw(key: str) -> Mapping[str, Any]:
    """The sentence of `key` in each language, not filled; its hint under ``hint``."""
    return _sentence(key)


def keys() -> list[str]:
    """Every key there is, sorted."""
    rooms = (f.name.removesuffix(".toml") for f in files(__name__).iterdir())
    return sorted(
        f"{room}.{name}" for room in rooms if not room.startswith("_") for name in _room(room)
    )


def _sentence(key: str) -> Mapping[str, Any]:
    room, _, name = key.partition(".")
    try:
        return cast(Mapping[str, Any], _room(room)[name])
    except KeyError:
        raise KeyError(f"no sentence {key!r} in messages/{room}.toml") from None


@cache
def _room(room: str) -> Mapping[str, Any]:
    path = files(__name__) / f"{room}.toml"
    if not path.is_file():
        found = next(iter(entry_points(group="feilun.messages", name=room)), None)
        if found is None:
            return {}
        path = files(found.value) / f"{room}.toml"
    return tomllib.loads(path.read_text("utf-8"))


def _fill(sentence: str, params: Mapping[str, Any], lang: Language) -> str:
    shown = {name: _show(value, lang) for name, value in params.items()}
    sentence = _completed(sentence, lang)
    return _parted(sentence, shown) if lang == "zh" else sentence.format(**shown)


def _completed(sentence: str, lang: Language) -> str:
    if _completion is None or "feilun " not in sentence:
        return sentence
    return _completion(sentence, _project.get(), lang)


def _parted(sentence: str, shown: Mapping[str, Any]) -> str:
    """The sentence filled, with a space between a Chinese character and a Latin word beside it: the
    same blank may hold ``准确率`` or ``F1``."""
    marked = {
        name: _EDGES.sub("\0", value)
        if isinstance(value, str) and f"{{{name}}}" in sentence and f"{{{name}!" not in sentence
        else value
        for name, value in shown.items()
    }
    return _TOUCHING.sub(" ", sentence.format(**marked)).replace("\0", "")


def _show(value: Any, lang: Language) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return ("、" if lang == "zh" else ", ").join(str(v) for v in value)
    return value
