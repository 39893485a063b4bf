"""What the guide of running in production shows can be used as it is."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from feilun.config import ServingConfig, Settings
from feilun.serving.admission import Gate

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "docs" / "guides" / name
    for name in ("running-in-production.md", "running-in-production.zh-CN.md")
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text("utf-8")) if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_units_are_units(page: Path, tmp_path: Path) -> None:
    units = blocks(page, "ini")
    assert len(units) == 2
    for number, text in enumerate(units):
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(text)
        assert set(unit.sections()) == {"Unit", "Service", "Install"}
        assert unit["Service"]["ExecStart"].startswith("/opt/feilun/.venv/bin/feilun ")
        names = re.findall(r"^Environment=FEILUN_(\w+)=", text, re.MULTILINE)
        assert {name.lower() for name in names} <= set(Settings.model_fields)
        if shutil.which("systemd-analyze"):
            # It looks whether the program and the user are there: it is given ones that are.
            text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
            text = re.sub(r"^User=.*", "User=root", text, flags=re.MULTILINE)
            file = tmp_path / f"feilun-{number}.service"
            file.write_text(text)
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", str(file)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
            )
            told = [line for line in done.stderr.splitlines() if file.name in line]
            assert told == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_configuration_of_nginx(page: Path, tmp_path: Path) -> None:
    (text,) = blocks(page, "nginx")
    statements(text)
    assert "non_idempotent" not in text
    if nginx := shutil.which("nginx"):
        lines = [line for line in text.splitlines() if "ssl_certificate" not in line]
        body = "\n".join(lines).replace("listen 443 ssl", "listen 127.0.0.1:18443")
        file = tmp_path / "nginx.conf"
        file.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{body}\n}}\n")
        subprocess.run([nginx, "-t", "-c", str(file)], check=True, capture_output=True)


def statements(text: str) -> None:
    """Fails unless every line is a comment, ends a statement, or opens or closes a block."""
    depth = 0
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        assert line[-1] in ";{}", line
        depth += line.endswith("{") - (line == "}")
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_configuration_of_caddy(page: Path, tmp_path: Path) -> None:
    (text,) = blocks(page, "caddyfile")
    depth = 0
    for line in text.splitlines():
        depth += line.rstrip().endswith("{") - (line.strip() == "}")
        assert depth >= 0
    assert depth == 0
    if caddy := shutil.which("caddy"):
        file = tmp_path / "Caddyfile"
        file.write_text(text)
        command = [caddy, "adapt", "--config", str(file), "--adapter", "caddyfile"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_figures_of_the_guide_are_those_of_the_code(page: Path) -> None:
    text = page.read_text("utf-8")
    fields = ServingConfig.model_fields
    for name in ("deadline", "write_deadline", "hang_seconds"):
        shown = re.search(rf"`serving\.{name}`[^|]*?[（(](\d+)[)）]", text)
        assert shown is not None, name
        assert float(shown.group(1)) == fields[name].default
    assert fields["cache_mb"].default == 0
    assert Gate().most_bytes >= 256 << 20


def test_both_languages_show_the_same() -> None:
    english, chinese = PAGES
    for kind in ("ini", "nginx", "caddyfile", "bash"):
        assert blocks(english, kind) == blocks(chinese, kind)
