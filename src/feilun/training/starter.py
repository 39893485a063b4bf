"""A starter that comes as one GGUF file, made into a folder that transformers trains.

    python -m feilun.training.starter FILE.gguf FOLDER

transformers reads such files, but what it read calls itself quantized and cannot be saved; and it
forgets how the tokenizer parts digits. It is a program of its own, because the process that asks
for a base stays free of torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from feilun.errors import EnvironmentProblem

__all__ = ["cached", "unpack"]

_LINK = "packed.gguf"
_ENDS = 4 << 20  # bytes of a file's beginning and of its end
_DIGITS = ("smollm",)
"""GGUF's names of the tokenizers that take every digit for itself before they part words."""


def cached(file: Path) -> Path:
    """The folder made of `file`, with a link to it, in the user's cache (``XDG_CACHE_HOME``, else
    ``~/.cache``). It is made once, by whoever comes first, in some twenty seconds. Raises
    `EnvironmentProblem` where it cannot be."""
    folder = _place(file)
    if _whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / "config.json").is_file():
                _make(file, folder)
            elif not _whole(folder):  # the package that had the file is in another place now
                (folder / _LINK).unlink(missing_ok=True)
                (folder / _LINK).symlink_to(file)
    except OSError as error:
        raise EnvironmentProblem("training.no_cache", folder=folder, reason=str(error)) from None
    return folder


def _whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and (folder / _LINK).exists()


def _place(file: Path) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "feilun" / "bases" / f"{file.stem}-{_mark(file)}"


def _make(file: Path, folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        command = [sys.executable, "-m", "feilun.training.starter", str(file), str(aside)]
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2][:300]
            raise EnvironmentProblem("training.no_starter", file=file, reason=reason)
        (aside / _LINK).symlink_to(file)  # what is served as it is needs no copy
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _mark(file: Path) -> str:
    """What tells `file` from others of its name: its length, its header and its last weights."""
    found = hashlib.sha256(str(file.stat().st_size).encode())
    with file.open("rb") as opened:
        found.update(opened.read(_ENDS))
        opened.seek(max(0, file.stat().st_size - _ENDS))
        found.update(opened.read(_ENDS))
    return found.hexdigest()[:12]


def unpack(file: Path, folder: Path) -> None:
    """Writes the model of the GGUF `file` into `folder`: weights in float16, which hold what was
    quantized, configuration, tokenizer, chat template."""
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    source = {"gguf_file": file.name, "local_files_only": True}
    read: Any = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float16, **source)
    plain = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    plain |= {"_name_or_path": "", "dtype": "float16"}
    model: Any = type(read)(type(read.config).from_dict(plain)).half()
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, **source)
    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() in _DIGITS:
        from tokenizers import pre_tokenizers

        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
