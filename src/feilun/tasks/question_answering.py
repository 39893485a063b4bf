"""Answers questions from a company's own documents, and shows where they say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.answers import ANSWERS, KINDS
from feilun.modalities import recognise
from feilun.modalities.text.task import TextInput
from feilun.tasks.base import Column, RowReader, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task", "section_item", "section_text"]

_QUESTIONS = (
    "query", "prompt", "query_text", "user_question", "utterance", "title",
    "问题", "提问", "查询", "用户问题", "标准问题", "标准问", "问",
)  # fmt: skip
_ANSWERS = (
    "answer", "answers", "response", "reply", "right_answer", "label", "target", "completion",
    "答案", "回答", "回复", "标准答案", "答",
)  # fmt: skip
_RULES = ("match", "rule", "pattern", "if", "规则", "匹配", "如果")
_FACTS = (("fact", "value"), ("name", "value"), ("事实", "值"), ("名称", "值"), ("项目", "内容"))
_DOCUMENT = ("document", "file", "source", "doc", "文档", "文件", "来源", "出处")
_PASSAGE = ("passage", "context", "evidence", "paragraph", "段落", "上下文", "原文", "依据")
_KIND = ("kind", "种类")
_IMPOSSIBLE = ("is_impossible", "unanswerable", "无法回答", "无答案")
_SECTION = ("text", "document", "revision", "heading", "page")
_YES = ("1", "1.0", "true", "yes", "是")
_NESTED = ("paragraphs", "qas")


class Settings(TaskSettings):
    """The ``[task]`` table of a project that answers from documents."""

    passage_tokens: int = Field(
        160,
        ge=20,
        le=2000,
        description="words of a passage (of Chinese: characters), which is found, read and cited"
        " as one",
    )
    overlap_tokens: int = Field(
        40, ge=0, le=1000, description="words that a passage repeats of the one before it"
    )
    answer_sentences: int = Field(
        2, ge=1, le=10, description="sentences of an answer that is taken from a passage, at most"
    )
    no_answer: str = Field(
        "",
        max_length=1000,
        description="what is said where no answer is known; empty: a sentence in the language of"
        " the question",
    )
    max_length: int = Field(
        256, ge=8, le=8192, description="tokens of a text that an encoder reads; the rest is cut"
    )
    feature_bits: int = Field(
        18,
        ge=10,
        le=24,
        description="drift and review hash n-grams into 2 to this power columns",
    )


class Task(TextInput):
    """Answers questions from a company's own documents, and cites the passage that says so.

    The input is a question; the answer is a text with its citation, or that the documents do not
    say. Rows are of two sorts: documents (a folder or files: texts, Markdown, pages, PDF, Word,
    tables), which become sections and are what is answered from, and questions with known answers,
    which judge and teach. Rules (``match``, ``answer``) and facts (``fact``, ``value``) go before
    the documents.
    """

    summary = "tasks.question_answering"
    Settings = Settings
    family = ANSWERS
    nested = undivided = documents = True
    columns = (Column("question", "text", _QUESTIONS),)
    label_aliases = _ANSWERS
    header_names = (
        *_RULES, *chain.from_iterable(_FACTS), *_DOCUMENT, *_PASSAGE, *_KIND, *_IMPOSSIBLE
    )  # fmt: skip
    examples = (
        Example("1", "How long do I have to send something back?", "14 days"),
        Example("2", "Do you deliver to islands?", "Yes, in five working days."),
        Example("3", "运费是多少？", "满 99 元包邮"),
    )
    default_base = "minilm"

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """Sections by all their names, SQuAD's nested lists, then questions, rules and facts by
        their usual names. Raises `InvalidData` naming the columns where there is none of these."""
        names = {column.name for column in columns}
        if set(_SECTION) <= names:
            return Roles({"question": "text"}, "document")
        nested = recognise.named(columns, _NESTED)
        if nested is not None:
            return Roles({"question": nested}, nested)
        question, answer = self._named(columns)
        if question is None:
            found = recognise.roles(columns, self.columns[0], self.label_aliases)
            question, answer = found.inputs["question"], found.label
        taken = (question, answer)
        rest = [column for column in columns if column.name not in taken]
        return Roles(
            {"question": question},
            answer,
            id=recognise.named(rest, recognise.ID),
            subject=recognise.named(rest, recognise.SUBJECT),
        )

    def _named(self, columns: Sequence[ColumnSample]) -> tuple[str | None, str | None]:
        """The columns that ask and that answer, by their names."""
        found = recognise.named(columns, ("question",))
        answer = recognise.named(columns, _ANSWERS)
        rest = [column for column in columns if column.name != answer]
        found = found or recognise.named(rest, (*_RULES, *_QUESTIONS))
        if found is not None and (answer or recognise.named(rest, (*_PASSAGE, *_DOCUMENT))):
            return found, answer or recognise.named(rest, (*_PASSAGE, *_DOCUMENT))
        for names in _FACTS:
            both = [recognise.named(columns, (name,)) for name in names]
            if None not in both:
                return both[0], both[1]
        return None, None

    def is_document(self, columns: Sequence[ColumnSample]) -> bool:
        """A table with no column of questions, rules or facts beside one of answers."""
        names = {column.name for column in columns}
        if set(_SECTION) <= names or recognise.named(columns, _NESTED):
            return False
        if self._named(columns)[0] is not None:
            return False
        return recognise.named(columns, ("question", *_QUESTIONS)) is None or len(names) > 1

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """See the class."""
        names = {column.name for column in samples}
        if set(_SECTION) <= names:
            return _section
        nested = recognise.named(samples, _NESTED)
        if nested is not None:
            return _squad
        rule = recognise.named(samples, _RULES)
        fact = next(
            (f for f, v in _FACTS if recognise.named(samples, (f,)) and
             recognise.named(samples, (v,))),
            None,
        )  # fmt: skip
        question = recognise.named(samples, ("question",)) or rule
        always = "rule" if rule and question == rule else "fact" if fact and not question else ""
        document, passage, kind, impossible = (
            recognise.named(samples, one) for one in (_DOCUMENT, _PASSAGE, _KIND, _IMPOSSIBLE)
        )
        title = recognise.named([s for s in samples if s.name != question], ("title",))

        def rows(item: Any, raw: Any, values: Mapping[str, Any]) -> Sequence[tuple[Item, Any]]:
            said = str(values.get(kind) or always) if kind else always
            if said in KINDS and said != "section":
                return [(item, None if _blank(raw) else {"kind": said, "answers": [str(raw)]})]
            cells = {
                "document": values.get(document or "") or values.get(title or ""),
                "passage": values.get(passage or ""),
            }
            source = {name: str(one) for name, one in cells.items() if not _blank(one)}
            if _blank(item) and "passage" in source:
                return [_context(source.get("document", ""), source["passage"])]
            if impossible and str(values.get(impossible)).strip().casefold() in _YES:
                return [(item, {"answers": []})]
            right = _answers(raw)
            if right is None and not source:
                return [(item, None)]
            found: list[tuple[Item, Any]] = [
                (item, {"answers": right or [], "sources": [source] if source else []})
            ]
            if "passage" in source:
                found.append(_context(source.get("document", ""), source["passage"]))
            return found

        return rows

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """There is no head yet: passages are compared by the vectors of `encoder`."""
        raise InvalidData("tasks.no_head_of_search", task=self.name)


def section_item(text: str, document: str, revision: str = "", heading: str = "") -> str:
    """A section as a row's item: a line that says where it stands, and its text. Sections of other
    documents, and of another state of the same, are other rows though they say the same."""
    where = " · ".join(one for one in (document, revision, heading) if one)
    return f"{where}\n{text}"


def section_text(item: str) -> str:
    """The text of a section."""
    return item.partition("\n")[2]


def _section(item: Any, raw: Any, values: Mapping[str, Any]) -> Sequence[tuple[Item, Any]]:
    text, document, revision, heading, page = (values.get(name) for name in _SECTION)
    if _blank(text):
        return [(None, None)]
    said = {"document": str(document or ""), "revision": revision, "heading": heading}
    return [
        (
            section_item(str(text), str(document or ""), str(revision or ""), str(heading or "")),
            {"kind": "section", **said, "page": page},
        )
    ]


def _context(document: str, text: str) -> tuple[Item, Any]:
    return section_item(text, document), {"kind": "section", "document": document}


def _squad(item: Any, raw: Any, values: Mapping[str, Any]) -> Sequence[tuple[Item, Any]]:
    """An article of SQuAD (a title, paragraphs with a context and questions), or a paragraph of
    CMRC 2018 (``context_text``, questions as ``query_text``)."""
    title = str(values.get("title") or values.get("context_id") or "")
    paragraphs = values.get("paragraphs")
    found = list(_paragraphs(title, paragraphs if isinstance(paragraphs, list) else [values]))
    if not found:
        raise InvalidData("answers.no_paragraphs", columns=sorted(values))
    return found


def _paragraphs(title: str, paragraphs: Sequence[Any]) -> Iterator[tuple[Item, Any]]:
    for paragraph in paragraphs:
        if not isinstance(paragraph, Mapping):
            continue
        context = paragraph.get("context", paragraph.get("context_text"))
        asked = paragraph.get("qas")
        if _blank(context) or not isinstance(asked, list):
            continue
        source = {"document": title, "passage": str(context)}
        yield _context(title, str(context))
        for one in asked:
            if not isinstance(one, Mapping):
                continue
            question = one.get("question", one.get("query_text"))
            right = [] if one.get("is_impossible") else _answers(one.get("answers")) or []
            if _blank(question):
                continue
            sources = [source] if right else []
            yield str(question), {"answers": right, "sources": sources}


def _answers(raw: Any) -> list[str] | None:
    """The right answers of a cell; None for an empty one."""
    if isinstance(raw, Mapping):
        raw = raw.get("text", raw.get("answers"))
    if isinstance(raw, list):
        texts = [one.get("text") if isinstance(one, Mapping) else one for one in raw]
        return list(dict.fromkeys(str(one) for one in texts if not _blank(one)))
    return None if _blank(raw) else [str(raw)]


def _blank(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
