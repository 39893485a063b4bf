"""The pages of the reference, a file each: ``render(lang)`` gives the text."""

from __future__ import annotations

from importlib import import_module

from feilun.messages import Language

__all__ = ["names", "path", "render"]

_PAGES: dict[str, tuple[Language, ...]] = {
    "index": ("en",),
    "settings": ("en", "zh"),
    "commands": ("en", "zh"),
    "routes": ("en",),
    "errors": ("en",),
    "tasks": ("en",),
    "methods": ("en", "zh"),
    "python": ("en",),
}


def names() -> list[tuple[str, Language]]:
    """Every page with each language it exists in."""
    return [(name, lang) for name, languages in _PAGES.items() for lang in languages]


def path(name: str, lang: Language) -> str:
    """Where the page lies below ``docs/reference``."""
    file = "README.md" if name == "index" else f"{name}.md"
    return file if lang == "en" else f"{lang}/{file}"


def render(name: str, lang: Language) -> str:
    """The text of the page `name`."""
    text: str = import_module(f"reference_pages.{name}").render(lang)
    return text.rstrip("\n") + "\n"
