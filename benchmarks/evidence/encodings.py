"""Encodings: texts of many languages in what Excel, Windows and old databases write there.

    python -m benchmarks.evidence.encodings [--locale DIR ...] [--rows 60,300,3000] [--peers DIR]

Rows are sentences out of the program translations that lie in the folders DIR (``*.mo``, as
distributions ship them). Each file is read clean, and with one bad byte near its beginning, in its
middle and near its end. An answer is right when every row but the one with the byte is what was
written, whatever the encoding is called. ``--peers`` is a folder with charset-normalizer and
chardet, which decide on the same bytes alone.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import gettext
import io
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources._text import find_encoding
from feilun.errors import InvalidData

WEST = "cp1252 iso8859-15 cp850 mac-roman"
EAST = "cp1250 iso8859-2 cp852"
ENCODINGS = {
    "de": WEST, "fr": WEST, "es": WEST, "pt_BR": WEST, "pt": WEST, "it": WEST, "ca": WEST,
    "nl": WEST, "sv": WEST, "da": WEST, "nb": WEST, "fi": WEST, "is": WEST, "gl": WEST,
    "pl": EAST, "cs": EAST, "sk": EAST, "hu": EAST, "hr": EAST, "sl": EAST,
    "ro": "cp1250 iso8859-2", "tr": "cp1254 iso8859-9 cp857",
    "lt": "cp1257 iso8859-13", "lv": "cp1257 iso8859-13", "et": "cp1257 iso8859-13",
    "vi": "cp1258", "ru": "cp1251 koi8-r cp866", "uk": "cp1251 koi8-u", "bg": "cp1251",
    "sr": "cp1251", "el": "cp1253 iso8859-7", "he": "cp1255", "ar": "cp1256", "th": "cp874",
    "zh_CN": "gb18030", "zh_TW": "big5", "ja": "cp932 euc-jp", "ko": "cp949",
}  # fmt: skip
UNLIKE_TEXT = re.compile(r"^iso[_-]")  # names of countries and languages
DAMAGE = {"clean": None, "early": 0.05, "middle": 0.5, "late": 0.95}
Decide = Callable[[Path], tuple[str | None, bool]]


def texts(folders: list[Path], language: str) -> list[str]:
    """Lines of translations into `language` that have several words, each once."""
    found: dict[str, None] = {}
    for folder in folders:
        for file in sorted((folder / language / "LC_MESSAGES").glob("*.mo")):
            if UNLIKE_TEXT.match(file.name):
                continue
            with file.open("rb") as stream:
                try:
                    catalog = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
                except (OSError, ValueError):
                    continue
            for source, text in catalog.items():
                if not source or text in (source, ""):
                    continue
                for line in str(text).split("\n"):
                    line = line.replace("_", "").strip()
                    if len(line) >= (8 if language[:2] in ("zh", "ja", "th") else 20):
                        found[line[:300]] = None
    lines = list(found)
    random.Random(language).shuffle(lines)
    return lines


def files(lines: list[str], encoding: str, rows: int) -> Iterator[tuple[str, bytes, str]]:
    """A file of `rows` rows for each damage: its bytes and what was written."""
    draw = random.Random(f"{encoding}{rows}{lines[0]}")
    usable = [line.encode(encoding, "ignore").decode(encoding) for line in lines]
    chosen = draw.sample(usable, rows) if rows <= len(usable) else draw.choices(usable, k=rows)
    words = ("A", "B")
    out = io.StringIO(newline="")
    csv.writer(out).writerows(
        [("text", "label"), *((line, words[n % 2]) for n, line in enumerate(chosen))]
    )
    whole = out.getvalue().encode(encoding)
    text = whole.decode(encoding)
    bad = (
        b"\xff" if encoding in ("utf-8", "gb18030", "big5", "cp932", "euc-jp", "cp949") else b"\x81"
    )
    for name, place in DAMAGE.items():
        if place is None:
            yield name, whole, text
            continue
        # Inside a row, not inside a character.
        at = whole.find(b"\n", int(len(whole) * place)) + 1 or len(whole)
        yield name, whole[:at] + bad + whole[at:], text


def right(data: bytes, encoding: str, text: str) -> bool:
    """Whether all rows but one are what was written."""
    try:
        found = data.decode(encoding, "replace").lstrip("\ufeff").split("\n")
    except LookupError:
        return False
    wanted = text.split("\n")
    if len(found) != len(wanted):
        return False
    return sum(one != other for one, other in zip(found, wanted, strict=True)) <= 1


def feilun(file: Path) -> tuple[str | None, bool]:
    """The encoding, and whether it is told to be a guess."""
    try:
        found = find_encoding(file)
    except InvalidData:
        return None, True
    return found.encoding, bool(found.examples)


def peers(folder: Path | None) -> dict[str, Decide]:
    """The others, by name."""
    if folder is None:
        return {}
    sys.path.insert(0, str(folder))
    import chardet
    import charset_normalizer

    def normalizer(file: Path) -> tuple[str | None, bool]:
        best = charset_normalizer.from_bytes(file.read_bytes()).best()
        return (best.encoding if best else None), False

    def detector(file: Path) -> tuple[str | None, bool]:
        return chardet.detect(file.read_bytes())["encoding"], False

    return {"charset-normalizer": normalizer, "chardet": detector}


def judge(decide: Decide, file: Path, data: bytes, text: str) -> str:
    """``right``, ``guess`` (right, told as one), ``told`` (wrong, told as a guess), ``silent``
    (wrong without a word) or ``none`` (no answer)."""
    encoding, guess = decide(file)
    if encoding is None:
        return "none"
    if right(data, encoding, text):
        return "guess" if guess else "right"
    return "told" if guess else "silent"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--locale", type=Path, nargs="+", default=[Path("/usr/share/locale")])
    parser.add_argument("--rows", default="60,300,3000")
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args()
    sizes = [int(rows) for rows in options.rows.split(",")]
    tools: dict[str, Decide] = {"feilun": feilun, **peers(options.peers)}
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    languages = []
    file = Path(tempfile.mkdtemp()) / "rows.csv"
    for language, names in ENCODINGS.items():
        lines = texts(options.locale, language)
        if len(lines) < 100:
            print(f"{language}: {len(lines)} lines are too few", file=sys.stderr)
            continue
        languages.append(language)
        for encoding in ["utf-8", *names.split()]:
            for rows in sizes:
                for damage, data, text in files(lines, encoding, rows):
                    file.write_bytes(data)
                    for tool, decide in tools.items():
                        began = time.perf_counter()
                        said = judge(decide, file, data, text)
                        seconds[tool] += time.perf_counter() - began
                        groups = ("all", damage, f"{rows:,} rows", family(encoding))
                        for group in groups:
                            counts[tool, group][said] += 1
                        if tool == "feilun" and said in ("told", "silent", "none"):
                            wrong[f"{language} in {encoding}: {said}"] += 1
        print(language, {t: dict(counts[t, "all"]) for t in tools}, file=sys.stderr, flush=True)
    report(tools, counts, seconds, wrong, languages)


def family(encoding: str) -> str:
    """The group of an encoding in the table."""
    if encoding == "utf-8":
        return "UTF-8"
    if codecs.lookup(encoding).name in ("gb18030", "big5", "cp932", "euc_jp", "cp949"):
        return "two bytes"
    return (
        "one byte a character: Windows" if encoding[:4] in ("cp12", "cp87") else "one byte: older"
    )


def report(
    tools: dict[str, Decide],
    counts: dict[tuple[str, str], Counter[str]],
    seconds: Counter[str],
    wrong: Counter[str],
    languages: list[str],
) -> None:
    """The tables."""
    total = sum(counts["feilun", "all"].values())
    print(f"{total:,} files in {len(languages)} languages: {', '.join(languages)}. *Wrong*")
    print("counts files of which more than the damaged row is read otherwise than written, or that")
    print("get no answer; *in silence* those of them that are not told to be a guess or refused.\n")
    head = ["files", *(f"{tool}: {what}" for tool in tools for what in ("wrong", "in silence"))]
    print("| | " + " | ".join(head) + " |\n|---|" + "--:|" * len(head))
    for group in dict.fromkeys(group for _, group in counts):
        number = sum(counts["feilun", group].values())
        cells = [f"{number:,}"]
        for tool in tools:
            found: Any = counts[tool, group]
            silent = found["silent"]
            bad = silent + found["told"] + found["none"]
            cells += [f"{100 * bad / number:.1f} %", f"{100 * silent / number:.1f} %"]
        print(f"| {group} | " + " | ".join(cells) + " |")
    guess = counts["feilun", "all"]["guess"]
    print(
        f"\nfeilun tells {100 * guess / total:.1f} % of the files as a guess that is right. ",
        end="",
    )
    print("Seconds a file: ", end="")
    print(", ".join(f"{tool} {seconds[tool] / total:.2f}" for tool in tools) + ".")
    if wrong:
        worst = ", ".join(f"{name} {count}" for name, count in wrong.most_common(12))
        print(f"\nWhere feilun is wrong most often: {worst}.")


if __name__ == "__main__":
    main()
