"""A version as a folder that explains itself and answers without this workspace.

::

    feilun.json        what an engine needs: format, task, schema, operating point
    …                  the chosen variant: weights, tokenizer or processor
    float/             the float weights (format ``transformers`` loads with AutoModel…)
    about.json         data version, resolved configuration, metrics with intervals, libraries,
                       sha256 of every file
    README.md          model card with Hugging Face front matter
    report.html        the evaluation
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from feilun.engines.card import read_card
from feilun.errors import Conflict
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.project.results import named, score_head
from feilun.store.records import ModelVersion
from feilun.table import to_jsonable

__all__ = ["ABOUT", "FLOAT", "RIDERS", "export"]

ABOUT = "about.json"
FLOAT = "float"
RIDERS = {ABOUT, FLOAT, "README.md", "report.html"}
"""What an export adds to the folder that is served."""
_LIBRARIES = ("feilun", "numpy", "scikit-learn", "openvino", "tokenizers", "torch", "transformers")


def export(context: Context, version: ModelVersion, folder: Path) -> list[str]:
    """Writes the folder aside and renames it, so that it is whole or not there. Returns the names
    of its files. Raises `Conflict` when `folder` exists."""
    folder = folder.expanduser().absolute()
    if folder.exists():
        raise Conflict("project.folder_exists", folder=folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _copy(context.folder(version), aside)
        if version.variants and version.weights != version.artifact():
            _copy(context.folder(version, ""), aside / FLOAT)
        if version.report:
            report = context.store.artifacts.path(version.report)
            shutil.copyfile(report / "report.html", aside / "report.html")
        (aside / "README.md").write_text(_readme(context, version, aside), "utf-8")
        about = _about(context, version, aside)
        text = json.dumps(about, ensure_ascii=False, indent=2, sort_keys=True)
        (aside / ABOUT).write_text(text + "\n", "utf-8")
        aside.replace(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def _copy(source: Path, target: Path) -> None:
    # Copied without the store's read-only mode: the folder belongs to who exported it.
    shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _about(context: Context, version: ModelVersion, folder: Path) -> dict[str, Any]:
    rows = context.data_of(version) if version.data_version else None
    data = {"id": rows.id, "artifact": rows.artifact, "counts": rows.counts} if rows else None
    return {
        "version": version.id,
        "method": version.method,
        "created": version.created.isoformat(),
        "data_version": data,
        "config": to_jsonable(version.config),
        "metrics": to_jsonable(version.metrics),
        "variants": to_jsonable(version.variants),
        "variant": version.variant,
        "libraries": dict(_installed()),
        "files": {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }


def _installed() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _readme(context: Context, version: ModelVersion, folder: Path) -> str:
    card = read_card(folder)
    scores = version.metrics.get("test", {})
    base = (version.config.get("rung") or {}).get("base_name")
    front = [
        "---",
        f"pipeline_tag: {card.schema.task}",
        "library_name: feilun",
        *([f"base_model: {base}"] if base else []),
        f"license: {(version.config.get('rung') or {}).get('license') or 'other'}",
        "---",
    ]
    labels = ", ".join(f"`{label}`" for label in card.schema.labels[:50])
    table = [f"| {t('project.metric')} | {score_head(scores)} |", "| --- | --- |"]
    table += [f"| {name} | {score} |" for name, score in named(scores)]
    return "\n".join(
        [
            *front,
            f"# {version.id}",
            "",
            t(
                "project.card_what",
                task=card.schema.task,
                method=version.method,
                data=version.data_version or t("project.unknown"),
            ),
            "",
            f"{t('project.labels')}: {labels}",
            "",
            *table,
            "",
            t("project.card_use"),
            "",
            "```",
            f'feilun predict "…" --model {folder.name.strip(".").rsplit(".", 1)[0]}',
            "```",
            "",
        ]
    )
