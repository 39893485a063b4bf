"""Texts in two languages, and copies of them with one small change."""

from __future__ import annotations

import random

__all__ = ["CHANGES", "change", "decoy", "sentences"]

_WORDS = {
    "en": """
arrive bread bright broken buy carton cheap coffee cold come crisp deliver early empty enough
family favour flavour fresh friend gift glass good great green happy heavy honest kitchen large
late leaf lemon light little lovely market money month morning mother never olive open order
packet paper pepper perfect plain plate polite pretty price quick quiet ready rather really
return salt sauce season seller shelf simple slow smell soft sour spoon stale strong sugar
summer sweet table taste tender thank think tired tomato under value warm waste water week
""",
    "zh": """
包装 味道 价格 物流 客服 质量 新鲜 便宜 满意 失望 推荐 朋友 孩子 家里 早上 晚上 已经 非常
觉得 下次 一定 不会 再来 购买 收到 东西 颜色 大小 合适 有点 实在 态度 热情 房间 干净 安静
位置 方便 早餐 丰富 设施 陈旧 隔音 很差 前台 服务 周到 屏幕 清晰 电池 耐用 键盘 手感 舒服
内容 精彩 作者 文字 细腻 故事 无聊 翻译 生硬 印刷 模糊 值得 收藏 退货 麻烦 速度 真快 口感
""",
}


def sentences(count: int, lang: str, words: int, seed: int = 0) -> list[str]:
    """Different texts of about `words` words each, as one writes: with marks between."""
    draw = random.Random(f"{lang}{words}{seed}")
    known = _WORDS[lang].split()
    found: dict[str, None] = {}
    while len(found) < count:
        drawn = draw.choices(known, k=words)
        if lang == "zh":
            text = "".join(w + ("，" if i % 3 == 2 else "") for i, w in enumerate(drawn)) + "。"
        else:
            text = " ".join(w + ("," if i % 4 == 3 else "") for i, w in enumerate(drawn)) + "."
        found[text] = None
    return list(found)


CHANGES = ("changed", "added", "removed", "marks", "width", "case", "space")


def change(text: str, kind: str, draw: random.Random) -> str:
    """`text` with one small change of this kind; never the same text."""
    letters = [i for i, c in enumerate(text) if c.isalpha()]
    at = draw.choice(letters[1:])  # space before the first would be no change
    letter = draw.choice([text[i] for i in letters if text[i] != text[at]])
    if kind == "changed":
        return text[:at] + letter + text[at + 1 :]
    if kind == "added":
        return text[:at] + letter + text[at:]
    if kind == "removed":
        return text[:at] + text[at + 1 :]
    if kind == "marks":
        return text.replace("，", "").replace(",", "!!")[:-1] + "～…"
    if kind == "width" and text.isascii():
        return text.translate({0x20: 0x3000, **{c: c + 0xFEE0 for c in range(0x21, 0x7F)}})
    if kind == "width":
        return text.replace("，", ",").replace("。", ".")
    if kind == "case" and text.upper() != text:
        return text.upper()
    return text[:at] + "  " + text[at:]


def decoy(text: str, other: str) -> str:
    """A text that begins like one and ends like another."""
    cut = 2 * len(text) // 3
    return text[:cut] + other[cut:]
