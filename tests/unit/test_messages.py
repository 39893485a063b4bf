"""Every sentence stands in both languages, fits the code that speaks it, and is spoken."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest

import feilun
from feilun import errors, messages
from feilun.messages.sentences import (
    from_kept,
    params_from_kept,
    params_to_kept,
    said_again,
    to_kept,
)

SOURCE = Path(feilun.__file__).parent
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|“[^”]*”|「[^」]*」")
SPEAKERS = {"t", "hint", "has"}


@cache
def _placeholders(sentence: str) -> frozenset[str]:
    names = (name for _, name, _, _ in Formatter().parse(sentence) if name is not None)
    return frozenset(re.split(r"[.\[]", name)[0] for name in names)


@cache
def _trees() -> dict[str, ast.Module]:
    return {
        str(file.relative_to(SOURCE)): ast.parse(file.read_text("utf-8"))
        for file in sorted(SOURCE.rglob("*.py"))
    }


def _keys_of(node: ast.expr) -> Iterator[str]:
    """The keys that an expression may have; of an f-string, a pattern with ``*``."""
    match node:
        case ast.Constant(value=str(key)):
            yield key
        case ast.IfExp(body=first, orelse=second):
            yield from _keys_of(first)
            yield from _keys_of(second)
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts
            )


@cache
def _spoken() -> list[tuple[str, ast.Call, bool]]:
    """Each call that names a sentence: where, the call, whether it is an error's."""
    found = []
    for file, tree in _trees().items():
        if file.startswith("messages"):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if name in errors.__all__:
                found.append((f"{file}:{node.lineno}", node, True))
            elif name in SPEAKERS and owner in ("", "messages", "feilun.messages"):
                found.append((f"{file}:{node.lineno}", node, False))
    return found


@cache
def _known() -> frozenset[str]:
    return frozenset(messages.keys())


@cache
def _matches(pattern: str) -> list[str]:
    if "*" not in pattern:
        return [pattern] if pattern in _known() else []
    rule = re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
    return [key for key in _known() if rule.fullmatch(key)]


@pytest.mark.parametrize("room", sorted({key.partition(".")[0] for key in messages.keys()}))  # noqa: SIM118
def test_sentences_stand_in_both_languages(room: str) -> None:
    for key in messages.keys():  # noqa: SIM118
        if key.partition(".")[0] != room:
            continue
        entry: dict[str, Any] = dict(messages._sentence(key))
        hint = entry.pop("hint", None)
        assert set(entry) == {"en", "zh"}, key
        assert hint is None or set(hint) == {"en", "zh"}, key
        for pair in [entry, hint] if hint else [entry]:
            en, zh = pair["en"], pair["zh"]
            assert en.strip(), key
            assert zh.strip(), key
            assert _placeholders(en) == _placeholders(zh), key
            assert "" not in _placeholders(en), f"{key}: a placeholder needs a name"
            assert not CHINESE.search(QUOTED.sub("", en)), f"{key}: Chinese in English"
            if re.search(r"[a-z]{3}", re.sub(r"\{[^}]*\}", "", en)):
                assert CHINESE.search(zh), f"{key}: the Chinese sentence is not Chinese"


def test_every_sentence_that_is_spoken_exists() -> None:
    missing = [
        f"{where}: {key}"
        for where, call, _ in _spoken()
        for key in _keys_of(call.args[0])
        if not _matches(key)
    ]
    assert not missing, "\n".join(missing)


def test_every_call_fills_what_its_sentence_asks() -> None:
    """An error speaks its hint too, so it fills both."""
    wrong = []
    for where, call, is_error in _spoken():
        given = {keyword.arg for keyword in call.keywords}
        if None in given:
            continue  # **params: not to be seen from here
        speaks_hint = isinstance(call.func, ast.Attribute) and call.func.attr == "hint"
        for key in (k for k in _keys_of(call.args[0]) if messages.has(k)):
            entry = messages._sentence(key)
            hint = entry.get("hint", {}).get("en", "")
            asked = set() if speaks_hint else set(_placeholders(entry["en"]))
            if is_error or speaks_hint:
                asked |= _placeholders(hint)
            if asked - given:
                wrong.append(f"{where}: {key} lacks {sorted(asked - given)}")
    assert not wrong, "\n".join(wrong)


def test_every_sentence_is_spoken() -> None:
    """Somewhere its key stands in the source, whole or as an f-string that can make it."""
    literals: set[str] = set()
    for file, tree in _trees().items():
        if file == "messages/__init__.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr)):
                literals.update(key for key in _keys_of(node) if re.match(r"\w+\.[\w*]", key))
    for page in (file for file in SOURCE.rglob("*") if file.suffix in {".html", ".js"}):
        literals.update(re.findall(r"""["'](\w+\.\w+)["']""", page.read_text("utf-8")))
    used = {key for pattern in literals for key in _matches(pattern)}
    unused = sorted(set(messages.keys()) - used)
    assert not unused, "\n".join(unused)


def test_lists_are_joined_as_the_language_joins_them() -> None:
    sentence = {"name": "x", "kind": "tasks", "options": ["a", "b"]}
    assert "a, b" in messages.t("registry.unknown", **sentence)
    assert "a、b" in messages.t("registry.unknown", "zh", **sentence)


@pytest.mark.parametrize(("metric", "said"), [("F1", "缺少 F1"), ("准确率", "缺少准确率")])
def test_a_latin_word_is_parted_from_the_chinese_beside_it(metric: str, said: str) -> None:
    assert messages.t("console.missing", "zh", field=metric) == said
    assert messages.t("console.missing", "en", field=metric) == f"{metric} is missing"


def test_a_sentence_is_kept_and_said_in_the_readers_language() -> None:
    assert type(messages.t("training.note_features")) is str
    with messages.knowing():
        inner = messages.t("training.note_features")
        made = [
            messages.t("training.note_replanned", end=np.int64(1200), steps=3400),
            messages.t("training.skip_no_torch", method=inner),
            messages.t("registry.unknown", name="x", kind="tasks", options=["a", inner]),
        ]
    kept = json.loads(json.dumps([to_kept(one) for one in made]))
    assert [from_kept(raw) for raw in kept] == made
    messages.use("zh")
    inner = messages.t("training.note_features")
    assert [from_kept(raw) for raw in kept] == [
        messages.t("training.note_replanned", end=1200, steps=3400),
        messages.t("training.skip_no_torch", method=inner),
        messages.t("registry.unknown", name="x", kind="tasks", options=["a", inner]),
    ]


def test_what_was_kept_as_text_or_has_no_sentence_any_more_stays_as_it_was_said() -> None:
    with messages.knowing():
        said = messages.t("training.note_replanned", end=3, steps=4)
    gone = {**to_kept(said), "sentence": "training.gone"}
    other = {**to_kept(said), "params": {"end": "nan"}}
    messages.use("zh")
    assert from_kept("Fitting, as it was said") == "Fitting, as it was said"
    assert [from_kept(gone), from_kept(other)] == [said, said]
    assert to_kept("reviews.csv") == "reviews.csv"


def test_what_an_error_is_made_of_survives_the_way_out_of_a_child() -> None:
    with messages.knowing():
        inner = messages.t("training.note_features")
    kept = json.loads(json.dumps(params_to_kept({"reason": inner, "file": Path("a.csv")})))
    assert params_from_kept(kept) == {"reason": inner, "file": "a.csv"}
    error = errors.EnvironmentProblem("training.cannot_write", **params_from_kept(kept))
    assert type(error.message()) is str
    assert said_again([error.sentence()]) == [error.message()]
    messages.use("zh")
    inner = messages.t("training.note_features")
    assert params_from_kept(kept) == {"reason": inner, "file": "a.csv"}
    assert from_kept(to_kept(error.sentence()), "en") == error.message("en")


def test_an_error_speaks_the_language_in_force() -> None:
    error = errors.NotFound("config.no_file", file="feilun.toml")
    assert "does not exist" in str(error)
    messages.use("zh")
    assert "不存在" in str(error)
