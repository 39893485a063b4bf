"""What the pages show can be typed, what they point at is there, and both languages agree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from feilun import messages

ROOT = Path(__file__).parents[2]
MARKDOWN = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda f: f.relative_to(ROOT)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"[A-Z_.]+|[^ -~]+")
ids = [str(f.relative_to(ROOT)) for f in MARKDOWN]


def _blocks(file: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(file.read_text("utf-8")) if kind == language]


def _lines(block: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, as words."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((n for n, w in enumerate(words) if w in ("&&", "|", ";", "&", ">")), None)
            part, words = words[:end], words[end + 1 :] if end is not None else []
            while part and re.fullmatch(r"[A-Z_]+=.*", part[0]):
                part.pop(0)
            if part:
                yield part


@cache
def _commands() -> dict[str, Any]:
    """Every command of the real command line, by its words."""
    import typer

    from feilun.cli.app import build

    def walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
        for name, one in group.commands.items():
            words = f"{before} {name}".strip()
            if hasattr(one, "commands"):
                yield from walk(one, words)
            if not hasattr(one, "commands") or one.invoke_without_command:
                yield words, one

    return dict(walk(typer.main.get_command(build()), ""))


def _command(words: list[str]) -> tuple[str, list[str]]:
    """The command that `words` name, and what follows. Fails for a name that does not exist."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in _commands():
            return name, words[length:]
    pytest.fail(f"there is no command: feilun {' '.join(words)}")


def _fits(words: list[str]) -> None:
    """Fails unless the parser takes the whole command line."""
    name, rest = _command(words)
    if "--help" in rest:
        return
    try:
        _commands()[name].make_context(name, rest)
    except Exception as error:  # noqa: BLE001 (whatever the parser raises is the finding)
        pytest.fail(f"feilun {' '.join(words)}: {error}")


def _exists(words: list[str]) -> None:
    """Fails unless the command and its options exist; the rest may be placeholders."""
    group = {name.split()[0] for name in _commands() if " " in name}
    if not words or words[0].startswith("-") or PLACEHOLDER.fullmatch(words[0]):
        return
    if len(words) == 1 and words[0] in group:
        return
    name, rest = _command(words)
    options = {o for param in _commands()[name].params for o in param.opts}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in options | {"--help"}, f"feilun {' '.join(words)}"


@pytest.mark.parametrize("file", MARKDOWN, ids=ids)
def test_commands_that_are_shown_can_be_typed(file: Path) -> None:
    for block in _blocks(file, "bash"):
        for words in _lines(block):
            if Path(words[0]).name == "feilun":
                _fits(words[1:])


@pytest.mark.parametrize("file", MARKDOWN, ids=ids)
def test_commands_in_the_text_exist(file: Path) -> None:
    text = FENCE.sub("", file.read_text("utf-8"))
    for shown in re.findall(r"`(?:\.venv/bin/)?feilun ([^`\n]+)`", text):
        _exists(shown.replace("\\|", "|").split())


def _sentences() -> Iterator[tuple[str, str]]:
    """The key and the text of every sentence and hint, in all languages."""
    for key in messages.keys():  # noqa: SIM118
        if "." in key:
            entry = messages._sentence(key)
            for lang in messages.LANGUAGES:
                yield key, entry[lang]
                yield key, entry.get("hint", {}).get(lang, "")


def test_commands_in_sentences_exist() -> None:
    for key, text in _sentences():
        for shown in re.findall(r"\bfeilun ((?:[a-z]+ ?)+(?:--[a-z-]+)?)", text):
            words = shown.split()
            if words[0] in {name.split()[0] for name in _commands()}:
                found = " ".join(words[:2]) in _commands() or words[0] in _commands()
                assert found, f"{key}: feilun {shown}"
                name, rest = _command(words)
                options = {o for p in _commands()[name].params for o in p.opts}
                assert all(w in options for w in rest if w.startswith("--")), f"{key}: {shown}"


def _anchors(file: Path) -> set[str]:
    text = FENCE.sub("", file.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h) for h in headings)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in plain}


@pytest.mark.parametrize("file", MARKDOWN, ids=ids)
def test_links_lead_somewhere(file: Path) -> None:
    text = FENCE.sub("", file.read_text("utf-8"))
    text = re.sub(r"`[^`\n]*`", "", text)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        goal = (file.parent / unquote(path)).resolve() if path else file
        if not goal.exists() or (
            fragment and goal.suffix == ".md" and unquote(fragment) not in _anchors(goal)
        ):
            wrong.append(target)
    assert not wrong, f"{file.relative_to(ROOT)} points at nothing: {', '.join(wrong)}"


def test_no_page_names_a_machine() -> None:
    paths = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp)/[\w./-]*")
    found = {
        name: paths.findall(file.read_text("utf-8"))
        for name, file in zip(ids, MARKDOWN, strict=True)
    }
    assert not any(found.values()), {name: seen for name, seen in found.items() if seen}


def _shape(file: Path) -> list[list[str]]:
    """The commands that a page shows, without what a reader would put in: names, texts, files."""
    shapes = []
    for block in _blocks(file, "bash"):
        for words in _lines(block):
            if words[0] == "feilun":
                name, rest = _command(words[1:])
                shapes.append([name, *sorted(w for w in rest if w.startswith("--"))])
            else:
                shapes.append([words[0], *(w for w in words[1:] if w.startswith(("http", "-")))])
    return shapes


@pytest.mark.parametrize("name", ["README", "docs/quickstart"])
def test_both_languages_show_the_same_commands(name: str) -> None:
    english, chinese = ROOT / f"{name}.md", ROOT / f"{name}.zh-CN.md"
    assert _shape(english) == _shape(chinese)


def test_every_guide_and_concept_is_there() -> None:
    docs = ROOT / "docs"
    guides = ("data", "training", "evaluation", "compression", "serving", "feedback", "images")
    for name in (*guides, "running-in-production"):
        assert (docs / "guides" / f"{name}.md").is_file(), name
    for name in ("wheel", "stages", "gate", "ledger", "golden-requests"):
        assert (docs / "concepts" / f"{name}.md").is_file(), name
    assert (docs / "decisions" / "log.md").is_file()


PAGES = sorted(
    file
    for room in ("concepts", "guides")
    for file in (ROOT / "docs" / room).glob("*.md")
    if not file.name.endswith(".zh-CN.md") and file.name not in {"README.md", "glossary.md"}
)


@pytest.mark.parametrize("english", PAGES, ids=lambda file: file.stem)
def test_every_guide_and_concept_is_there_in_both_languages(english: Path) -> None:
    chinese = english.with_suffix(".zh-CN.md")
    assert chinese.is_file()
    texts = english.read_text("utf-8"), chinese.read_text("utf-8")
    assert f"({chinese.name})" in texts[0]
    assert f"({english.name})" in texts[1]
    for mark in (r"(?m)^## ", r"(?m)^```\w", r"(?m)^\| "):  # sections, examples, rows of tables
        counts = [len(re.findall(mark, text)) for text in texts]
        assert counts[0] == counts[1], f"{mark}: {counts}"


def test_every_decision_says_what_was_chosen_and_what_not() -> None:
    for file in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        if file.name in ("README.md", "log.md", "dependencies.md"):
            continue
        text = file.read_text("utf-8")
        for part in ("**Context.**", "**Choice.**", "**Rejected.**"):
            assert part in text, f"{file.name} lacks {part}"
