"""Languages by the names that people and files have for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["NAMES", "code_of", "is_language", "pick"]

_WORDS = {
    "en": ("english", "eng", "英文", "英语"),
    "zh": ("chinese", "zho", "chi", "cmn", "cn", "中文", "汉语", "简体中文", "繁体中文", "简体"),
    "ja": ("japanese", "jpn", "jp", "日文", "日语"),
    "ko": ("korean", "kor", "kr", "韩文", "韩语"),
    "de": ("german", "deu", "ger", "deutsch", "德文", "德语"),
    "fr": ("french", "fra", "fre", "français", "法文", "法语"),
    "es": ("spanish", "spa", "español", "西班牙文", "西班牙语"),
    "pt": ("portuguese", "por", "葡萄牙文", "葡萄牙语"),
    "it": ("italian", "ita", "意大利文", "意大利语"),
    "ru": ("russian", "rus", "俄文", "俄语"),
    "nl": ("dutch", "nld", "荷兰文", "荷兰语"),
    "pl": ("polish", "pol", "波兰文", "波兰语"),
    "tr": ("turkish", "tur", "土耳其文", "土耳其语"),
    "ar": ("arabic", "ara", "阿拉伯文", "阿拉伯语"),
    "vi": ("vietnamese", "vie", "越南文", "越南语"),
    "th": ("thai", "tha", "泰文", "泰语"),
    "ms": ("malay", "msa", "马来文", "马来语"),
    "hi": ("hindi", "hin", "印地文", "印地语"),
    "uk": ("ukrainian", "ukr", "乌克兰文", "乌克兰语"),
    "cs": ("czech", "ces", "捷克文", "捷克语"),
    "sv": ("swedish", "swe", "瑞典文", "瑞典语"),
    "fi": ("finnish", "fin", "芬兰文", "芬兰语"),
    "hu": ("hungarian", "hun", "匈牙利文", "匈牙利语"),
    "el": ("greek", "ell", "希腊文", "希腊语"),
    "he": ("hebrew", "heb", "希伯来文", "希伯来语"),
    "ro": ("romanian", "ron", "罗马尼亚文", "罗马尼亚语"),
    "da": ("danish", "dan", "丹麦文", "丹麦语"),
    "la": ("latin", "lat", "拉丁文", "拉丁语"),
}
_CODES = {word: code for code, words in _WORDS.items() for word in (code, *words)}
_TAG = re.compile(r"([a-z]{2,3})(?:[-_.@][A-Za-z0-9.@_-]*)?", re.IGNORECASE)

_TAGS = ("en-us", "en_us", "en-gb", "en_gb", "zh-cn", "zh_cn", "zh-hans", "zh-tw", "zh_tw")
NAMES = tuple(word for code in ("en", "zh") for word in (code, *_WORDS[code])) + _TAGS
"""The usual names of the two languages that most files here hold."""


def code_of(name: str) -> str | None:
    """The ISO 639-1 code of a language's name or tag (``zh``, ``zh-CN``, ``Chinese``, ``中文``).
    None for what is none."""
    plain = name.strip().casefold()
    found = _CODES.get(plain)
    if found is None and (tag := _TAG.fullmatch(plain)):
        found = _CODES.get(tag.group(1))
    return found


def is_language(name: Any) -> bool:
    """Whether something is the name of a language."""
    return isinstance(name, str) and code_of(name) is not None


def pick(names: Sequence[str], source: str, target: str) -> tuple[str | None, str | None]:
    """Which of `names` (of languages) are the source and the target: those asked for, else the
    first two that are left, in their order. None where there is none."""

    def wanted(language: str) -> str | None:
        plain, code = language.strip().casefold(), code_of(language)
        exact = next((one for one in names if one.strip().casefold() == plain), None)
        return exact or next((one for one in names if code and code_of(one) == code), None)

    first = wanted(source) if source else None
    second = wanted(target) if target else None
    if not source:
        first = next((one for one in names if one != second), None)
    if not target:
        second = next((one for one in names if one != first), None)
    return first, second
