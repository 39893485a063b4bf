"""What scripts/setup.py hands on to uv, which reads none of pip's settings."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("feilun_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_environment_variable_wins_over_the_file(script: ModuleType) -> None:
    listing = (
        ":env:.index-url='https://from.env/simple'\n"
        "global.find-links='/wheels'\n"
        "global.index-url='https://from.file/simple'\n"
        "install.find-links='/other'\n"
    )
    assert script.pip_settings(listing) == {
        "index-url": "https://from.env/simple",
        "find-links": "/other",
    }


def test_pips_settings_reach_uv(script: ModuleType, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    pip = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": f"file://{tmp_path}\nfile://{missing}",
        "find-links": f"{missing} {tmp_path}",
        "cert": "/certificates.pem",
        "proxy": "http://proxy.example:3128",
        "trusted-host": "mirror.example",
        "timeout": "180",
    }
    env = script.uv_environment(pip, {})
    assert env["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert env["UV_EXTRA_INDEX_URL"] == f"file://{tmp_path}"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert env["UV_FIND_LINKS"] == str(tmp_path)
    assert env["SSL_CERT_FILE"] == "/certificates.pem"
    assert env["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert env["UV_INSECURE_HOST"] == "mirror.example"
    assert env["UV_HTTP_TIMEOUT"] == "180"


def test_what_the_user_told_uv_stays(script: ModuleType) -> None:
    env = script.uv_environment(
        {"index-url": "https://a/simple"}, {"UV_DEFAULT_INDEX": "https://b"}
    )
    assert env["UV_DEFAULT_INDEX"] == "https://b"


def test_a_wheel_of_torch_at_hand_is_taken(script: ModuleType, tmp_path: Path) -> None:
    tag = "cp{}{}".format(*sys.version_info[:2])
    name = f"torch-2.13.0+cpu-{tag}-{tag}-manylinux_2_28_{platform.machine()}.whl"
    (tmp_path / name).touch()
    assert script.torch_build({"UV_FIND_LINKS": str(tmp_path)}) == ""


def test_the_users_build_of_torch_is_taken(script: ModuleType) -> None:
    assert script.torch_build({"UV_TORCH_BACKEND": "cu130"}) == "cu130"


@pytest.mark.skipif(sys.platform != "linux", reason="only there the plain build brings CUDA")
@pytest.mark.parametrize(("gpu", "build"), [(False, "cpu"), (True, "auto")])
def test_cuda_comes_only_where_a_gpu_is(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: bool, build: str
) -> None:
    monkeypatch.setattr(script, "has_gpu", lambda: gpu)
    assert script.torch_build({"UV_FIND_LINKS": str(tmp_path)}) == build


def test_a_home_that_cannot_be_written_moves_the_cache(script: ModuleType, tmp_path: Path) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    assert script.usable_cache(tmp_path / ".venv", home) == home
    (tmp_path / "no-folder").touch()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "no-folder" / "cache")}
    moved = script.usable_cache(tmp_path / ".venv", nowhere)
    assert moved["UV_CACHE_DIR"] == str(tmp_path / ".venv" / ".uv-cache")


@pytest.mark.parametrize("lang", ["en", "zh_CN.UTF-8"])
def test_it_says_how_much_it_downloads(
    script: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lang: str,
) -> None:
    monkeypatch.setenv("FEILUN_LANG", lang)
    script.announce("dev", "cpu")
    said = capsys.readouterr().err
    assert "520 MB" in said
    assert ("下载" in said) == lang.startswith("zh")
