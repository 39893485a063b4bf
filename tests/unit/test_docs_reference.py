"""The reference says what the code does, all of it, and nothing is without words."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from feilun import errors, registry
from feilun.cli.app import command_functions
from feilun.config import ProjectConfig, Settings

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The generator, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import reference

    assert isinstance(reference, ModuleType)
    return reference


def _page(name: str) -> str:
    return (PAGES / name).read_text("utf-8")


def _section(page: str, heading: str) -> str:
    """What stands below `heading`, down to the next one of its rank."""
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found, f"no section {heading!r}"
    return re.split(r"\n## ", rest)[0]


def test_pages_are_what_the_code_makes(reference: ModuleType) -> None:
    wrong = reference.stale()
    assert not wrong, f"out of date: {', '.join(wrong)}; make docs writes them"


def test_every_setting_is_explained() -> None:
    page = _page("settings.md")
    tables = {
        name: field.annotation
        for name, field in ProjectConfig.model_fields.items()
        if name != "task"
    }
    for method in registry.names("methods"):
        tables[f"training.{method}"] = registry.load("methods", method).Settings
    sections = {f"`[{name}]`": model for name, model in tables.items()}
    for task in registry.names("tasks"):
        sections[f"`[task]` · {task}"] = registry.load("tasks", task).Task.Settings
    for heading, model in sections.items():
        section = _section(page, heading)
        for name, field in model.model_fields.items():  # type: ignore[union-attr]
            assert f"| `{name}` |" in section, f"{heading} {name} is missing"
            assert field.description, f"{heading} {name} has no description"


def test_every_variable_is_explained() -> None:
    section = _section(_page("settings.md"), "Environment")
    for name, field in Settings.model_fields.items():
        assert f"| `FEILUN_{name.upper()}` |" in section
        assert field.description


def test_no_variable_is_read_in_secret() -> None:
    """Every FEILUN_ name in the source is one of the settings."""
    known = {f"FEILUN_{name.upper()}" for name in Settings.model_fields}
    for file in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"\bFEILUN_[A-Z]+\b", file.read_text("utf-8")):
            assert name in known, f"{file.name} reads {name}"


def test_every_command_is_explained(reference: ModuleType) -> None:
    from reference_pages.commands import commands, examples

    page = _page("commands.md")
    functions = command_functions()
    for words, command in commands().items():
        section = _section(page, words)
        assert command.help, f"{words} has no help"
        lines = examples()["commands"].get(words, {}).get("lines")
        assert lines, f"{words} has no example in scripts/reference_pages/examples.toml"
        for param in command.params:
            assert param.help, f"{words}: {param.name} has no help"
            for option in param.opts:
                shared = option in ("--workspace", "--project", "--json", "--debug")
                shown = option if option.startswith("-") else option.upper()
                assert shared or shown in section, f"{words}: {shown} is missing"
        for code in re.findall(r"typer\.Exit\((\d+)\)", inspect.getsource(functions[words])):
            told = examples()["commands"][words].get("exits_en", "")
            assert code in told, f"{words} ends with {code}, which its page does not say"
    assert set(examples()["commands"]) == set(commands()), "an example of no command"


def test_every_route_is_explained(reference: ModuleType) -> None:
    from reference_pages.commands import examples
    from reference_pages.routes import document

    page = _page("routes.md")
    titles = set()
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            titles.add(f"{method.upper()} {path}")
            section = _section(page, f"{method.upper()} {path}")
            assert operation.get("description"), f"{path} has no description"
            for one in operation.get("parameters", ()):
                assert f"`{one['name']}`" in section
    assert set(examples()["routes"]) <= titles, "an example of no route"


def test_every_error_is_explained(reference: ModuleType) -> None:
    from reference_pages.errors import families, raised

    page = _page("errors.md")
    for name, cls in families().items():
        assert f"| `{name}` |" in page
        assert cls.__doc__
    for name in errors.__all__:
        assert f"| `{name}` |" in page
    assert len(raised()) > 100
    for key in raised():
        assert f"| `{key}` |" in page, f"{key} is missing"


def test_every_task_has_its_page() -> None:
    page = _page("tasks.md")
    for name in registry.names("tasks"):
        assert f"`{name}`" in _section(page, name) or name in _section(page, name)


def test_settings_have_chinese_words(reference: ModuleType) -> None:
    """They are kept by their English description, so that a changed one is looked at again."""
    from reference_pages.settings import all_settings

    from feilun.project.housekeeping import chinese_settings

    known = set(all_settings().values())
    where = "src/feilun/project/settings_zh.toml"
    missing, unused = known - set(chinese_settings()), set(chinese_settings()) - known
    assert not missing, f"{where} lacks the Chinese of: {sorted(missing)}"
    assert not unused, f"{where} translates what no setting says: {sorted(unused)}"


def test_the_generator_can_be_asked_for_one_page(
    reference: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main(["--print", "tasks"]) == 0
    assert capsys.readouterr().out == _page("tasks.md")
    assert "reference" in sys.modules
