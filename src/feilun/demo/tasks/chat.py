"""What customers of a small shop ask, and what it answers: prices, delivery, sizes, weights,
origin, colours and guarantees of its articles, each asked in several ways. The shop is made up: no
package holds questions of customers with their answers."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from feilun.demo.sample import Sample, divided

__all__ = ["shop", "write"]

_ARTICLES = {
    "en": (
        "kettle", "desk lamp", "armchair", "wool scarf", "rucksack", "teapot", "blanket", "mirror",
        "alarm clock", "bicycle helmet", "notebook", "umbrella", "writing desk", "bookshelf",
        "candle", "pillow", "toaster", "vase", "carpet", "coat rack", "garden hose", "hammock",
        "picnic basket", "chess set", "fountain pen", "bread knife", "flower pot", "door mat",
    ),
    "zh": (
        "水壶", "台灯", "扶手椅", "羊毛围巾", "背包", "茶壶", "毛毯", "镜子", "闹钟", "自行车头盔",
        "笔记本", "雨伞", "书桌", "书架", "蜡烛", "枕头", "烤面包机", "花瓶", "地毯", "衣帽架",
        "浇水软管", "吊床", "野餐篮", "象棋", "钢笔", "面包刀", "花盆", "门垫",
    ),
}  # fmt: skip
_FACTS = {
    "en": {
        "The {article} costs {number} euros.": (
            "How much is the {article}?", "What does the {article} cost?",
            "Price of the {article}, please.", "what do you want for the {article}",
            "Is the {article} expensive?", "tell me the price of your {article}",
        ),
        "The {article} arrives within {days} days.": (
            "How long does delivery of the {article} take?", "When will my {article} arrive?",
            "how many days until the {article} is here", "Do you deliver the {article} quickly?",
            "If I order the {article} today, when does it come?", "delivery time {article}?",
        ),
        "The {article} is {size} centimetres wide.": (
            "How wide is the {article}?", "What size is the {article}?",
            "dimensions of the {article}", "How big is your {article}?",
            "Does the {article} fit into a narrow corner? How wide is it?", "{article} width",
        ),
        "You have a guarantee of {years} years on the {article}.": (
            "How long is the guarantee on the {article}?", "Is there a warranty for the {article}?",
            "What if the {article} breaks after a year?", "guarantee {article}",
            "Do I get a new {article} when mine breaks?",
            "How many years of guarantee has the {article}?",
        ),
        "The {article} weighs {weight} grams.": (
            "How heavy is the {article}?", "What does the {article} weigh?",
            "weight of the {article}", "How many grams does the {article} weigh?",
            "Is the {article} heavy to carry?", "{article} weight in grams",
        ),
        "The {article} is made in {country}.": (
            "Where is the {article} made?", "In which country is the {article} made?",
            "Where does the {article} come from?", "country of origin of the {article}",
            "Who makes the {article}, and where?", "{article} made in?",
        ),
        "We have the {article} in {colour}.": (
            "Which colour is the {article}?", "What colours do you have the {article} in?",
            "colour of the {article}", "Do you have the {article} in another colour?",
            "In which colour do you have the {article}?", "{article} colours",
        ),
    },
    "zh": {
        "{article}的价格是 {number} 元。": (
            "{article}多少钱？", "请问{article}的价格是多少？", "{article}卖多少钱",
            "{article}贵不贵？",
            "我想知道{article}的售价", "买一个{article}要花多少钱",
        ),
        "{article}在 {days} 天内送达。": (
            "{article}几天能到？", "买{article}要等多久？", "{article}什么时候送到",
            "今天订{article}哪天到",
            "{article}配送快吗？", "{article}的发货时间",
        ),
        "{article}宽 {size} 厘米。": (
            "{article}有多宽？", "{article}是什么尺寸？", "请问{article}多大", "{article}的宽度",
            "{article}放得进窄角落吗？有多宽？", "{article}的规格尺寸",
        ),
        "{article}保修 {years} 年。": (
            "{article}保修多久？", "{article}有质保吗？", "{article}用一年坏了怎么办",
            "{article}的保修期",
            "{article}坏了能换新的吗", "{article}质保几年",
        ),
        "{article}重 {weight} 克。": (
            "{article}有多重？", "{article}重多少克？",
            "请问{article}的重量是多少", "{article}重不重",
            "{article}的重量", "{article}拿起来重吗",
        ),
        "{article}产自{country}。": (
            "{article}产自哪里？", "{article}的产地是哪里",
            "{article}是哪个国家产的", "请问{article}产地",
            "{article}是哪里产的？", "{article}产自哪个国家",
        ),
        "{article}有{colour}的。": (
            "{article}有什么颜色？", "{article}是什么颜色的",
            "{article}的颜色", "请问{article}有哪些颜色",
            "{article}有别的颜色吗", "{article}有几种颜色",
        ),
    },
}  # fmt: skip
_WORDS = {
    "en": (("Portugal", "Italy", "Japan", "Poland"), ("red", "blue", "green", "grey")),
    "zh": (("葡萄牙", "意大利", "日本", "波兰"), ("红色", "蓝色", "绿色", "灰色")),
}
_FIRST, _NEW = 10, 3
"""Articles that the shop begins with, and those that it takes up later."""
_TESTING, _TRAFFIC, _DRAWN = 100, 130, 40
# The memory answers in seconds; the starter is taught where it is in this time, and a small model
# that begins from nothing takes less. That one that was taught nothing of the shop knows nothing of
# it need not be shown; nor an encoder, which learns nothing.
_SETTINGS = {
    "en": """
[training]
time_limit = 3.5
exclude = ["prompt", "hybrid"]

[training.lora]
batch_rows = 4
""",
    "zh": """
[training.full]
augment = "off"
""",
}
_BASES = {"en": None, "zh": "scratch:llama-mini"}
"""No package brings a language model that knows Chinese. A small one that begins from nothing, with
a tokenizer of the rows' own, learns the shop better than the English starter, which writes Chinese
byte by byte (docs/decisions/teaching.md)."""
_PLAN = """
name = "by-token"
currency = "{currency}"

[[rates]]
project = "{name}"
unit = "tokens_in"
tiers = [{{ per_1000 = "{read}" }}]

[[rates]]
project = "{name}"
unit = "tokens_out"
tiers = [{{ per_1000 = "{written}" }}]
"""
_PRICES = {
    "en": {"currency": "EUR", "read": "0.10", "written": "0.40"},
    "zh": {"currency": "CNY", "read": "0.80", "written": "3.20"},
}
_NAMES = {"en": ("shop", "question", "answer"), "zh": ("xiaodian", "问题", "答案")}


def shop(lang: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Each article with what the shop says of it, and the questions that each of that answers."""
    draw = random.Random(0)
    countries, colours = _WORDS[lang]
    for article in _ARTICLES[lang]:
        facts = {
            "article": article,
            "number": draw.randrange(5, 300),
            "days": draw.randrange(2, 15),
            "size": draw.randrange(10, 200),
            "years": draw.randrange(2, 9),
            "weight": 10 * draw.randrange(3, 900),
            "country": draw.choice(countries),
            "colour": draw.choice(colours),
        }
        yield (
            article,
            {
                answer.format(**facts): [question.format(**facts) for question in questions]
                for answer, questions in _FACTS[lang].items()
            },
        )


def write(folder: Path, lang: str) -> Sample:
    """Both files: the first rows are about the articles that the shop begins with, tomorrow's and
    those that judge also about new ones."""
    lang = "zh" if lang == "zh" else "en"
    articles = list(islice(shop(lang), _FIRST + _NEW))
    old, new = (
        [(question, said) for _, facts in part for said, ones in facts.items() for question in ones]
        for part in (articles[:_FIRST], articles[_FIRST:])
    )
    share = len(new) / (_TESTING + _TRAFFIC)
    tests = round(share * _TESTING)
    old_tests, old = divided(old, _TESTING - tests)
    old_asked, old = divided(old, _TRAFFIC - (len(new) - tests))
    new_tests, new_asked = divided(new, tests)
    rows = old + divided(old_asked + new_asked, 0)[1]
    name, question, answer = _NAMES[lang]
    columns = {"messages": question, "label": answer}
    files = folder / f"{name}.csv", folder / "testing.csv"
    for file, part in zip(files, (rows, old_tests + new_tests), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([(question, answer), *part])
    return Sample(
        *files,
        name,
        columns,
        "chat",
        _TRAFFIC,
        _SETTINGS[lang],
        change="demo.articles",
        share=len(new_asked) / _TRAFFIC,
        drawn=_DRAWN,
        base=_BASES[lang],
        plan=_PLAN.format(name=name, **_PRICES[lang]),
    )
