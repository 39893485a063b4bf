"""`make check` finds the tests that a change can touch, the nearest first."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def users(check: ModuleType) -> dict[str, set[str]]:
    found = check._users()
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("file", "test", "steps"),
    [
        ("src/feilun/money.py", "tests/unit/billing/test_invoices.py", None),
        ("src/feilun/billing/limiter.py", "tests/unit/billing/test_limits.py", 1),
        ("src/feilun/cli/commands/keys.py", "tests/unit/cli/test_usage.py", None),  # by its place
        ("src/feilun/tasks/text_classification.py", "tests/contract/test_tasks.py", None),
        ("tests/helpers/serving.py", "tests/integration/test_serving_api.py", 1),
        ("tests/unit/billing/test_limits.py", "tests/unit/billing/test_limits.py", 0),
        ("src/feilun/messages/cli.toml", "tests/unit/test_messages.py", 0),
        ("src/feilun/project/templates/audit.html", "tests/unit/project/test_audit_page.py", 2),
        ("docs/guides/your-file.md", "tests/unit/test_docs.py", 0),
    ],
)
def test_a_change_finds_its_tests(
    check: ModuleType, users: dict[str, set[str]], file: str, test: str, steps: int | None
) -> None:
    found = check.nearest([file], users)
    assert test in found
    if steps is not None:
        assert found[test] == steps


def test_what_has_nothing_to_do_with_a_change_is_left_out(
    check: ModuleType, users: dict[str, set[str]]
) -> None:
    found = check.nearest(["src/feilun/cli/commands/keys.py"], users)
    assert "tests/unit/metrics/test_intervals.py" not in found
    assert check.nearest(["LICENSE"], users) == {}
