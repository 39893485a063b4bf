"""What is right for a question, what else rows are, and which passages say it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from feilun.errors import InvalidData
from feilun.metrics.answers import coverage, holds, words

__all__ = [
    "KINDS",
    "Candidate",
    "Passage",
    "Reading",
    "Right",
    "Source",
    "is_right",
    "parsed",
    "read_json",
    "right_of",
    "says",
    "texts_of",
    "to_json",
    "written",
]

KINDS = ("section", "rule", "fact")
"""What else than a question a row may be: it teaches what can be answered, and is not asked."""

_LONGEST = 100_000
_ENOUGH = 0.8
"""Share of a right answer's words from which a passage counts as one that says it, where the answer
was written in other words than the passage."""


class Source(NamedTuple):
    """Where an answer stands: the name of its document and the text around it, each "" where it is
    not known."""

    document: str = ""
    passage: str = ""


class Right(NamedTuple):
    """What is right: any of `answers`; none of them where the documents do not say. `sources` are
    where it stands, as far as that is known."""

    answers: tuple[str, ...]
    sources: tuple[Source, ...] = ()


class Passage(NamedTuple):
    """A passage that was found: the `document`, the headings over it, its `page` counted from 1
    (None where there are none), and how well it fits the question, 0 to 1."""

    document: str
    text: str
    heading: str = ""
    page: int | None = None
    score: float = 0.0


class Candidate(NamedTuple):
    """An answer that might be given, how sure it is (0 to 1), and where it stands in its passage:
    characters."""

    answer: str
    score: float
    passage: Passage
    start: int
    end: int


class Reading(NamedTuple):
    """One raw output: the `answer` and how `sure` it is (0 to 1), the passage `cited` for it and
    where in that it stands, the `passages` that were found, the best first, and what is said
    `otherwise`, where it is not sure enough. `kind` is what answered: a passage, a rule, a fact, or
    a question that is known. `library` has the revision of each document that could be cited.
    `candidates` are the best answers, this one among them, as far as an engine compares several;
    `supports` are further passages that say it."""

    answer: str
    sure: float
    cited: Passage | None = None
    start: int = 0
    end: int = 0
    passages: Sequence[Passage] = ()
    otherwise: str = ""
    kind: str = "passage"
    library: Mapping[str, str] | None = None
    candidates: Sequence[Candidate] = ()
    supports: Sequence[Passage] = ()


def parsed(target: str) -> Right | dict[str, Any]:
    """What a canonical target says: what is right for a question, or the mapping of another
    kind."""
    value = read_json(target)
    if isinstance(value, str):
        return Right((value,))
    if isinstance(value, dict) and value.get("kind") in KINDS:
        return value
    return right_of(value)


def written(right: Right) -> str:
    """The canonical target of `right`."""
    if len(right.answers) == 1 and not right.sources and not _is_json(right.answers[0]):
        return right.answers[0]
    said: dict[str, Any] = {"answers": list(right.answers)}
    if right.sources:
        said["sources"] = [
            {name: text for name, text in one._asdict().items() if text} for one in right.sources
        ]
    return to_json(said)


def is_right(right: Right, passage: Passage) -> bool:
    """Whether `passage` says what is right: one of the answers stands in it, in the document that
    is named, or it overlaps with the passage that is."""
    for source in right.sources or (Source(),):
        if source.document and not _same_document(source.document, passage.document):
            continue
        if source.passage:
            one, other = sorted((source.passage, passage.text), key=len)
            if coverage(other, one) >= _ENOUGH and (
                not right.answers or any(says(passage.text, one) for one in right.answers)
            ):
                return True
            continue
        if any(says(f"{passage.heading}\n{passage.text}", one) for one in right.answers):
            return True
        if not right.answers:
            return True
    return False


def says(text: str, answer: str) -> bool:
    """Whether a text says an answer: it holds it, or four fifths of its words and all of its
    numbers."""
    if holds(text, answer):
        return True
    numbers = {word for word in words(answer) if word[0].isdigit()}
    return coverage(text, answer) >= _ENOUGH and numbers <= set(words(text))


def _same_document(one: str, other: str) -> bool:
    """Whether two names are those of one document: a path may be given by its end."""
    names = [name.replace("\\", "/").strip("/").casefold() for name in (one, other)]
    shorter, longer = sorted(names, key=len)
    return longer == shorter or longer.endswith("/" + shorter)


def right_of(value: Any) -> Right:
    """What a mapping says, by the names of SQuAD, of answers that were put right, and our own."""
    if not isinstance(value, Mapping):
        raise InvalidData("answers.no_answer", given=str(value)[:60])
    given = value.get("answers", value.get("answer", value.get("text")))
    if isinstance(given, Mapping):
        given = given.get("text")
    texts = texts_of(given if isinstance(given, list) else [] if given is None else [given])
    sources = value.get("sources", value.get("citations", ()))
    if not sources and (value.get("document") or value.get("passage")):
        sources = [value]
    if not isinstance(sources, list | tuple):
        raise InvalidData("answers.no_source", given=str(sources)[:60])
    found = []
    for one in sources:
        if not isinstance(one, Mapping):
            raise InvalidData("answers.no_source", given=str(one)[:60])
        source = Source(*(_plain(one.get(name) or "") for name in Source._fields))
        if source != Source() and source not in found:
            found.append(source)
    if given is None and not found:
        raise InvalidData("answers.no_answer", given=str(dict(value))[:60])
    return Right(texts, tuple(found))


def texts_of(values: Iterable[Any]) -> tuple[str, ...]:
    """The texts of a list of answers, each once. Raises `InvalidData` for what is none."""
    found = []
    for one in values:
        if isinstance(one, Mapping):
            one = one.get("text", one.get("answer"))
        if one is None or (isinstance(one, str) and not one.strip()):
            continue
        if not isinstance(one, str | int | float) or isinstance(one, bool):
            raise InvalidData("answers.no_answer", given=str(one)[:60])
        found.append(_plain(one))
    return tuple(dict.fromkeys(found))


def _plain(value: Any) -> str:
    text = str(value).replace("\0", "")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    if len(text) > _LONGEST:
        raise InvalidData("answers.too_long", length=len(text), limit=_LONGEST)
    return text


def _is_json(text: str) -> bool:
    return not isinstance(read_json(text), str)


def read_json(text: str) -> Any:
    """The mapping or list that a text is the JSON of; else the text, without space around it."""
    plain = _plain(text)
    if plain[:1] not in ("{", "["):
        return plain
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return plain
    # A list is one of answers, a mapping one of ours; any other JSON is a text.
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return value
    ours = ("answers", "answer", "sources", "citations", "kind", "text")
    return value if isinstance(value, dict) and any(name in value for name in ours) else plain


def to_json(value: Mapping[str, Any]) -> str:
    """The JSON of a mapping, its keys in one order."""
    return msgspec.json.encode(value, order="sorted").decode()
