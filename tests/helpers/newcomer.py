"""Somebody new, who types what the screen says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from feilun import messages
from feilun.cli.app import run
from helpers.advice import COMMAND, named_for, on, said, verb
from helpers.cli import at_terminal, feilun

__all__ = ["NOT_PROMOTED", "Newcomer"]

NOT_PROMOTED = 1
WORDS = {
    "FILE...": "reviews.csv", "文件...": "reviews.csv",
    "FILE": "reviews.csv", "文件": "reviews.csv", "NAME": "reviews", "名称": "reviews",
    "TASK": "text-classification", "任务": "text-classification",
    "FOLDER": "made", "文件夹": "made", "MODEL": "reviews@live", "版本": "reviews@live",
    "TEXT": "lovely tea", "文本": "lovely tea", "KINDS": "phone", "类别": "phone",
    "CUSTOMER": "Acme", "客户名": "Acme", "客户": "Acme",
    '"..."': "'it is better'", '"……"': "'it is better'",
}  # fmt: skip
"""What somebody new writes for the words in capitals."""
_NEXT = {"en": "Next: ", "zh": "下一步："}


class Newcomer:
    """Types what the screen says, with files of its own where it says FILE; keeps what was shown
    and what was typed. `project` is the one that is worked on where there are several: what the
    screen says has to name it, what a test types of its own accord is made to."""

    def __init__(
        self, folder: Path, lang: messages.Language, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.lang, self._capsys = folder, lang, capsys
        self.screen = self.shown = ""
        self.project: str | None = None
        self.typed: list[str] = []
        self.followed: set[str] = set()

    def type(
        self,
        line: str,
        *,
        code: int | None = 0,
        keys: Sequence[tuple[str, str]] = (),
        **files: Path,
    ) -> str:
        """Types a command, which ends with `code` (None: it may promote or not), and at its
        terminal `keys`; what is said on stderr."""
        for word, file in files.items():
            line = line.replace(word, shlex.quote(str(file)))
        line = named_for(self.project)(line, self.lang)
        words = [word for one in shlex.split(line) for word in self._expanded(one)]
        self.notes(line)
        assert words[0] == "feilun", line
        self.typed.append(" ".join(words[:3]))
        if keys:
            done = at_terminal(*words[1:], cwd=self.folder, keys=keys, FEILUN_LANG=self.lang)
            ended, self.screen, err = done.returncode, done.stdout, ""
        elif words[1:2] in (["run"], ["update"], ["train"], ["compare"], ["tune"]):
            # A process of its own, as turns are taken.
            done = feilun(*words[1:], cwd=self.folder, FEILUN_LANG=self.lang)
            ended, self.screen, err = done.returncode, done.stdout, done.stderr
        else:
            self._capsys.readouterr()
            ended = run(words[1:])
            self.screen, err = self._capsys.readouterr()
        self.shown, self.ended = self.screen + err, ended
        expected = (0, NOT_PROMOTED) if code is None else (code,)
        assert ended in expected, f"{line}\n{self.screen}{err}"
        return err

    def gets_company(self) -> None:
        """In Chinese, from now on, there is another project beside the first, ``reviews``."""
        if self.lang == "zh":
            self.type("feilun init 别的")
            self.project = "reviews"

    def _expanded(self, word: str) -> list[str]:
        """What a shell makes of a pattern of file names."""
        found = sorted(self.folder.glob(word)) if "*" in word and word[0] != "/" else []
        return [str(one.relative_to(self.folder)) for one in found] or [word]

    def holds(self, walk: object) -> None:
        """Fails where `walk` says that it types what it did not."""
        missed = set(getattr(walk, "walks", ())) - self.followed
        assert not missed, f"marked as walked, but not typed: {sorted(missed)}"

    def notes(self, line: str) -> None:
        """Keeps what on the screen told to type `line`."""
        if len(line.split()) > 1:
            called = verb(line)
            advised = on(self.shown, self.lang, self.project)
            self.followed |= {name for name, verbs in advised.items() if called in verbs}

    def follow(
        self,
        name: str,
        place: int = 0,
        *,
        code: int | None = 0,
        more: str = "",
        given: Mapping[str, object] | None = None,
        keys: Sequence[tuple[str, str]] = (),
    ) -> str:
        """Types the command at `place` among those that the sentence `name` names on the screen,
        errors included, with `given`, or else `WORDS`, in place of its words in capitals and `more`
        behind it, and `keys` as in `type`; what is said on stderr."""
        words = {word: str(value) for word, value in {**WORDS, **(given or {})}.items()}
        line = said(name, self.shown, self.lang, words, self.project)[place]
        assert self._names(line), line
        return self.type(f"{line} {more}".strip(), code=code, keys=keys)

    def next(self) -> str:
        """The command that the screen names as the next step."""
        begin = self.screen.rindex(_NEXT[self.lang])
        found = COMMAND.search(self.screen[begin:])
        assert found is not None, self.screen
        assert self._names(found.group()), self.screen
        return found.group().split(" (")[0].strip().rstrip(".")

    def named(self, words: str) -> str:
        """The command on the screen that begins with `words`."""
        found = [one.group().strip() for one in COMMAND.finditer(self.screen)]
        (line, *_) = [one for one in found if one.startswith(words)] or [""]
        assert line, self.screen
        assert self._names(line), self.screen
        return line

    def _names(self, line: str) -> bool:
        """Whether `line` names the project where it has to."""
        return named_for(self.project)(line, self.lang) == line
