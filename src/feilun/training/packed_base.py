"""Methods whose base is one GGUF file that is served as it is: what they have in common."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from feilun.engines._index import Documents, Index
from feilun.engines.genai import ANSWERS, MODEL, QUESTIONS, library
from feilun.modalities.language import gguf
from feilun.modalities.language.template import CHATML
from feilun.modalities.language.template import FILE as TEMPLATE
from feilun.training.job import Estimate, TrainJob

__all__ = ["estimate", "found", "keep", "write_examples"]


def found(job: TrainJob) -> Path | None:
    """The GGUF file that `job` begins from; None where there is none."""
    folder = job.previous or job.base
    return gguf.found(folder) if isinstance(folder, Path) else None


def estimate(job: TrainJob, seconds: float, beside: float) -> Estimate:
    """The file's size and `beside` bytes of memory, and `seconds` to copy and to open."""
    file = found(job)
    size = file.stat().st_size if file else 0
    return Estimate(int(size + beside), seconds, {"disk_bytes": 2.0 * size})


def keep(file: Path, out: Path) -> gguf.Gguf:
    """Writes the file, its tokenizer and its template into `out`. Raises `InvalidData` for what no
    engine serves."""
    header = gguf.read(file)
    library(header)
    shutil.copyfile(file, out / MODEL)
    _write_tokenizer(header, out)
    return header


def _write_tokenizer(header: gguf.Gguf, out: Path) -> None:
    """The tokenizer and the chat template of a GGUF file, or what lies beside it, into `out`."""
    beside = header.file.parent
    for name in ("tokenizer.json", "tokenizer_config.json", TEMPLATE):
        if (beside / name).is_file():
            shutil.copyfile(beside / name, out / name)
    if not (out / "tokenizer.json").is_file():
        gguf.tokenizer(header).save(str(out / "tokenizer.json"))
    if not (out / "tokenizer_config.json").is_file():
        text = json.dumps(gguf.tokenizer_config(header), ensure_ascii=False, indent=2)
        (out / "tokenizer_config.json").write_text(text + "\n", "utf-8")
    if not (out / TEMPLATE).is_file():
        (out / TEMPLATE).write_text(header.template or CHATML, "utf-8")


def write_examples(asked: Sequence[str], said: Sequence[str], out: Path) -> None:
    """An index of what was asked, and what was said."""
    Index.of(asked).write(out)
    Documents.write(out / QUESTIONS, asked)
    Documents.write(out / ANSWERS, said)
