"""What sentences name as the next command: found in the messages, taken from the screen."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, TypeVar

import typer.main

import feilun
from feilun import messages
from feilun.cli.advised import completion, of_project
from feilun.cli.app import build, command_functions

__all__ = [
    "COMMAND", "advice", "commands_in", "fault", "named_for", "on", "said", "sentence", "shape",
    "verb", "walked", "walks",
]  # fmt: skip

COMMAND = re.compile(
    r"""feilun [a-z](?:"[^"\n]*"|(?<=[ =])'[^'\n]*'|(?!feilun )[^\n,;，；。、（）()`])*"""
)
_DESCRIBES = re.compile(r"help\.|\w+\.(option|argument|help)_|cli\.(help|usage_hint|no_such)")
"""Sentences on what a command or an option is, which nobody is told to type."""
_GIVEN = re.compile(r"^[A-Z@]{2,}|[{\"]|\.\w")
"""A word in capitals, a field, a file: what stands for an argument."""
_NEXT = {"en": "Next: ", "zh": "下一步："}
_MARKS = ".:)'”」"
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")
_TESTS = Path(__file__).resolve().parents[1]
_Walk = TypeVar("_Walk", bound=Callable[..., Any])


def walks(*keys: str) -> Callable[[_Walk], _Walk]:
    """Marks a test that types what the sentences `keys` name; `Newcomer` holds it to that."""

    def marked(test: _Walk) -> _Walk:
        test.walks = keys  # type: ignore[attr-defined]
        return test

    return marked


@cache
def walked() -> frozenset[str]:
    """The keys that tests are marked with."""
    found = set()
    for file in _TESTS.rglob("test_*.py"):
        text = file.read_text("utf-8")
        if "@walks(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "walks":
                found |= {ast.literal_eval(key) for key in node.args}
    return frozenset(found)


@cache
def advice() -> dict[str, tuple[str, ...]]:
    """The sentences that name commands, hints under ``KEY.hint``, with the commands in English; and
    the commands that verbs choose as the next step, each under its own words."""
    found = {words: (words,) for words in _chosen()}
    for key in messages.keys():  # noqa: SIM118
        if _DESCRIBES.match(key):
            continue
        for name, words in _both(key):
            if named := tuple(commands_in(words["en"])):
                found[name] = named
            elif "{command}" in words["en"]:
                found[name] = ()
    return found


def _chosen() -> Iterator[str]:
    """What `feilun.project.advice.command` is called with."""
    for file in sorted((Path(feilun.__file__).parent / "project").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command"
            if called and isinstance(node.args[2], ast.List):
                yield from _spelt(node.args[2].elts)


def _spelt(words: Sequence[ast.expr]) -> Iterator[str]:
    """The verbs and options that begin a list of words."""
    first, *rest = words
    if isinstance(first, ast.Starred):
        return
    branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    behind = [one.value for one in rest if isinstance(one, ast.Constant)]
    for branch in branches:
        yield " ".join(["feilun", ast.literal_eval(branch), *map(str, behind)])


def _both(key: str) -> Iterator[tuple[str, dict[str, str]]]:
    raw = dict(messages.raw(key))
    hint = raw.pop("hint", None)
    yield key, raw
    if hint:
        yield f"{key}.hint", hint


def sentence(name: str, lang: messages.Language) -> str:
    """The sentence of a name in `advice`, not filled."""
    room, key, *_ = name.split(".")
    return dict(_both(f"{room}.{key}"))[name][lang]


@cache
def _commands() -> Mapping[str, Any]:
    return typer.main.get_command(build()).commands  # type: ignore[attr-defined]


def commands_in(text: str) -> Iterator[str]:
    """The commands that `text` names, each with what follows it."""
    for found in COMMAND.finditer(text):
        if found.group().split()[1].rstrip(_MARKS) in _commands():
            yield found.group().strip()


def verb(command: str) -> str:
    """What is called, without arguments and options: ``feilun data add``."""
    words = [word.rstrip(_MARKS) for word in command.split()]
    below = getattr(_commands()[words[1]], "commands", {})
    return " ".join(words[:3] if len(words) > 2 and words[2] in below else words[:2])


def fault(command: str) -> str | None:
    """Why `command` cannot be typed: an unknown verb or option; None where it can."""
    words = [word.rstrip(_MARKS) for word in command.split()]
    called = _commands()[words[1]]
    below = getattr(called, "commands", None)
    if below is not None:
        if len(words) > 2 and words[2] in below:
            called = below[words[2]]
        elif not called.invoke_without_command:
            return f"{' '.join(words[:3])}: no such command"
    behind = [word for word in words[1:] if word not in verb(command).split()]
    given = [word for word in behind if _GIVEN.search(word)]
    needed = [one.name for one in called.params if _is_needed(one)]
    prose = [word for word in behind if word not in given and not word.startswith("--")]
    if not prose and len(given) < len(needed):
        return f"{command}: lacks {needed[len(given) :]}"
    options = {name for one in called.params for name in (*one.opts, *one.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    wrong = sorted(asked - options - {"--help", "--debug", "--json"})
    return f"{verb(command)}: no such option {wrong}" if wrong else None


@cache
def named_for(project: str | None, asked: bool = False) -> Callable[[str, messages.Language], str]:
    """What is made of a sentence where `project` is one of several (None: the only one), and where
    it is `asked` for, as nobody named it."""
    named = None if asked else project
    complete = completion(command_functions(), of_project(), None, named, asked)
    return lambda words, lang: complete(words, None, lang)


def _templates(name: str, lang: messages.Language, project: str | None) -> list[str]:
    if name.startswith("feilun "):
        return []
    ways = [named_for(project), *([named_for(project, True)] if project else [])]
    return [way(sentence(name, lang), lang) for way in ways]


def on(screen: str, lang: messages.Language, project: str | None = None) -> dict[str, set[str]]:
    """The advice that stands on `screen`, with what each calls."""
    found = {name: set(map(verb, _named(name, screen, lang, project)[0])) for name in advice()}
    return {name: verbs for name, verbs in found.items() if verbs}


def _is_needed(parameter: Any) -> bool:
    return bool(parameter.required) and parameter.param_type_name == "argument"


def said(
    name: str,
    screen: str,
    lang: messages.Language,
    given: Mapping[str, str],
    project: str | None = None,
) -> Sequence[str]:
    """The commands that the sentence `name` names on `screen`, filled as they are there, with
    `given` in place of words that stand for something, and without the prose behind them. Where
    there are several projects, `project` is named in each that works on one. Raises
    `AssertionError` where the sentence is not so on the screen."""
    named, fields = _named(name, screen, lang, project)
    assert named, f"{name} is not on the screen:\n{screen}"
    kept = {f"{{{field}}}": value for field, value in fields.items()}
    if not fields and any("command}" in one for one in _templates(name, lang, project)):
        return named
    return [_typed(command, {**kept, **given}) for command in named]


def _named(
    name: str, screen: str, lang: messages.Language, project: str | None
) -> tuple[list[str], Mapping[str, str]]:
    """The commands of `name`, not filled, where it stands on `screen`, and what fills it."""
    if name.startswith("feilun "):
        begun = "".join(f".*{re.escape(word)}" for word in name.split()[1:])
        found = re.search(f"(?:{_NEXT[lang]}|[:：] ?)feilun{begun}(?= |$)", screen, re.MULTILINE)
        return ([name] if found else []), {}
    tried = [(one, _rule(one).search(screen)) for one in _templates(name, lang, project)]
    template, found = next((one for one in tried if one[1]), ("", None))
    if found is None:
        return [], {}
    if "command" in found.groupdict():
        return [found["command"]], {}
    parts = Formatter().parse(template)
    plain = "".join(text + (f"{{{field}}}" if field else "") for text, field, _, _ in parts)
    return list(commands_in(plain)), found.groupdict()


@cache
def _rule(template: str) -> re.Pattern[str]:
    """What the sentence looks like, however it is filled."""
    parts = list(Formatter().parse(template))
    rule = ""
    for text, field, _, _ in parts:
        rule += r"\s+".join(map(re.escape, re.split(r"\s+", text)))
        if field is not None:
            known = f"(?P={field})"
            form = "feilun .+?" if field == "command" else ".+?"
            rule += known if f"(?P<{field}>" in rule else f"(?P<{field}>{form})"
    return re.compile(rule + (r"(?=\n|$)" if parts[-1][1] else ""))


def _typed(command: str, given: Mapping[str, str]) -> str:
    """`command` as it is typed: its verb, its options with their values, and what is `given`."""
    called = verb(command)
    rest = _WORD.findall(command.removeprefix(called))
    words = [called]
    value_follows = False
    for word in rest:
        quoted = word[0] in "\"'" and word[-1] == word[0]
        bare = word if quoted else word.rstrip(_MARKS)
        filled = given.get(bare) or re.sub(r"\{\w+\}", lambda m: given.get(m[0], m[0]), bare)
        literal = bare[0] in "\"'" or "://" in bare
        if not (value_follows or bare.startswith("--") or filled != bare or literal):
            break
        as_it_is = bare.startswith("--") or (literal and filled == bare)
        words.append(filled if as_it_is else shlex.quote(filled))
        value_follows = bare.startswith("--") and "=" not in bare and _takes_value(called, bare)
    return " ".join(words)


def shape(command: str) -> tuple[str, ...]:
    """What `command` calls, with which options, and where words are to be filled in."""
    called = verb(command)
    shape = [called]
    for word in _WORD.findall(command.removeprefix(called)):
        bare = word.rstrip(_MARKS)
        if bare.startswith("--"):
            shape.append(bare.partition("=")[0])
        elif _GIVEN.search(bare):
            shape.append("…")
        else:
            break
    return tuple(shape)


def _takes_value(called: str, option: str) -> bool:
    found: Any = _commands()[called.split()[1]]
    if len(called.split()) > 2:
        found = found.commands[called.split()[2]]
    return any(option in one.opts and not one.is_flag for one in found.params)
