"""Near-duplicates: what is found, what is joined wrongly, and what a million rows cost.

    python -m benchmarks.evidence.near [--rows 10000,100000,1000000]

Reviews in two languages, long ones and single clauses, get planted twins: a copy with one small
change each. Beside them stand decoys, which share much with a review and say something else.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any

from feilun.data.near import groups
from feilun.demo.tasks import text_classification as reviews

SEED = 0
BASES = 1000
_TWINS = 0.85
"""Unplanted pairs this much alike by `difflib`, letters alone, count as rightly joined."""

Change = Callable[[str, random.Random], str]


def _letter(draw: random.Random, text: str) -> str:
    return draw.choice([c for c in text if c.isalpha()] or ["x"])


def _place(draw: random.Random, text: str) -> int:
    return draw.choice([i for i, c in enumerate(text) if c.isalpha()])


def changed(text: str, draw: random.Random) -> str:
    """One letter replaced by another one of the text."""
    at = _place(draw, text)
    return text[:at] + _letter(draw, text.replace(text[at], "")) + text[at + 1 :]


def added(text: str, draw: random.Random) -> str:
    """One letter more."""
    at = draw.randrange(len(text) + 1)
    return text[:at] + _letter(draw, text) + text[at:]


def removed(text: str, draw: random.Random) -> str:
    """One letter less."""
    at = _place(draw, text)
    return text[:at] + text[at + 1 :]


def punctuation(text: str, draw: random.Random) -> str:
    """Marks taken out and others put in."""
    kept = [c for c in text if c.isalnum() or c.isspace() or draw.random() < 0.5]
    for _ in range(3):
        kept.insert(draw.randrange(len(kept) + 1), draw.choice("!！,，。.…~～；"))
    return "".join(kept)


def width(text: str, draw: random.Random) -> str:
    """Half width to full width, and back."""
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    back = {to: code for code, to in wide.items()}
    return text.translate({**wide, **back, 0x20: 0x3000})


def case(text: str, draw: random.Random) -> str:
    """Capitals."""
    return text.upper()


def spaces(text: str, draw: random.Random) -> str:
    """Spaces put in or taken out."""
    if " " in text and draw.random() < 0.5:
        return text.replace(" ", "  ").replace(",  ", ",")
    at = draw.randrange(len(text) + 1)
    return text[:at] + " " + text[at:]


def some(share: float) -> Change:
    """This share of the letters replaced."""

    def change(text: str, draw: random.Random) -> str:
        for _ in range(max(1, round(share * len(text)))):
            text = changed(text, draw)
        return text

    return change


PROMISED: dict[str, Change] = {
    "one letter changed": changed,
    "one letter added": added,
    "one letter removed": removed,
    "punctuation": punctuation,
    "full and half width": width,
    "case": case,
    "spaces": spaces,
}
BEYOND: dict[str, Change] = {"2 % of letters changed": some(0.02), "5 % changed": some(0.05)}


def decoys(texts: list[str], draw: random.Random) -> list[str]:
    """Texts that begin like one of `texts` and end like another, or have a third from another."""
    found = []
    for text in texts:
        other = draw.choice(texts)
        cut = len(text) * draw.choice([1, 2]) // 3
        found.append(text[:cut] + other[-max(1, len(text) - cut) :])
    return found


def texts_of(folder: Path) -> dict[str, list[str]]:
    """The bases: reviews, and clauses of them."""
    found: dict[str, list[str]] = {}
    for lang, name in (("en", "English"), ("zh", "Chinese")):
        files = reviews.files(folder / lang, lang)
        with files.training.open(encoding="utf-8", newline="") as stream:
            whole = [row[files.text] for row in csv.DictReader(stream)]
        clauses = [
            c.strip()
            for text in whole
            for c in re.split(r"[,.!?;，。！？；\s]{2,}|[，。！？；,.!?]", text)
        ]
        low, high = (20, 40) if lang == "en" else (9, 14)
        short = dict.fromkeys(c for c in clauses if low <= len(c) <= high)
        draw = random.Random(SEED)
        found[f"{name} reviews"] = draw.sample(
            [t for t in dict.fromkeys(whole) if len(t) >= 15], BASES
        )
        found[f"{name} clauses of {low}-{high} characters"] = draw.sample(list(short), BASES)
    return found


def planted(bases: list[str]) -> tuple[list[str], list[int], list[str]]:
    """All texts in a drawn order, the number of the base that each is a twin of (its own for
    decoys), and its kind."""
    draw = random.Random(SEED + 1)
    rows = [(text, i, "base") for i, text in enumerate(bases)]
    for kind, change in {**PROMISED, **BEYOND}.items():
        for i in draw.sample(range(len(bases)), len(bases) // 5):
            rows.append((change(bases[i], draw), i, kind))
    rows += [(text, len(bases) + i, "decoy") for i, text in enumerate(decoys(bases, draw))]
    draw.shuffle(rows)
    texts, origins, kinds = zip(*rows, strict=True)
    return list(texts), list(origins), list(kinds)


def _twins(one: str, other: str) -> bool:
    forms = [unicodedata.normalize("NFKC", text).casefold() for text in (one, other)]
    plain = [re.sub(r"[\W_]+", "", form) for form in forms]
    return difflib.SequenceMatcher(None, *plain, autojunk=False).ratio() >= _TWINS


def judge(bases: list[str]) -> dict[str, float]:
    """Recall of each kind, and the precision of all pairs that were joined."""
    texts, origins, kinds = planted(bases)
    found = groups(texts).tolist()
    base = {
        origin: i
        for i, (origin, kind) in enumerate(zip(origins, kinds, strict=True))
        if kind == "base"
    }
    hits: dict[str, list[bool]] = defaultdict(list)
    for i, (origin, kind) in enumerate(zip(origins, kinds, strict=True)):
        if kind not in ("base", "decoy"):
            hits[kind].append(found[i] == found[base[origin]])
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(found):
        members[group].append(i)
    right = natural = wrong = 0
    for group in members.values():
        for one, other in combinations(group, 2):
            if origins[one] == origins[other]:
                right += 1
            elif _twins(texts[one], texts[other]):
                natural += 1
            else:
                wrong += 1
                print("joined wrongly:", texts[one][:90], "|", texts[other][:90], file=sys.stderr)
    promised = [hit for kind in PROMISED for hit in hits[kind]]
    return {
        **{kind: sum(hit) / len(hit) for kind, hit in hits.items()},
        "recall": sum(promised) / len(promised),
        "precision": (right + natural) / max(1, right + natural + wrong),
        "pairs": right + natural + wrong,
        "natural": natural,
    }


def quality() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = {name: judge(bases) for name, bases in texts_of(Path(folder)).items()}
    print(
        f"{BASES:,} texts of each kind, a fifth of them with each change, as many decoys, seed "
        f"{SEED}; `python -m benchmarks.evidence.near`.\n"
    )
    print("| | " + " | ".join(figures) + " |")
    print("|---|" + "---:|" * len(figures))
    for kind in PROMISED:
        print(f"| {kind} | " + " | ".join(f"{f[kind]:.3f}" for f in figures.values()) + " |")
    print(
        "| **recall of these** | "
        + " | ".join(f"**{f['recall']:.3f}**" for f in figures.values())
        + " |"
    )
    print(
        "| **precision of pairs** | "
        + " | ".join(f"**{f['precision']:.3f}**" for f in figures.values())
        + " |"
    )
    for kind in BEYOND:
        print(
            f"| {kind} (no promise) | "
            + " | ".join(f"{f[kind]:.3f}" for f in figures.values())
            + " |"
        )
    print("| pairs joined | " + " | ".join(f"{f['pairs']:,}" for f in figures.values()) + " |")
    print(
        "| of them not planted, alike by difflib | "
        + " | ".join(f"{f['natural']:,}" for f in figures.values())
        + " |"
    )


_CHILD = """
import json, sys, time
from pathlib import Path
import numpy, pyarrow, pyarrow.parquet, pyarrow.compute
from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.tasks import base

task = base.get("text-classification")
def peak():
    # of this program alone: getrusage counts what the process was before it
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
began = {}
def note(sign):
    if sign.step not in began:
        began[sign.step] = (time.perf_counter(), peak())
start, before = time.perf_counter(), peak()
found = build([Source(Path(sys.argv[1]))], task=task, settings=DataConfig(),
              out=Path(sys.argv[2]), report=note)
end, last = time.perf_counter(), peak()
near, write = began["near"], began["write"]
print(json.dumps({
    "read": near[0] - start, "near": write[0] - near[0], "write": end - write[0],
    "read_mib": near[1] - before, "near_mib": write[1] - before, "write_mib": last - before,
    "rows": found.rows, "near_rows": found.near, "duplicates": found.duplicates,
}))
"""


def write_rows(file: Path, rows: int) -> None:
    """`rows` reviews of some 400 characters in mixed words; of twenty, one is a copy of the row
    before and one a copy with a letter changed."""
    draw = random.Random(SEED)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = [
        "".join(draw.choices(letters, range(26, 0, -1), k=draw.randint(2, 10)))
        for _ in range(20_000)
    ]
    words += ["质量很好", "物流太慢", "值得购买"]
    weights = [1 / (place + 10) for place in range(len(words))]  # as words are in a language
    bounds = list(accumulate(weights))
    last = ""
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "review", "score"])
        for i in range(rows):
            if i % 20 == 1:
                text = last
            elif i % 20 == 2:
                text = changed(last, draw)
            else:
                text = last = " ".join(draw.choices(words, cum_weights=bounds, k=60))
            out.writerow([i, text, "good" if i // 20 % 3 else "bad"])


def costs(sizes: list[int]) -> None:
    """Builds of generated rows, each in a process of its own."""
    print(
        "\nA build of generated rows of some 400 characters, one in twenty a copy and one in "
        "twenty a copy with a letter changed: seconds, and the peak of memory so far beyond the "
        "imports.\n"
    )
    print("| rows | read | near-duplicates | divide and write | near-duplicates found |")
    print("|---:|---:|---:|---:|---:|")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            file = Path(folder) / f"{rows}.csv"
            write_rows(file, rows)
            print(f"{rows:,} rows written, building", file=sys.stderr)
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(file), str(Path(folder) / f"out{rows}")],
                capture_output=True,
                text=True,
                env=env,
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            found: dict[str, Any] = json.loads(done.stdout)
            file.unlink()
            cells = [
                f"{found[step]:.1f} s, {found[step + '_mib']:.0f} MiB"
                for step in ("read", "near", "write")
            ]
            share = found["near_rows"] / (rows // 20)
            near = f"{found['near_rows']:,} ({share:.1%} of those planted)"
            print(f"| {rows:,} | {' | '.join(cells)} | {near} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="10000,100000,1000000")
    sizes = [int(rows) for rows in parser.parse_args().rows.split(",")]
    quality()
    costs(sizes)


if __name__ == "__main__":
    main()
