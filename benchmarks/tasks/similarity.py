"""Search on real pairs: BM25, an encoder as it is, and the same encoder taught by pairs.

    python -m benchmarks.tasks.similarity [--base NAME_OR_FOLDER] [--sets faq,translations] ...

The pairs come from Debian packages, which are downloaded into a temporary folder by ``apt-get
download`` (`--packages FOLDER` keeps them and takes them from there):

* ``faq``: questions and answers of Perl's FAQ and of Debian's in English and Chinese, divided by
  lot: 60 % teach, 10 % choose, 30 % judge. The catalogue is all answers.
* ``translations``: English messages of programs and their Chinese translations. Blender, Inkscape,
  GIMP and GCC teach and choose; GnuCash judges, whose translations alone are its catalogue.

The share of BM25 in a score is chosen on the rows that choose, as in the product.
"""

from __future__ import annotations

import argparse
import gettext
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feilun.config import Settings
from feilun.engines.base import open_engine
from feilun.families.ranking import RANKING
from feilun.metrics.comparison import scores
from feilun.metrics.ranking import Ranking
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import bases
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Schema, Split

TASK = "text-similarity"
PACKAGES = {
    "faq": ("perl-doc", "debian-faq", "debian-faq-zh-cn"),
    "translations": (
        "blender-data", "inkscape", "gimp-data", "gcc-12-locales", "gnucash-common",
    ),
}  # fmt: skip
JUDGES = "gnucash-common"

_SECTION = re.compile(
    r'<h2 class="title"[^>]*>(.*?)</h2>(.*?)(?=<h2 class="title"|<div class="navfooter")', re.DOTALL
)


class Pair(NamedTuple):
    """A text, the document that answers it, and where both come from."""

    text: str
    document: str
    source: str


def unpacked(folder: Path, packages: Sequence[str]) -> None:
    """Each of the packages' files in a folder of its own."""
    for package in packages:
        if (folder / package).is_dir():
            continue
        with tempfile.TemporaryDirectory() as place:
            command = ["apt-get", "download", package]
            subprocess.run(command, cwd=place, check=True, capture_output=True)
            (file,) = Path(place).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(file), str(folder / package)], check=True)


def faq(folder: Path) -> list[Pair]:
    """Questions with their answers, in one paragraph."""
    pairs = []
    for file in sorted((folder / "perl-doc").rglob("perlfaq[1-9].pod")):
        for part in re.split(r"^=head2 ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            question, _, answer = part.partition("\n")
            answer = re.split(r"^=head1 ", answer, flags=re.MULTILINE)[0]
            answer = re.sub(r"^=\w+.*$", "", answer, flags=re.MULTILINE)
            pairs.append(Pair(_plain_pod(question), _plain_pod(answer), "perl"))
    for package, form in (("debian-faq", "*.en.html"), ("debian-faq-zh-cn", "*.html")):
        for file in sorted((folder / package).rglob(f"FAQ/**/{form}")):
            for title, body in _SECTION.findall(file.read_text("utf-8")):
                question = re.sub(r"^[\d.]+\W*", "", _plain_html(title))
                pairs.append(Pair(question, _plain_html(body), package))
    kept = {pair.text: pair for pair in pairs if pair.text and len(pair.document) > 20}
    return list(kept.values())


def _plain_pod(text: str) -> str:
    return " ".join(re.sub(r"[A-Z]<<?\s*(.*?)\s*>?>", r"\1", text).split())


def _plain_html(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def translations(folder: Path) -> list[Pair]:
    """English messages with their Chinese ones; the first of each message of a program."""
    found: dict[tuple[str, str], Pair] = {}
    for package in PACKAGES["translations"]:
        for file in sorted((folder / package).rglob("zh_CN/LC_MESSAGES/*.mo")):
            with file.open("rb") as opened:
                catalogue: dict[Any, str] = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
            for key, said in catalogue.items():
                message = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]
                if len(message) > 3 and re.search("[\u4e00-\u9fff]", said):
                    found.setdefault((package, message), Pair(message, said, package))
    return list(found.values())


def divided(
    name: str, pairs: Sequence[Pair], most: int
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs that teach (`most` of them at most), that choose, and that judge."""
    lots = np.random.default_rng(0).permutation(len(pairs)).tolist()
    drawn = [pairs[place] for place in lots]
    if name == "translations":
        judges = [pair for pair in drawn if pair.source == JUDGES]
        others = [pair for pair in drawn if pair.source != JUDGES]
        known = {pair.text for pair in others} | {pair.document for pair in others}
        # What another program says alike would be no test of a new one.
        judges = [one for one in judges if one.text not in known and one.document not in known]
        return others[300 : 300 + most], others[:300], judges
    first, second = len(drawn) * 3 // 10, len(drawn) * 4 // 10
    return drawn[second:][:most], drawn[first:second], drawn[:first]


def judged(
    name: str, learnt: Sequence[Pair], chosen: Sequence[Pair], held: Sequence[Pair],
    base: Path, options: argparse.Namespace,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row of the table for each method."""
    settings = {"max_length": options.max_length, "feature_bits": 12}
    asked = held[: options.questions]
    told = []
    with tempfile.TemporaryDirectory() as place:
        folder = (options.work or Path(place)) / name
        folder.mkdir(parents=True, exist_ok=True)
        for method_name in ("bm25", "dense", "contrastive"):
            print(f"-- {name}: {method_name}", file=sys.stderr, flush=True)
            # Of the translations only those of the judging program are searched.
            searched = held if name == "translations" else [*learnt, *chosen, *held]
            own = {"epochs": options.epochs} if method_name == "contrastive" else {}
            if method_name != "bm25":
                own |= {"query_prefix": options.query_prefix,
                        "document_prefix": options.document_prefix}  # fmt: skip
            out = _trained(folder, method_name, learnt, chosen, searched, base, settings, own)
            told += _answers(name, method_name, out, asked, searched)
    return told


def _trained(
    folder: Path, name: str, learnt: Sequence[Pair], chosen: Sequence[Pair],
    searched: Sequence[Pair], base: Path, settings: dict[str, Any], own: dict[str, Any],
) -> Path:  # fmt: skip
    """The version in `folder`, trained where it is not whole yet."""
    data, out, scratch = (folder / f"{name}-{part}" for part in ("data", "out", "scratch"))
    whole = folder / f"{name}-whole"
    if whole.exists():
        return out
    for old in (data, out):
        shutil.rmtree(old, ignore_errors=True)
    out.mkdir()
    scratch.mkdir(exist_ok=True)
    with DatasetWriter(data, {"text": "text"}, RANKING.stratum) as writer:
        splits: tuple[tuple[Split, Sequence[Pair]], ...] = (
            ("train", learnt), ("validation", chosen), ("test", searched),
        )  # fmt: skip
        for split, pairs in splits:
            for number, pair in enumerate(pairs):
                target = RANKING.target(pair.document)
                writer.add(Example(f"{split}-{number}", pair.text, target, split))
        writer.close(Schema(TASK, (), settings))
    chosen_method = method(name)
    job = TrainJob(name, TASK, data, base, out, scratch, task_settings=settings, threads=2)
    chosen_method.train(job, chosen_method.Settings(**own), lambda _: None)
    whole.touch()
    return out


def _answers(
    name: str, label: str, out: Path, asked: Sequence[Pair], searched: Sequence[Pair]
) -> list[dict[str, Any]]:
    engine = open_engine(out)
    try:
        raw = engine.raw([pair.text for pair in asked])
        share = engine.card.extra.get("lexical")
    finally:
        engine.close()
    # Documents that the pairs to learn from brought are no answers of another program.
    wanted = {RANKING.target(pair.document) for pair in searched}
    ranked = [[item for item in row.items if item in wanted] for row in raw]
    right = [{RANKING.target(pair.document)} for pair in asked]
    first = scores(Ranking(right, ranked, k=1), resamples=1000, confidence=0.95, seed=0)["recall"]
    ten = scores(Ranking(right, ranked, k=10), resamples=1000, confidence=0.95, seed=0)
    row = {"set": name, "method": label, "questions": len(asked), "documents": len(wanted)}
    row |= {"share_of_bm25": share}
    for metric, score in (("recall@1", first), ("recall@10", ten["recall"]), ("mrr", ten["mrr"])):
        assert score is not None
        row[metric] = [round(x, 4) for x in (score.value, score.low, score.high)]
    value, low, high = row["recall@1"]
    weight = "–" if share is None else f"{share:g}"
    print(f"| {name} | {label} | {len(asked):,} | {len(wanted):,} | {weight} | **{value:.3f}** "
          f"| {low:.3f} to {high:.3f} | {row['recall@10'][0]:.3f} | {row['mrr'][0]:.3f} |",
          flush=True)  # fmt: skip
    return [row]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--base", default="minilm", help="a starter or a folder")
    parser.add_argument("--query-prefix", default="")
    parser.add_argument("--document-prefix", default="")
    parser.add_argument("--sets", default="faq,translations")
    parser.add_argument("--pairs", type=int, default=4000, help="pairs that teach at most")
    parser.add_argument("--questions", type=int, default=1000, help="questions that judge at most")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--packages", type=Path, help="where packages are unpacked")
    parser.add_argument("--work", type=Path, help="folder in which versions and checkpoints stay")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    base = bases.resolve(options.base, tasks.get(TASK), Settings())
    assert isinstance(base, Path)
    told: list[dict[str, Any]] = []
    print("| pairs | method | questions | documents | share of BM25 | recall@1 | 95 % interval "
          "| recall@10 | MRR |")  # fmt: skip
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as place:
        folder = options.packages or Path(place)
        for name in options.sets.split(","):
            unpacked(folder, PACKAGES[name])
            pairs = {"faq": faq, "translations": translations}[name](folder)
            parts = divided(name, pairs, options.pairs)
            told += judged(name, *parts, base, options)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
