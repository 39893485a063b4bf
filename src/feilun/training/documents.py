"""What methods that answer from documents share: the library that a data version holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from feilun.engines._index import Index, best, length, terms
from feilun.engines._library import Known, Library, sentences
from feilun.families.answers import Passage, Right, is_right, parsed
from feilun.messages import t
from feilun.metrics.answers import holds
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.tasks.question_answering import section_text
from feilun.training.retrieval import Asked
from feilun.types import Split

__all__ = [
    "Example",
    "answers_questions",
    "asked_of",
    "library_of",
    "passages_of",
    "reading_examples",
]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_SAID = 2
"""Passages that say an answer from which a reader learns it."""
_LOOKED_AT = 20
"""Passages among which the one that says a known answer is looked for."""


def answers_questions(task: TaskBase) -> str | None:
    """None for a task that answers from documents; else why such methods cannot learn `task`."""
    if task.family.name == "answers" and task.documents:
        return None
    return t("training.reason_no_documents", task=task.name)


def library_of(dataset: Dataset, settings: Mapping[str, Any]) -> Library:
    """The passages, questions, rules and facts of a data version.

    Of each document its newest revision counts, the one that came last. Of questions only those of
    the training rows are known; each belongs to the passage that says its answer.
    """
    sections: dict[tuple[str, str], list[Passage]] = {}
    newest: dict[str, str] = {}
    rules: list[tuple[str, str]] = []
    facts: list[tuple[str, str]] = []
    asked: list[tuple[str, Right]] = []
    for split in _SPLITS:
        rows = zip(dataset.items(split), dataset.values("label", split), strict=True)
        for item, target in rows:
            found = parsed(target) if target else None
            if isinstance(found, Right):
                if split == "train" and found.answers:
                    asked.append((str(item), found))
            elif found is None:
                continue
            elif found["kind"] == "section":
                document, revision = str(found.get("document", "")), str(found.get("revision", ""))
                newest[document] = revision
                heading = str(found.get("heading", ""))
                section = Passage(document, section_text(str(item)), heading, found.get("page"))
                sections.setdefault((document, revision), []).append(section)
            else:
                pair = str(item), str(found["answers"][0])
                (rules if found["kind"] == "rule" else facts).append(pair)
    size = int(settings.get("passage_tokens", 160))
    overlap = int(settings.get("overlap_tokens", 40))

    def cut(of: Iterable[tuple[str, str]]) -> list[Passage]:
        return [
            passage
            for key in of
            for section in sections[key]
            for passage in passages_of(section, size, overlap)
        ]

    passages = cut(newest.items())
    earlier = cut(key for key in sections if newest[key[0]] != key[1])
    known, alone = _known(passages, earlier, asked)
    return Library.of([*passages, *alone], known, rules, facts, newest, settings)


def asked_of(dataset: Dataset, library: Library) -> list[Asked]:
    """The questions of the validation rows with the passages that say their answers."""
    find = _Finder(library.passages)
    rows = zip(dataset.items("validation"), dataset.values("label", "validation"), strict=True)
    found = []
    for item, target in rows:
        right = parsed(target) if target else None
        if isinstance(right, Right) and right.answers:
            found.append(Asked(str(item), find.all(str(item), right)))
    return [one for one in found if one.places]


class Example(NamedTuple):
    """A question as a reader learns it: the places of passages that say its answer, with the
    characters of each at which it stands (None where it is said in other words), and of passages
    that fit the question and do not say it."""

    question: str
    right: Sequence[int]
    spans: Sequence[tuple[int, int] | None]
    wrong: Sequence[int]


def reading_examples(
    dataset: Dataset, library: Library, split: Split, negatives: int
) -> list[Example]:
    """The questions of `split`, those that the documents do not answer among them; with `negatives`
    passages that are no answer, those that BM25 finds first."""
    find = _Finder(library.passages)
    rows = zip(dataset.items(split), dataset.values("label", split), strict=True)
    found = []
    for item, target in rows:
        right = parsed(target) if target else None
        if not isinstance(right, Right):
            continue
        question = str(item)
        all_right = find.all(question, right) if right.answers else []
        places = [place for place in all_right if library.passages[place].document][:_SAID]
        if right.answers and not places:
            continue  # nothing to point at
        ranked = best(library.lexical(question), _LOOKED_AT).tolist()
        wrong = [one for one in ranked if not right.answers or one not in all_right]
        spans = [_stands(library.passages[place].text, question, right) for place in places]
        found.append(Example(question, places, spans, wrong[:negatives]))
    return found


def _stands(text: str, question: str, right: Right) -> tuple[int, int] | None:
    """Where a right answer stands in `text`; of several places the one whose sentence shares most
    terms with the question."""
    asked, folded = set(terms(question)), text.casefold()
    found: list[tuple[int, int, int]] = []
    for answer in right.answers:
        wanted, place = answer.strip().casefold(), -1
        while wanted and (place := folded.find(wanted, place + 1)) >= 0:
            end = place + len(wanted)
            around = next(((a, b) for a, b in sentences(text) if a <= place < b), (place, end))
            fit = len(asked & set(terms(text[around[0] : around[1]])))
            found.append((-fit, place, end))
        if found:
            break
    # Folding changes the length of few characters; there the places would be others.
    return min(found)[1:] if found and len(folded) == len(text) else None


def passages_of(section: Passage, size: int, overlap: int) -> Iterator[Passage]:
    """A section in passages of about `size` words, each of whole sentences; a passage begins with
    the last `overlap` words of the one before it, in whole sentences too."""
    text = section.text
    spans = [(start, end, length(text[start:end])) for start, end in sentences(text)]
    first = 0
    while first < len(spans):
        last, count = first, spans[first][2]
        while last + 1 < len(spans) and count + spans[last + 1][2] <= size:
            last += 1
            count += spans[last][2]
        yield section._replace(text=text[spans[first][0] : spans[last][1]])
        if last + 1 == len(spans):
            return
        following, repeated = last + 1, 0
        while following - 1 > first and repeated + spans[following - 1][2] <= overlap:
            following -= 1
            repeated += spans[following][2]
        first = following


def _known(
    passages: Sequence[Passage],
    earlier: Sequence[Passage],
    asked: Sequence[tuple[str, Right]],
) -> tuple[list[Known], list[Passage]]:
    """The known questions with the place of the passage that says their answer, and passages for
    answers that no document says. What a document has said in an `earlier` revision and says no
    more is not known any longer."""
    find, found_earlier = _Finder(passages), _Finder(earlier)
    known: list[Known] = []
    alone: dict[str, int] = {}
    extra: list[Passage] = []
    for question, right in asked:
        answer = right.answers[0]
        place = find(question, right)
        if place < 0:
            if found_earlier(question, right) >= 0:
                continue
            if answer not in alone:
                alone[answer] = len(passages) + len(extra)
                extra.append(Passage("", answer))
            place = alone[answer]
        known.append(Known(question, answer, place))
    return known, extra


class _Finder:
    """Finds the passage that says a known answer, among those that fit question and answer best."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._index: Index | None = None

    def __call__(self, question: str, right: Right) -> int:
        """The place of the passage; -1 where there is none."""
        return next(iter(self.all(question, right)), -1)

    def all(self, question: str, right: Right) -> list[int]:
        """The places of all that say the answer; those that say it word for word go first."""
        if not self._passages:
            return []
        if self._index is None:
            self._index = Index.of(f"{one.heading}\n{one.text}" for one in self._passages)
        answer = right.answers[0]
        given = " ".join(source.passage for source in right.sources)
        scores = self._index.search(terms(f"{question}\n{answer}\n{given}"))
        places: list[int] = best(scores, _LOOKED_AT).tolist()
        fitting = [place for place in places if is_right(right, self._passages[place])]
        return sorted(fitting, key=lambda place: not holds(self._passages[place].text, answer))
