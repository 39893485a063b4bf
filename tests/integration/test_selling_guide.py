"""What the guide to selling a model tells to type works as it stands there, in both languages.

The blocks are read out of the guide and run in their order, beside a real server on a free port.
Only what a reader would put in is put in: the plan's files as the guide shows them, the key, and
calls of the month that is closed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from feilun.cli.app import run
from feilun.project import Workspace
from helpers.few import few
from helpers.month import call
from helpers.serving import add_version, serving

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Guide:
    name: str
    lang: str
    project: str
    customer: str
    total: str


GUIDES = [
    # 20,000 inputs in October, before there was a plan: 10,000 × .80 / 1000 = 8.00, by re-rating;
    # below the minimum of 49.
    Guide("selling-your-model.md", "en", "reviews", "Lighthouse Books", "49.00"),
    Guide("selling-your-model.zh-CN.md", "zh", "pinglun", "灯塔书店", "300.00"),
]


def _lines(text: str) -> list[str]:
    """The command lines of the guide's shell blocks, in their order."""
    found = []
    for kind, body in FENCE.findall(text):
        if kind == "bash":
            found += body.replace("\\\n", " ").strip().splitlines()
    return found


def _call(line: str, address: str, key: str) -> dict[str, object]:
    """The answer to a ``curl`` line; where curl is missing, to the same request."""
    line = line.replace("http://127.0.0.1:8000", address)
    if shutil.which("curl"):
        done = subprocess.run(
            ["bash", "-c", line],
            env=os.environ | {"FEILUN_KEY": key, "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return dict(json.loads(done.stdout))
    words = shlex.split(line.replace("$FEILUN_KEY", key))
    url = next(word for word in words if word.startswith("http"))
    pairs = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
    headers = dict(pair.split(": ", 1) for pair in pairs)
    method = "POST" if "-d" in words else "GET"
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    with httpx.Client(trust_env=False) as http:
        return dict(http.request(method, url, headers=headers, content=body).json())


@pytest.mark.parametrize("guide", few(GUIDES, GUIDES[0]), ids=lambda one: one.lang)
def test_the_commands_of_the_guide(
    guide: Guide,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_LANG", guide.lang)
    text = (ROOT / "docs" / "guides" / guide.name).read_text("utf-8")
    [plan] = [body for kind, body in FENCE.findall(text) if kind == "toml"]
    assert tomllib.loads(plan)["rates"]
    for name in ("growth.toml", "growth-2027.toml"):
        (tmp_path / name).write_text(plan, "utf-8")
    with Workspace(tmp_path) as workspace:
        workspace.init(guide.project)
        store = workspace.store
        store.catalog.set_live(guide.project, add_version(store, guide.project).id)
        _walk(text, guide, workspace, capsys)
    exported = (tmp_path / "usage.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["data"]["inputs"] for line in exported] == [20_000]
    assert (tmp_path / "invoice.html").read_text("utf-8").startswith("<!doctype html>")


def _walk(
    text: str, guide: Guide, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, str] = {}
    key = ""
    store = workspace.store
    for line in _lines(text):
        words = shlex.split(line)
        if words[0] == "chromium":
            continue  # tests/browser prints the page
        if line == "feilun serve":
            continue  # the calls below start one on a free port
        if words[0] == "curl":
            with serving(store) as server:
                answer = _call(line, server.address, key)
            assert "error" not in answer, answer
            said[words[2].rpartition("/")[2]] = json.dumps(answer)
            continue
        if words[1:3] == ["invoice", "close"]:
            known = store.catalog.customer_named(guide.customer)
            assert known is not None
            at = datetime(2026, 10, 5, tzinfo=UTC)
            call(store, known, at, 20_000, project=guide.project)
        assert words[0] == "feilun", line
        code = run(words[1:])
        out, err = capsys.readouterr()
        assert code == 0, f"{line}\n{out}{err}"
        said[" ".join(words[1:3])] = out
        if words[1:3] == ["keys", "create"]:
            shown = re.search(r"fl_[\w-]{20,}", out)
            assert shown
            key = shown.group(0)
    assert guide.customer in said["customers list"]
    assert json.loads(said["predict"])["usage"]["inputs"] == 2
    assert json.loads(said["usage"])["limits"]
    assert json.loads(said["invoices"])["data"] == []  # the month is closed further down
    assert "2026-10-0001" in said["invoice list"]
    assert guide.customer in said["margin --by"] or guide.project in said["margin --by"]
    # The first call of the command shows the difference, the second writes it.
    rerated = [e for e in store.ledger.events() if e.outcome == "rerate:2026-10"]
    assert [f"{event.amount / 1e6:.2f}" for event in rerated] == [guide.total]


def test_both_guides_show_the_same_commands() -> None:
    shapes = []
    for guide in GUIDES:
        lines = _lines((ROOT / "docs" / "guides" / guide.name).read_text("utf-8"))
        words = [shlex.split(line) for line in lines]
        shapes.append(
            [[w for w in line if w.startswith("-") or w in line[:2]][:12] for line in words]
        )
    english, chinese = shapes
    assert english == chinese
