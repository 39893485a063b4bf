"""Bases by every name they have; without a network the error comes at once and names what is."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from feilun.config import Settings
from feilun.errors import EnvironmentProblem, FeilunError, InvalidData, NotFound
from feilun.tasks import base as tasks
from feilun.training import bases
from helpers.bert import write_bert
from helpers.gguf import tiny_gguf
from helpers.llama import write_causal

TEXT = tasks.get("text-classification")
IMAGE = tasks.get("image-classification")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base") / "bert")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path, lang="en")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_the_starter_is_found_without_importing_torch(settings: Settings) -> None:
    folder = bases.starters()["minilm"]
    assert (folder / "model.safetensors").is_file()
    assert bases.resolve("minilm", TEXT, settings) == folder
    assert bases.resolve(None, TEXT, settings) == folder


def test_a_folder_of_starters_adds_its_own(bert: Path, settings: Settings) -> None:
    own = settings.model_copy(update={"starters": bert.parent})
    assert bases.starters(own)["bert"] == bert
    assert bases.resolve("bert", TEXT, own) == bert


def test_a_default_that_is_not_installed_means_no_base(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "_PACKAGED", ())
    assert bases.resolve(None, TEXT, settings) is None


def test_networks_from_nothing_are_for_tasks_that_have_them(settings: Settings) -> None:
    assert bases.resolve(None, IMAGE, settings) == "scratch:resnet"
    assert bases.resolve("scratch:vit", IMAGE, settings) == "scratch:vit"
    with pytest.raises(InvalidData) as caught:
        bases.resolve("scratch:vit", TEXT, settings)
    assert caught.value.code == "training.no_scratch"


def test_a_folder_from_here_or_from_the_workspace(
    bert: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bases.resolve(str(bert), TEXT, settings) == bert
    there = settings.model_copy(update={"workspace": bert.parent})
    assert bases.resolve("./bert", TEXT, there) == bert
    with pytest.raises(NotFound) as caught:
        bases.resolve("./elsewhere/model", TEXT, settings)
    assert "minilm" in str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["org/model", "bert-base-uncased"])
def test_without_network_the_error_names_what_is_at_hand(settings: Settings, name: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        bases.resolve(name, TEXT, settings)
    assert caught.value.code == "training.base_unreachable"
    assert "minilm" in str(caught.value)
    assert NOWHERE in str(caught.value)
    assert "HF_ENDPOINT" in str(caught.value)


@pytest.mark.usefixtures("no_network")
def test_what_was_fetched_before_needs_no_network(
    bert: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def fetch(name: str, *, local_files_only: bool, **rest: Any) -> str:
        assert local_files_only
        assert not any("bin" in pattern or "py" in pattern for pattern in rest["allow_patterns"])
        return str(bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert bases.resolve("org/model", TEXT, settings) == bert


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("RepositoryNotFoundError", "training.base_unknown"),
        ("GatedRepoError", "training.base_gated"),
        ("LocalEntryNotFoundError", "training.base_unreachable"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    response = httpx.Response(404, request=httpx.Request("GET", NOWHERE))

    def fetch(*_: Any, **__: Any) -> str:
        kind = getattr(errors, name)
        raise kind("no") if name.startswith("Local") else kind("no", response=response)

    monkeypatch.setattr(bases, "_reachable", lambda endpoint: True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(FeilunError) as caught:
        bases.resolve("org/model", TEXT, settings)
    assert caught.value.code == code


def test_modelscope_is_a_package_that_one_may_add(
    bert: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(EnvironmentProblem, match="pip install modelscope"):
        bases.resolve("modelscope:org/name", TEXT, settings)
    package, hub = types.ModuleType("modelscope"), types.ModuleType("modelscope.hub")
    download = types.ModuleType("modelscope.hub.snapshot_download")
    seen: list[str] = []
    download.snapshot_download = lambda name, **_: seen.append(name) or str(bert)  # type: ignore[attr-defined]
    hub.snapshot_download = download  # type: ignore[attr-defined]
    for module in (package, hub, download):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(bases, "_reachable", lambda endpoint: True)
    assert bases.resolve("modelscope:org/name", TEXT, settings) == bert
    assert seen == ["org/name"]


class TestCheck:
    """Folders that cannot be used say why."""

    @pytest.fixture
    def folder(self, bert: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(bert, tmp_path / "copy"))

    def refused(self, folder: Path) -> InvalidData:
        with pytest.raises(InvalidData) as caught:
            bases.check(folder)
        assert str(folder) in str(caught.value)
        return caught.value

    def change(self, folder: Path, **changes: Any) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")

    def test_a_sound_one_comes_back(self, folder: Path) -> None:
        assert bases.check(folder) == folder

    def test_no_configuration(self, folder: Path) -> None:
        (folder / "config.json").unlink()
        assert self.refused(folder).code == "training.bad_config"
        (folder / "config.json").write_text("not json", "utf-8")
        assert self.refused(folder).code == "training.bad_config"

    def test_no_safetensors(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        error = self.refused(folder)
        assert error.code == "training.no_safetensors"
        assert "pytorch_model.bin" in str(error)

    def test_an_unknown_model_type(self, folder: Path) -> None:
        self.change(folder, model_type="nobody_knows")
        assert self.refused(folder).code == "training.unknown_type"

    def test_code_of_its_own(self, folder: Path) -> None:
        self.change(folder, model_type="custom", auto_map={"AutoModel": "modeling.Own"})
        assert self.refused(folder).code == "training.remote_code"

    def test_a_model_type_whose_module_is_named_otherwise(self, folder: Path) -> None:
        self.change(folder, model_type="xlm-roberta")
        assert bases.check(folder) == folder


@pytest.mark.slow
def test_a_starter_of_one_file_is_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out is a plain folder that says what went in: weights, tokens, digit by digit."""
    from safetensors.numpy import load_file

    from feilun.compression.exporters.gguf import write

    chat = tasks.get("chat")
    template = "{% for one in messages %}{{ one.content }}{% endfor %}"
    source = write_causal(tmp_path / "source", template=template)
    package = tmp_path / "tiny_starter"
    package.mkdir()
    (package / "__init__.py").touch()
    write(source, package / "tiny.gguf", "f16", [2])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bases, "_QUANTIZED", (("tiny", "tiny_starter", "tiny.gguf"),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = Settings(workspace=tmp_path, lang="en")
    assert bases.starters(here)["tiny"] == package / "tiny.gguf"
    assert bases.resolve("tiny", chat, here, packed=True) == package
    assert not (tmp_path / "cache").exists()
    folder = bases.resolve("tiny", chat, here)
    assert isinstance(folder, Path)
    assert (folder / "packed.gguf").samefile(package / "tiny.gguf")
    assert "quantization_config" not in (folder / "config.json").read_text("utf-8")
    old, new = (load_file(one / "model.safetensors") for one in (source, folder))
    assert old.keys() == new.keys()
    for name, weights in old.items():
        np.testing.assert_allclose(weights, new[name].astype(np.float32), rtol=2e-3, atol=1e-6)
    one, other = (chat.processor(each, {}) for each in (source, folder))
    for text in ("The lamp costs 1250 euros. 灯 99", "<|im_start|>user\nHi<|im_end|>"):
        assert one.ids(text) == other.ids(text)  # type: ignore[attr-defined]
    assert one.prompt("Hi") == other.prompt("Hi")  # type: ignore[attr-defined]
    stamp = (folder / "config.json").stat().st_mtime_ns
    assert bases.resolve("tiny", chat, here) == folder
    assert (folder / "config.json").stat().st_mtime_ns == stamp
    # The package is installed anew in another place, and the old one is gone.
    moved = package.rename(tmp_path / "moved_starter") / "tiny.gguf"
    monkeypatch.setattr(bases, "_QUANTIZED", (("tiny", "moved_starter", "tiny.gguf"),))
    assert bases.resolve("tiny", chat, here) == folder
    assert (folder / "packed.gguf").samefile(moved)
    assert (folder / "config.json").stat().st_mtime_ns == stamp
    torn = tmp_path / "torn_starter"
    torn.mkdir()
    (torn / "__init__.py").touch()
    (torn / "torn.gguf").write_bytes(moved.read_bytes()[:5000])
    monkeypatch.setattr(bases, "_QUANTIZED", (("torn", "torn_starter", "torn.gguf"),))
    with pytest.raises(InvalidData, match="5,000 bytes"):
        bases.resolve("torn", chat, here)
    tiny_gguf(torn / "torn.gguf", architecture="unheard")
    with pytest.raises(EnvironmentProblem) as caught:
        bases.resolve("torn", chat, here)
    assert caught.value.code == "training.no_starter"
    assert not list((tmp_path / "cache").glob("**/.unpacking-*"))
