"""Sentences of the report in both languages at once; the style sheet shows one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from feilun.messages import LANGUAGES, Language
from feilun.render.wording import fill

__all__ = ["both", "say", "spoken"]

_TAGS = {"en": "en", "zh": "zh-Hans"}


def both(speak: Callable[[Language], str]) -> Markup:
    """What `speak` says in each language, side by side; once where the languages agree."""
    said = {lang: speak(lang) for lang in LANGUAGES}
    if len(set(said.values())) == 1:
        return escape(said[LANGUAGES[0]])
    return Markup("").join(
        Markup('<span class="{}" lang="{}">{}</span>').format(lang, _TAGS[lang], text)
        for lang, text in said.items()
    )


def say(code: str, **params: Any) -> Markup:
    """The sentence `code`, figures as `wording.fill` says them."""
    return both(lambda lang: fill(code, params, lang))


def spoken(code: str, **params: Any) -> dict[str, str]:
    """The sentence `code` by language, for texts inside a drawing."""
    return {lang: fill(code, params, lang) for lang in LANGUAGES}
