"""What a version answers from: passages of documents, questions that are known, rules and facts.

A version holds ``passages.arrow`` (`document`, `heading`, `page` or -1, `text`) and the index over
them (see `_index`), ``known.arrow`` (`question`, `answer`, and the `place` of the passage that says
so, -1 for none), and ``library.json``: `rules` and `facts` as pairs of a match and an answer, and
the `documents` with their revisions.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feilun.engines._index import Index, best, terms
from feilun.engines._worded import unanswered
from feilun.errors import CorruptArtifact
from feilun.families.answers import DEPTH, Passage, Reading

__all__ = ["Found", "Known", "Library", "plain", "sentences"]

_PASSAGES, _KNOWN, _FILE = "passages.arrow", "known.arrow", "library.json"
_TAUGHT = "questions, rules, facts · 问题、规则、事实"
"""What else than documents a version answers from, as reports name it."""
_READ = 5
"""Passages that are read for an answer."""
_WORD = re.compile(r"\w+")
_END = re.compile(
    r"\n+|[。！？；…]+[”’」』）)]*\s*|[!?]+[\"'”’)]*(?=\s|$)\s*|(?<=\S)\.[\"'”’)]*(?=\s+[^\sa-z]|\s*$)\s*"
)
_SHORT = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|e\.g|i\.e|etc|cf|approx|Inc|Ltd|Co|Fig|p|pp)|\d)$"
)
_ASKS = re.compile(r"[?？:：]\s*$")
_NUMBER = re.compile(
    r"\d|[一二三四五六七八九十百千两]|\b(?:one|two|three|four|five|six|seven|eight|nine|ten)\b"
)
_HOW_MANY = re.compile(
    r"\b(?:how (?:many|much|long|old|far|often|big|large)|when|what time|which year)\b"
    r"|多少|几|多久|多长|多大|何时|什么时候|哪[一]?[年天日月]|期限", re.I
)  # fmt: skip


# What every question has, whatever it is about: few documents cannot tell it from what is rare.
_ASKING = frozenset(
    ("a", "an", "the", "i", "me", "my", "we", "us", "our", "you", "your", "he", "she", "it", "its",
     "they", "them", "their", "this", "that", "these", "those", "there", "what", "which", "who",
     "whom", "whose", "when", "where", "why", "how", "is", "are", "was", "were", "be", "been",
     "am", "do", "does", "did", "can", "could", "may", "might", "must", "shall", "should", "will",
     "would", "have", "has", "had", "of", "to", "in", "on", "at", "by", "for", "from", "with",
     "and", "or", "not", "if", "as", "any", "some", "much", "many", "please", "tell", "get",
     "got", "s", "t", "m", "re", "ve", "ll",)
)  # fmt: skip
_ASKING_HAN = re.compile(
    "请问|请教|我想知道|告诉我|为什么|为何|什么时候|什么时间|什么|怎么样|怎么办|怎么|怎样|如何|多少|"
    "多久|多长|多大|几个|几|哪些|哪里|哪儿|哪个|哪|谁|何时|是不是|是否|能不能|能否|可不可以|可以|"
    "有没有|应该|我们|你们|您们|我|你|您|的|了|吗|呢|吧|啊|呀|是|在|有|会|要|能|把|被|和|与|或|就|都|也|还"
)


class Known(NamedTuple):
    """A question whose answer is known, and the place of the passage that says so, -1 for none."""

    question: str
    answer: str
    place: int


class Found(NamedTuple):
    """What a search found: a reading with passages and no answer yet, the `places` of these, the
    question's terms, and how far the best is ahead where vectors found it."""

    whole: Reading
    places: Sequence[int]
    asked: Sequence[str]
    near: float


class Library:
    """See the module. `documents` are the revisions of what could be cited."""

    def __init__(
        self,
        passages: Sequence[Passage],
        index: Index,
        known: Sequence[Known],
        rules: Sequence[tuple[str, str]],
        facts: Sequence[tuple[str, str]],
        documents: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        self.passages, self.index, self.documents = passages, index, dict(documents)
        self._known, self._raw_rules, self._facts = list(known), list(rules), list(facts)
        self._answers = {plain(one.question): one for one in known}
        self._of_place: dict[int, list[Known]] = {}
        for one in known:
            self._of_place.setdefault(one.place, []).append(one)
        self._rules = [(_pattern(match), match, answer) for match, answer in rules]
        self._named = [(frozenset(_content(name)), name, value) for name, value in facts]
        self._otherwise = str(settings.get("no_answer", ""))
        self._longest = int(settings.get("answer_sentences", 2))
        taught = repr((sorted(self._known), self._raw_rules, self._facts)).encode()
        self._revisions = {**documents, _TAUGHT: blake2b(taught, digest_size=4).hexdigest()}

    @classmethod
    def of(
        cls,
        passages: Sequence[Passage],
        known: Sequence[Known],
        rules: Sequence[tuple[str, str]],
        facts: Sequence[tuple[str, str]],
        documents: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> Library:
        """The library of these. A passage is found by its headings, its text, and the questions
        that are known to be answered by it."""
        asked: dict[int, list[str]] = {}
        for one in known:
            asked.setdefault(one.place, []).append(one.question)
        texts = (
            "\n".join([_titled(one), *asked.get(place, ())]) for place, one in enumerate(passages)
        )
        return cls(passages, Index.of(texts), known, rules, facts, documents, settings)

    @classmethod
    def read(cls, folder: Path, settings: Mapping[str, Any]) -> Library:
        """The library in `folder`. Raises `CorruptArtifact` where there is none."""
        index = Index.read(folder)
        try:
            found = json.loads((folder / _FILE).read_text("utf-8"))
            rules, facts = (
                [(str(a), str(b)) for a, b in found[name]] for name in ("rules", "facts")
            )
            documents = {str(name): str(one) for name, one in found["documents"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            file = folder / _FILE
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        passages = [
            Passage(document, text, heading, page if page >= 0 else None)
            for document, heading, page, text in _table(folder / _PASSAGES)
        ]
        known = [Known(*row) for row in _table(folder / _KNOWN)]
        if index.size != len(passages):
            raise CorruptArtifact("engines.bad_weights", file=folder / _PASSAGES, reason="rows")
        return cls(passages, index, known, rules, facts, documents, settings)

    def write(self, folder: Path) -> None:
        """Writes what `read` reads."""
        import pyarrow as pa

        columns: dict[str, list[Any]] = {
            "document": [one.document for one in self.passages],
            "heading": [one.heading for one in self.passages],
            "page": [-1 if one.page is None else one.page for one in self.passages],
            "text": [one.text for one in self.passages],
        }
        kinds = (pa.large_string(), pa.large_string(), pa.int32(), pa.large_string())
        _write(folder / _PASSAGES, columns, kinds)
        known = zip(*self._known, strict=True) if self._known else ((), (), ())
        asked = dict(zip(Known._fields, map(list, known), strict=True))
        _write(folder / _KNOWN, asked, (pa.large_string(), pa.large_string(), pa.int32()))
        self.index.write(folder)
        said = {"rules": self._raw_rules, "facts": self._facts, "documents": self.documents}
        (folder / _FILE).write_text(json.dumps(said, ensure_ascii=False), "utf-8")

    def lexical(self, question: str) -> np.ndarray:
        """The score of every passage for a question by its terms, float32 (passages,)."""
        return self.index.search(_asked(question))

    @property
    def texts(self) -> list[str]:
        """The passages under their headings, as they are searched."""
        return [_titled(one) for one in self.passages]

    def search(self, question: str, scores: np.ndarray | None = None) -> Found:
        """The passages that fit `question` best. `scores` (passages,) say how well each fits it, by
        default BM25's."""
        asked = _asked(question)
        near = 0.0
        if scores is None:
            scores = self.index.search(asked)
            places = best(scores, DEPTH).tolist()
        else:
            places = best(scores, DEPTH, -np.inf).tolist()
            near = _ahead(scores)
        found = [
            self.passages[place]._replace(score=min(1.0, max(0.0, float(scores[place]))))
            for place in places
        ]
        whole = Reading(
            "",
            0.0,
            passages=found,
            otherwise=unanswered(question, self._otherwise),
            library=self._revisions,
        )
        return Found(whole, places, asked, near)

    def settled(self, question: str, whole: Reading) -> Reading | None:
        """The answer of a rule, of a fact, or of a question that is known; None where there is
        none. `whole` is what was found."""
        for kind, match, answer in self._ruled(question):
            cited = Passage(kind, f"{match}: {answer}")
            start = len(match) + 2
            end = start + len(answer)
            return whole._replace(
                answer=answer, sure=1.0, cited=cited, start=start, end=end, kind=kind
            )
        known = self._answers.get(plain(question))
        return None if known is None else self._remembered(whole, known, 1.0)

    def given(self, place: int) -> str | None:
        """The answer that was given to a question which passage `place` belongs to."""
        known = self._of_place.get(place, ())
        return known[0].answer if known else None

    def coverage(self, question: str, passage: Passage) -> float:
        """The share of a question's terms that a passage has, weighed by how rare they are."""
        return float(self.index.coverage(_asked(question), [terms(_titled(passage))])[0])

    def read_for(self, question: str, scores: np.ndarray | None = None) -> Reading:
        """The answer to `question`, taken from the passages as they are. `scores` as in
        `search`."""
        found = self.search(question, scores)
        settled = self.settled(question, found.whole)
        if settled is not None:
            return settled
        said = self._extracted(found.whole, question, found.asked, found.places)
        return said._replace(sure=max(said.sure, found.near)) if said.answer else said

    def _ruled(self, question: str) -> Iterator[tuple[str, str, str]]:
        """The rules that match a question, then the facts that it names."""
        said = plain(question)
        for pattern, match, answer in self._rules:
            if pattern is not None and pattern.search(said):
                yield "rule", match, answer
        asked = frozenset(_content(question))
        fitting = [one for one in self._named if one[0] and one[0] <= asked]
        for _, name, value in sorted(fitting, key=lambda one: -len(one[0]))[:1]:
            yield "fact", name, value

    def _remembered(self, whole: Reading, known: Known, sure: float) -> Reading:
        cited, start, end = None, 0, 0
        if known.place >= 0 and self.passages[known.place].document:
            cited = self.passages[known.place]
            start = max(0, cited.text.find(known.answer))
            end = start + len(known.answer) if known.answer in cited.text else len(cited.text)
        return whole._replace(
            answer=known.answer, sure=sure, cited=cited, start=start, end=end, kind="known"
        )

    def _extracted(
        self, whole: Reading, question: str, asked: Sequence[str], places: Sequence[int]
    ) -> Reading:
        """The sentences of the found passages that fit the question best, or what is known to
        answer one that is much like it."""
        counts = bool(_HOW_MANY.search(question))
        top: tuple[float, float, int, Known | tuple[int, int]] | None = None
        for rank, place in enumerate(places[:_READ]):
            passage = whole.passages[rank]
            spans = sentences(passage.text)
            texts = [passage.text[start:end] for start, end in spans]
            near = self._of_place.get(place, [])
            heads = [f"{passage.heading} {text}" for text in texts]
            read = [terms(one) for one in (*heads, *(one.question for one in near))]
            fits = self.index.scores(asked, read)
            covers = self.index.coverage(asked, [*read, terms(_titled(passage))])
            for n, fit in enumerate(fits.tolist()):
                bonus = 1.0
                if n < len(texts) and counts and _NUMBER.search(texts[n]):
                    bonus = 1.15
                score = passage.score + bonus * fit
                sure = float(covers[n] + covers[-1]) / 2
                if top is None or score > top[0] + 1e-9:
                    said = near[n - len(texts)] if n >= len(texts) else self._span(spans, texts, n)
                    top = (score, sure, rank, said)
        if top is None:
            return whole
        _, sure, rank, said = top
        sure = min(1.0, sure)
        if isinstance(said, Known):
            return self._remembered(whole, said, sure)
        cited = whole.passages[rank]
        if not cited.document:  # an answer that somebody gave, which no document says
            known = self._of_place.get(places[rank], [])
            if known:
                return self._remembered(whole, known[0], sure)
        start, end = said
        answer = cited.text[start:end]
        return whole._replace(answer=answer, sure=sure, cited=cited, start=start, end=end)

    def _span(
        self, spans: Sequence[tuple[int, int]], texts: Sequence[str], place: int
    ) -> tuple[int, int]:
        """Where the answer stands if sentence `place` fits best: that sentence; where it asks or
        announces, those after it."""
        first = place
        if _ASKS.search(texts[place]) and place + 1 < len(spans):
            first = place + 1
            last = min(first + self._longest, len(spans)) - 1
            return spans[first][0], spans[last][1]
        return spans[place]


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of `text`, without the space around it; a line is one."""
    found, begin = [], 0
    for mark in _END.finditer(text):
        inside = mark[0].startswith(".") and mark.end() < len(text) and "\n" not in mark[0]
        if inside and _SHORT.search(text[begin : mark.start()][-8:]):
            continue
        found.append((begin, mark.end()))
        begin = mark.end()
    found.append((begin, len(text)))
    spans = []
    for start, end in found:
        part = text[start:end]
        start += len(part) - len(part.lstrip())
        end = start + len(part.strip())
        if start < end:
            spans.append((start, end))
    return spans


def plain(question: str) -> str:
    """A question but for case, width, punctuation and space."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", question).casefold()))


def _content(text: str) -> list[str]:
    """The whole words of a text, and each character of a script without spaces."""
    return [one for one in terms(text) if not one.startswith("#")]


def _asked(question: str) -> list[str]:
    """The terms of a question without what every question has; all of them where nothing else
    is left."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    words = [word for word in _WORD.findall(_ASKING_HAN.sub(" ", folded)) if word not in _ASKING]
    return terms(" ".join(words)) or terms(question)


def _ahead(scores: np.ndarray) -> float:
    """How far the best of all scores is ahead of the middle one, as a part of what is possible:
    encoders differ in how near they put texts that have nothing to do with each other."""
    if not len(scores):
        return 0.0
    middle = float(np.median(scores))
    return max(0.0, min(1.0, (float(scores.max()) - middle) / max(1e-6, 1.0 - middle)))


def _titled(passage: Passage) -> str:
    name = passage.document.rpartition("/")[2].rpartition(".")[0] or passage.document
    return f"{name}\n{passage.heading}\n{passage.text}"


def _pattern(match: str) -> re.Pattern[str] | None:
    """A rule's match as a pattern over plain questions: ``|`` parts alternatives, ``*`` stands for
    any words; without one the words may stand anywhere in the question."""
    parts = []
    for one in match.split("|"):
        words = [re.escape(plain(part)) for part in one.split("*")]
        if any(words):
            edge = r"(?<!\w)" if words[0][:1].isascii() and words[0] else ""
            ends = r"(?!\w)" if words[-1][-1:].isascii() and words[-1] else ""
            parts.append(edge + r".*?".join(words) + ends)
    return re.compile("|".join(parts)) if parts else None


def _table(file: Path) -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as raw:
            table = pa.ipc.open_file(raw).read_all()
            columns = [column.to_pylist() for column in table.columns]
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
    return zip(*columns, strict=True)


def _write(file: Path, columns: Mapping[str, Sequence[Any]], kinds: Sequence[Any]) -> None:
    import pyarrow as pa

    schema = pa.schema(list(zip(columns, kinds, strict=True)))
    batch = pa.record_batch(
        [pa.array(values, kind) for values, kind in zip(columns.values(), kinds, strict=True)],
        schema=schema,
    )
    with pa.OSFile(str(file), "wb") as raw, pa.ipc.new_file(raw, schema) as out:
        out.write_batch(batch)
