"""What the guide to writing a task tells to do works as it stands there.

The blocks are read out of the guide in their order: files are written where the guide says, and
commands run. Only ``pip install -e .`` is done by hand, because tests install nothing: it leaves
the entry points of ``pyproject.toml`` where an installation would.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import tomllib
from pathlib import Path

from helpers import forked

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"^(?:`([\w./-]+)`[:：]\n\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORDS = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "lovely": 5}


def _blocks(name: str) -> list[tuple[str, str, str]]:
    """File, language and text of each block."""
    return BLOCK.findall((GUIDES / name).read_text("utf-8"))


class Reader:
    """Somebody in an empty folder, with an environment to install into."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder / "acme", folder / "site"
        self.folder.mkdir()
        self.about = self.site / "acme_feilun-1.0.dist-info"
        self.about.mkdir(parents=True)
        (self.folder / "acme_feilun").mkdir()
        (self.folder / "acme_feilun" / "__init__.py").touch()

    def write(self, name: str, text: str) -> None:
        """Writes a file of the guide; what is shown of it later is added to its end."""
        if name == "ratings.csv":
            text = text.splitlines()[0] + "\n" + _ratings()
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def install(self) -> None:
        """As ``pip install -e .`` does it."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (self.about / "METADATA").write_text(head, "utf-8")
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (self.about / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")

    def type(self, line: str, lang: str = "en") -> str:
        """Runs a command of the guide; what it says."""
        words = shlex.split(line)
        if words == ["pip", "install", "-e", "."]:
            self.install()
            return ""
        assert words[0] in ("feilun", "python"), line
        tests = words[:3] == ["python", "-m", "pytest"]
        words = ["-m", *words] if words[0] == "feilun" else words[1:]
        path = os.pathsep.join(map(str, (self.site, self.folder, ROOT / "src")))
        done = forked.python(
            *(*words, *(("-q", "-p", "no:cacheprovider") if tests else ())),
            cwd=ROOT if tests else self.folder,
            env={**os.environ, "PYTHONPATH": path, "FEILUN_LANG": lang},
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def _ratings() -> str:
    draw = random.Random(0)
    lines = []
    for number in range(240):
        word, stars = draw.choice(list(WORDS.items()))
        thing = draw.choice(["tea", "soap", "lamp"])
        lines.append(f'"The {thing} number {number} is {word}.",{stars + draw.choice([0, 0.5])}\n')
    return "".join(lines)


def test_the_guide_is_followed_to_its_end(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    said: dict[str, str] = {}
    for name, kind, text in _blocks("write-a-task.md"):
        if kind != "bash":
            assert name, f"no file is named for: {text}"
            reader.write(name, text)
            continue
        for line in text.strip().splitlines():
            said[line] = reader.type(line)
    assert "star-rating" in "".join(said["feilun init --help"].split())  # lines may end inside
    stars = re.search(r"\d\.\d+", said['feilun predict "The lamp is lovely."'])
    assert stars
    assert float(stars[0]) > 4
    assert "iou" in said["feilun evaluate --project spots"]
    box = json.loads(reader.type("feilun predict pictures/0.png --project spots --json"))
    shown = said["feilun predict pictures/0.png --project spots"]
    assert str(box["outputs"][0]["box"]) in shown
    assert str([float(side) for side in _true_box(reader)]) in shown
    tested = [text for line, text in said.items() if "pytest" in line]
    assert len(tested) == 2
    assert all(" passed" in text for text in tested)
    (reader.folder / "bad.csv").write_text('image,box\npictures/0.png,"[1, 2]"\n', "utf-8")
    for lang, words in (("en", "is not a box"), ("zh", "不是框")):
        assert words in reader.type("feilun data add bad.csv --project spots", lang)


def _true_box(reader: Reader) -> list[int]:
    first = (reader.folder / "spots.csv").read_text("utf-8").splitlines()[1]
    box: list[int] = json.loads(first.split(",", 1)[1].strip('"'))
    return box


def test_both_languages_show_the_same_code() -> None:
    assert _blocks("write-a-task.md") == _blocks("write-a-task.zh-CN.md")
