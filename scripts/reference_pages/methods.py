"""Every training method that is found: what it is, what it learns, and why not the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from feilun import messages, registry
from feilun.families.base import Family
from feilun.messages import Language
from feilun.render.wording import method_name
from feilun.tasks import base as tasks
from feilun.training.settings import MethodSettings, method, methods
from reference_pages.markdown import anchor, code, page, prose, table, words

__all__ = ["TECHNIQUES", "can", "render"]

TECHNIQUES: Mapping[str, Callable[[Family], str | None]] = {
    "cascade": lambda family: family.uncascaded(),
    "ensemble": lambda family: family.unaveraged(),
    "distil": lambda family: family.untaught(),
}
"""How models work together, by what a family says of it."""

_SHARED = 3
"""Methods from which on a setting is listed as one that several share."""


class _Said(NamedTuple):
    yes: str
    methods: tuple[str, ...]
    tasks: str
    families: str
    shared: tuple[str, ...]
    head: str
    needs: tuple[str, ...]
    why: str
    together: str
    combined: str
    settings: str
    each: str


_WORDS: dict[Language, _Said] = {
    "en": _Said(
        "yes", ("method", "what it is", "stage", "needs"), "What each method learns", "family",
        ("setting", "methods"), "Methods", ("torch", "a base model", "versions at hand", "–"),
        "Why not: the numbers in the table. “…” is the task or the family.",
        "Models that work together", "By family of answers.", "Settings that several methods share",
        "Learns {tasks}. Settings: {settings}. Try it: {run}; beside the baseline: {compare}.",
    ),
    "zh": _Said(
        "是", ("方法", "说明", "级", "需要"), "每种方法能学什么", "答案类别",
        ("设置", "方法"), "训练方法", ("torch", "基础模型", "已有版本", "–"),
        "不能的原因见表中编号。“…”代表任务或答案类别。",
        "多个模型协作", "按答案类别。", "多种方法共有的设置",
        "可学习：{tasks}。设置：{settings}。试用：{run}；与基线并排比较：{compare}。",
    ),
}  # fmt: skip


@cache
def can(name: str, task: str, lang: Language) -> str | None:
    """None where the method can learn the task by its nature, else why not, in words."""
    before = messages.language()
    messages.use(lang)
    try:
        return method(name).supports(tasks.get(task), None)
    finally:
        messages.use(before)


class _Reasons:
    """Sentences by number, each once: the name that it is about is left out of it."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def cell(self, reason: str | None, about: str, yes: str) -> str:
        """What stands in the table."""
        if reason is None:
            return yes
        return str(self.known.setdefault(reason.replace(about, "…"), len(self.known) + 1))

    def listed(self) -> str:
        """All of them."""
        return "\n".join(f"{number}. {reason}" for reason, number in self.known.items())


def _overview(lang: Language, said: _Said) -> Iterator[tuple[str, ...]]:
    for name in methods():
        one = method(name)
        needs = [
            said.needs[0] if one.needs_torch else "",
            said.needs[1] if one.needs_base else "",
            said.needs[2] if getattr(one, "combines", None) else "",
        ]
        listed = ", ".join(need for need in needs if need) or said.needs[3]
        link = f"[{code(name)}](#{anchor(name)})"
        yield link, method_name(name, lang), str(one.order), listed


def _matrix(lang: Language, said: _Said) -> tuple[str, str]:
    reasons, found = _Reasons(), tasks.names()
    rows = [
        (code(name), *(reasons.cell(can(name, task, lang), task, said.yes) for task in found))
        for name in methods()
    ]
    return table((said.methods[0], *found), rows), reasons.listed()


def _families(said: _Said) -> tuple[str, str]:
    reasons = _Reasons()
    found = {tasks.get(name).family.name: tasks.get(name).family for name in tasks.names()}
    rows = [
        (code(name), *(reasons.cell(ask(one), name, said.yes) for ask in TECHNIQUES.values()))
        for name, one in sorted(found.items())
    ]
    return table((said.families, *TECHNIQUES), rows), reasons.listed()


def _shared() -> Iterator[tuple[str, str]]:
    known: dict[str, list[str]] = {}
    common = set(MethodSettings.model_fields)
    for name in methods():
        for field in method(name).Settings.model_fields:
            if field not in common:
                known.setdefault(field, []).append(name)
    for field, names in sorted(known.items()):
        if len(names) >= _SHARED:
            yield code(field), ", ".join(map(code, names))


def _section(name: str, lang: Language) -> str:
    module = registry.load("methods", name)
    about = prose(module.__doc__) if lang == "en" else f"{method_name(name, lang)}。"
    table_of = anchor(f"[training.{name}]")
    link = f"[`[training.{name}]`](settings.md#{table_of})"
    learns = [task for task in tasks.names() if can(name, task, lang) is None]
    run = code(f"feilun run --method {name}")
    first = (
        next((one for one in methods() if can(one, learns[0], lang) is None), name)
        if learns
        else name
    )
    compare = code(f"feilun compare --methods {','.join(dict.fromkeys((first, name)))}")
    listed = ", ".join(map(code, learns)) or "–"
    tail = _WORDS[lang].each.format(tasks=listed, settings=link, run=run, compare=compare)
    return "\n\n".join([f"### {name}", about, tail])


def render(lang: Language) -> str:
    """The page of methods."""
    said = _WORDS[lang]
    matrix, why = _matrix(lang, said)
    together, why_not = _families(said)
    return page(
        said.head,
        words("methods", lang),
        table(said.methods, _overview(lang, said)),
        f"## {said.tasks}",
        matrix,
        said.why,
        why,
        f"## {said.together}",
        said.combined,
        together,
        why_not,
        f"## {said.settings}",
        table(said.shared, _shared()),
        f"## {said.methods[0].capitalize()}",
        *(_section(name, lang) for name in methods()),
    )
