"""What both READMEs tell a newcomer to type works as it stands there.

The commands are read out of the files and run by a shell, in the order in which they are shown.
Only what a reader would put in is put in: a file of reviews, the key, and a free port. To be done
in a minute the project trains the linear baseline alone; `make demo` turns the whole wheel in
``.ci/run``.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from feilun.client import Client
from helpers import forked
from helpers.cli import environment, feilun
from helpers.few import few

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Readme:
    """One of the two files, and how its reader's data looks."""

    name: str
    lang: str
    own: str
    python: str
    csv: str
    labels: tuple[str, str]
    words: tuple[tuple[str, ...], tuple[str, ...]]


ENGLISH = Readme(
    "README.md",
    "en",
    "With your own file",
    "In Python",
    "review,score",
    ("great", "bad"),
    (
        ("works well", "arrived early", "tastes lovely", "will buy again", "excellent coffee"),
        ("arrived broken", "never answered", "tastes stale", "waste of money", "box was open"),
    ),
)
CHINESE = Readme(
    "README.zh-CN.md",
    "zh",
    "用自己的文件",
    "在 Python 中",
    "评论,情感",
    ("好评", "差评"),
    (
        ("很好用", "物流很快", "味道不错", "还会再来买", "包装完好"),
        ("已经坏了", "客服不理人", "味道难吃", "浪费钱", "物流太慢"),
    ),
)
READMES = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=lambda one: one.lang)


def _blocks(readme: Readme, heading: str, kind: str) -> list[str]:
    """The blocks of this kind below a heading of the file."""
    text = (ROOT / readme.name).read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def _rows(readme: Readme, count: int, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        side = number % 2
        said = draw.sample(readme.words[side], 3)
        rows.append((f"{', '.join(said)} {number}", readme.labels[side]))
    return rows


def _write(readme: Readme, file: Path) -> None:
    lines = [f'"{text}",{label}' for text, label in _rows(readme, 150)]
    file.write_text("\n".join([readme.csv, *lines]) + "\n", "utf-8")


def _shell(
    line: str, folder: Path, readme: Readme, **more: str
) -> subprocess.CompletedProcess[str]:
    """A line as a reader's shell runs it, with the programs of this environment first."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(PATH=path, **{"FEILUN_LANG": readme.lang, **more}),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _run(line: str, folder: Path, readme: Readme, codes: tuple[int, ...] = (0,)) -> str:
    words = shlex.split(line)
    # The first command and the server are the installed program; of others it shows nothing more.
    if words[:2] == ["feilun", "init"]:
        done = _shell(line, folder, readme)
    else:
        assert words[0] == "feilun"
        done = feilun(*words[1:], cwd=folder, FEILUN_LANG=readme.lang)
    assert done.returncode in codes, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def _served(line: str, folder: Path, readme: Readme) -> Iterator[str]:
    """The address of the server that `line` starts, on a free port."""
    words = shlex.split(line)
    assert words[:2] == ["feilun", "serve"]
    command = [str(BIN / words[0]), *words[1:], "--port", "0", "--json"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(FEILUN_LANG=readme.lang),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            address: str = json.loads(said)["address"]
            _wait(address)
            yield address
        finally:
            server.terminate()


def _wait(address: str) -> None:
    until = time.monotonic() + 60
    while httpx.get(f"{address}/readyz", trust_env=False).status_code != 200:
        assert time.monotonic() < until, "the server did not become ready"
        time.sleep(0.1)


def _post(line: str, folder: Path, readme: Readme, key: str) -> dict[str, object]:
    """The answer to a ``curl`` line; where curl is missing, to the same request."""
    if shutil.which("curl"):
        done = _shell(line, folder, readme, FEILUN_KEY=key)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))
    words = shlex.split(line.replace("\\\n", " ").replace("$FEILUN_KEY", key))
    url = next(word for word in words if word.startswith("http"))
    headers = dict(
        words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H"
    )
    body = words[words.index("-d") + 1]
    answer = httpx.post(url, headers=headers, content=body.encode(), trust_env=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _name(readme: Readme, block: str) -> str:
    found = re.search(r"feilun init (\S+)", block)
    assert found
    return found.group(1)


@pytest.mark.parametrize(
    "readme",
    few([ENGLISH, CHINESE], ENGLISH),  # the same commands
    ids=lambda one: one.lang,
)
def test_walk_through_with_an_own_file(readme: Readme, tmp_path: Path) -> None:
    wheel, serving, call, after = _blocks(readme, readme.own, "bash")
    project = _name(readme, wheel)
    file = re.search(r"feilun data add (\S+)", wheel)
    assert file
    _write(readme, tmp_path / file.group(1))
    for line in wheel.strip().splitlines():
        if line == "feilun run":
            settings = tmp_path / project / "feilun.toml"
            text = settings.read_text("utf-8")
            assert 'method = "auto"' in text
            settings.write_text(text.replace('method = "auto"', 'method = "linear"'), "utf-8")
        said = _run(line, tmp_path, readme)
    assert any(label in said for label in readme.labels), "predict shows no label"

    create, serve = serving.strip().splitlines()
    said = _run(create, tmp_path, readme)
    shown = re.search(r"fl_[\w-]{20,}", said)
    assert shown, "the key is not shown"
    key = shown.group(0)
    own_curl = next(line for line in said.splitlines() if line.startswith("curl"))
    with _served(serve, tmp_path, readme) as address:
        for line in (call.strip(), own_curl):
            assert "http://127.0.0.1:8000" in line
            answer = _post(line.replace("http://127.0.0.1:8000", address), tmp_path, readme, key)
            assert str(answer["model"]).startswith(f"{project}@")
            outputs = answer["outputs"]
            assert isinstance(outputs, list)
            assert outputs[0]["label"] in readme.labels
        _correct(readme, address, key, project)
        update, usage = after.strip().splitlines()
        said = _run(update, tmp_path, readme, codes=(0, 1))
        assert f"{project}@2" in said, "the update trained nothing"
        said = _run(usage, tmp_path, readme)
        assert shlex.split(create)[-1] in said


def _python(*words: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _correct(readme: Readme, address: str, key: str, project: str) -> None:
    """Customers send new rows and say the right label of each."""
    with Client(address, key, lang="zh" if readme.lang == "zh" else "en") as client:
        rows = _rows(readme, 30, seed=1)
        answer = client.predict([f"{text} !" for text, _ in rows], model=project)
        for index, (_, label) in enumerate(rows):
            client.feedback(answer.id, label, index=index)


@pytest.mark.parametrize("readme", few([ENGLISH, CHINESE], ENGLISH), ids=lambda one: one.lang)
def test_python_block(readme: Readme, tmp_path: Path) -> None:
    (block,) = _blocks(readme, readme.python, "python")
    file = re.search(r'\.add\("([^"]+)"\)', block)
    assert file
    _write(readme, tmp_path / file.group(1))
    words, env = ("-W", "error", "-c", block), environment(FEILUN_LANG=readme.lang)
    for again in (False, True):  # people run a script again
        # One in an interpreter of its own; what is read and said is the same in all. The other is
        # the one that trains.
        run = _python if again and readme is ENGLISH else forked.python
        done = run(*words, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [readme.labels[0]]
