"""What every training method promises. The suite runs over all that are found, so that a new method
is tested before its author writes a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun import messages, registry
from feilun.messages import LANGUAGES
from feilun.render.wording import method_name
from feilun.tasks import base as tasks
from feilun.training.settings import MethodSettings, method, methods

PAGES = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(params=methods())
def name(request: pytest.FixtureRequest) -> str:
    """Each method in turn."""
    found: str = request.param
    return found


def test_it_says_what_it_can_learn_and_why_not_the_rest(name: str) -> None:
    """Of every task either nothing is in the way, or a sentence in each language says what is."""
    one = method(name)
    learns = []
    for about in tasks.names():
        said = {}
        for lang in LANGUAGES:
            messages.use(lang)
            said[lang] = one.supports(tasks.get(about), None)
        messages.use("en")
        if said["en"] is None:
            assert said["zh"] is None
            learns.append(about)
            continue
        assert said["zh"] is not None
        assert len(said["en"]) > 20, said["en"]
        assert any("一" <= letter <= "鿿" for letter in said["zh"]), said["zh"]
        assert " - " not in said["en"], "a figure that is missing"
    assert learns, "no task is learnt by it"


def test_it_has_settings_words_and_a_page(name: str) -> None:
    one = method(name)
    assert issubclass(one.Settings, MethodSettings)
    one.Settings()  # all have defaults
    assert all(field.description for field in one.Settings.model_fields.values())
    assert one.order >= 0
    assert one.least_rows >= 0
    assert {type(one.needs_base), type(one.needs_torch)} == {bool}
    assert (registry.load("methods", name).__doc__ or "").strip()
    for lang in LANGUAGES:
        assert messages.has(f"evaluation.method_{name}"), "its name in words is missing"
        assert method_name(name, lang)
        page = PAGES / ("" if lang == "en" else lang)
        assert f"\n### {name}\n" in (page / "methods.md").read_text("utf-8")
        assert f"\n## `[training.{name}]`" in (page / "settings.md").read_text("utf-8")
