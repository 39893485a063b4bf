"""Public suites in their published formats: what is read, how it is scored beside an independent
computation, and what is said of files that are not of them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card, write_card
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.evaluation import clue, lm_suite
from feilun.project import Project, Workspace
from feilun.types import Schema
from helpers.gguf import tiny_gguf
from helpers.llama import write_causal

ROWS: dict[str, list[dict[str, Any]]] = {
    "hellaswag": [
        {"ind": 1, "activity_label": "Tea", "ctx_a": "A kettle boils.", "ctx_b": "someone",
         "endings": ["pours [step] the tea.", "flies.", "is a lamp, is a lamp.", "oh"], "label": n}
        for n in (0, 2)
    ],
    "arc": [
        {"id": "1", "question": "Where is the lamp made?", "answerKey": "B",
         "choices": {"text": ["In Rome.", "In Portugal."], "label": ["A", "B"]}},
        {"id": "2", "answerKey": "1", "question": {"stem": "How much is the 灯?", "choices": [
            {"text": "99 元", "label": "1"}, {"text": "a chair, two chairs", "label": "2"}]}},
    ],
    "piqa": [{"goal": "Open a jar", "sol1": "Turn it.", "sol2": "Eat it all up.", "label": 1}],
    "winogrande": [
        {"sentence": "The lamp costs more than the kettle as the _ is new.", "answer": "1",
         "option1": "lamp", "option2": "kettle"}
    ],
    "lambada": [{"text": "The lamp costs 25 euros and the kettle"}, {"text": "茶壶卖 99 元 。"}],
}  # fmt: skip


def _write(file: Path, rows: list[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    file.write_text(text + "\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    messages.use("en")
    place = tmp_path_factory.mktemp("lm")
    for name, rows in ROWS.items():
        _write(place / f"{name}_val.jsonl", rows)
    (place / "general.txt").write_text("灯卖 99 元。\n\nThe lamp\ncosts 25 euros.\n", "utf-8")
    _write(place / "other.jsonl", [{"id": 3, "nothing": "of the kind"}])
    return place


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_causal(tmp_path_factory.mktemp("causal") / "m", max_position_embeddings=256)
    write_card(place, Card("causal", Schema("chat", (), {}), "full"))
    return place


@pytest.fixture(scope="module")
def engine(causal: Path) -> Iterator[Engine]:
    opened = open_engine(causal)
    yield opened
    opened.close()


def _independent(folder: Path) -> Callable[[str, str], tuple[float, bool]]:
    """Log-likelihoods by transformers alone, one token after the other."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()

    def of(context: str, text: str) -> tuple[float, bool]:
        while context.endswith(" "):
            context, text = context[:-1], " " + text
        whole = tokenizer(context + text, add_special_tokens=False)["input_ids"]
        read = len(tokenizer(context, add_special_tokens=False)["input_ids"])
        nats, greedy = 0.0, True
        for place in range(read, len(whole)):
            with torch.no_grad():
                logits = model(torch.tensor([whole[:place]])).logits[0, -1].double()
            nats += float(logits[whole[place]] - logits.logsumexp(0))
            greedy = greedy and int(logits.argmax()) == whole[place]
        return nats, greedy

    return of


@pytest.mark.slow
def test_scores_are_those_of_the_published_rules(folder: Path, causal: Path, engine: Any) -> None:
    """The rules of lm-evaluation-harness, written once more by hand for each format."""
    likely = _independent(causal)
    found = {
        name: lm_suite.scores(lm_suite.read(name, file), engine.continued)
        for name, file in lm_suite.task_files(folder)
    }
    assert set(found) == {*ROWS, "texts"}

    def picked(context: str, choices: list[str], by: Callable[[str], int]) -> int:
        return int(np.argmax([likely(context, " " + one)[0] / by(one) for one in choices]))

    lengths: dict[str, Callable[[str], int]] = {
        "acc": lambda text: 1,
        "acc_norm": len,
        "acc_bytes": lambda text: len(text.encode()),
    }
    shown: dict[str, list[tuple[str, list[str], int]]] = {
        "hellaswag": [
            ("Tea: A kettle boils. Someone",
             ["pours the tea.", "flies.", "is a lamp, is a lamp.", "oh"], label)
            for label in (0, 2)
        ],
        "arc": [
            ("Question: Where is the lamp made?\nAnswer:", ["In Rome.", "In Portugal."], 1),
            ("Question: How much is the 灯?\nAnswer:", ["99 元", "a chair, two chairs"], 0),
        ],
        "piqa": [("Question: Open a jar\nAnswer:", ["Turn it.", "Eat it all up."], 1)],
    }  # fmt: skip
    for name, asked in shown.items():
        for metric, by in lengths.items():
            right = [picked(context, choices, by) == label for context, choices, label in asked]
            assert found[name][metric].value == np.mean(right), (name, metric)
    texts = ("灯卖 99 元。", "The lamp\ncosts 25 euros.")
    bits = -sum(likely(engine._processor.end, one)[0] for one in texts) / math.log(2)
    expected = bits / sum(len(one.encode()) for one in texts)
    assert found["texts"]["bits_per_byte"].value == pytest.approx(expected, rel=1e-4)
    before = [f"The lamp costs more than the kettle as the {one}" for one in ("lamp", "kettle")]
    nats = [likely(one, " is new.")[0] for one in before]
    assert found["winogrande"]["acc"].value == float(nats[0] > nats[1])
    last = [likely("The lamp costs 25 euros and the", " kettle"), likely("茶壶卖 99 元", " 。")]
    assert found["lambada"]["acc"].value == np.mean([greedy for _, greedy in last])
    mean = np.mean([one for one, _ in last])
    assert found["lambada"]["perplexity"].value == pytest.approx(math.exp(-mean), rel=1e-4)


def _drawn(count: int = 40) -> dict[str, list[dict[str, Any]]]:
    """Rows of each format, of words drawn by lot."""
    draw = random.Random(5)
    words = [
        "lamp", "kettle", "chair", "tea", "river", "stone", "灯", "茶壶", "椅子", "old", "new",
        "costs", "boils", "flies",
    ]  # fmt: skip

    def text(least: int = 2, most: int = 7) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
    for number in range(count):
        row: dict[str, Any] = {"ind": number, "activity_label": text(1, 2)}
        row |= {"ctx_a": text() + ".", "ctx_b": text(1, 3)}
        mark = "[step]" if number % 3 else "[title]"
        ends = [f"{text()} {mark} {text()}." for _ in range(4)]
        found["hellaswag"].append({**row, "endings": ends, "label": str(draw.randrange(4))})
        row = {"id": str(number), "question": text() + "?"}
        row["choices"] = {"text": [text() for _ in range(4)], "label": list("ABCD")}
        found["arc"].append({**row, "answerKey": draw.choice("ABCD")})
        row = {"goal": text(), "sol1": text(), "sol2": text()}
        found["piqa"].append({**row, "label": draw.randrange(2)})
        row = {"sentence": f"{text()} _ {text()}.", "option1": text(1, 1), "option2": text(1, 1)}
        found["winogrande"].append({**row, "answer": draw.choice("12")})
        found["lambada"].append({"text": text(4, 9)})
    return found


def _lot(context: str, text: str) -> tuple[float, bool]:
    """A likelihood that tells every context and every text from all others."""
    draw = blake2b(f"{context}\0{text}".encode(), digest_size=4).digest()
    part = int.from_bytes(draw, "big") / 2**32
    return -len(text) * (0.5 + part), part < 0.3


def test_scores_equal_those_of_lm_evaluation_harness(tmp_path: Path) -> None:
    """What lm-evaluation-harness 0.4.13 says of these 40 rows a format by its own task files, where
    the same lots take the place of a model: contexts and continuations are equal to the letter. It
    is no dependency, so its figures stand here."""
    rows = _drawn()
    theirs = {
        "hellaswag": {"acc": 0.25, "acc_norm": 0.25},
        "arc": {"acc": 0.2, "acc_norm": 0.175},
        "piqa": {"acc": 0.5, "acc_norm": 0.525},
        "winogrande": {"acc": 0.55},
        "lambada": {"acc": 0.2, "perplexity": 158.76296852956503},
    }
    for name, figures in theirs.items():
        ours = lm_suite.scores(
            lm_suite.read(name, _write(tmp_path / f"{name}.jsonl", rows[name])), _lot
        )
        assert {metric: ours[metric].value for metric in figures} == pytest.approx(figures), name


def test_likelihoods_agree_with_another_computation(causal: Path, engine: Any) -> None:
    likely = _independent(causal)
    for pair in (("The lamp ", "costs 25 euros."), ("灯多少钱？", "灯卖 99 元。")):
        nats, greedy = engine.continued(*pair)
        assert (pytest.approx(nats, abs=1e-3), greedy) == likely(*pair)
    # A likeliest continuation is told as one; the longest context is cut at its beginning.
    nats, _ = engine.continued("lamp " * 400, "costs")
    assert math.isfinite(nats)
    assert math.isfinite(engine.continued("", "The lamp")[0])
    assert engine.continued("The lamp", "") == (0.0, True)


def test_a_file_of_one_model_gives_the_same_likelihoods(tmp_path: Path) -> None:
    """A GGUF file through openvino-genai: the tokens' add up, the most probable one is greedy."""
    from feilun.store.dataset import DatasetWriter
    from feilun.training.job import TrainJob
    from feilun.types import Example
    from helpers.jobs import train

    (tmp_path / "base").mkdir()
    tiny_gguf(tmp_path / "base" / "m.gguf")
    with DatasetWriter(tmp_path / "data", {"prompt": "text"}) as writer:
        for number in range(4):
            writer.add(Example(f"r{number}", f"open {number}", f"{number}", "train"))
        writer.close(Schema("chat", (), {}))
    (tmp_path / "out").mkdir()
    job = TrainJob(
        "prompt", "chat", tmp_path / "data", tmp_path / "base", tmp_path / "out", tmp_path / "s"
    )
    train(job)
    opened: Any = open_engine(tmp_path / "out")
    try:
        one, _ = opened.continued("open", "ab")
        first, _ = opened.continued("open", "a")
        second, _ = opened.continued("opena", "b")
        assert one == pytest.approx(first + second, abs=0.02)
        tokens, _ = opened._asked_of(opened._processor.ids("open"), {"max_new_tokens": 1})
        text = opened._processor.tokenizer.decode(tokens)
        if opened._processor.ids("open" + text) == [*opened._processor.ids("open"), *tokens]:
            assert opened.continued("open", text)[1]
    finally:
        opened.close()


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("hellaswag", {"endings": ["a"], "label": 4, "ctx": "", "activity_label": ""}, "label 4"),
        ("arc", {"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "E"},
         "'E' is not in list"),
        ("winogrande", {"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"},
         "substring"),
        ("lambada", {"text": "word"}, "one word"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(tmp_path: Path, name: str, row: Any, reason: str) -> None:
    file = _write(tmp_path / "a.jsonl", [ROWS[name][0], row])
    with pytest.raises(InvalidData, match="row 2") as raised:
        lm_suite.read(name, file)
    assert reason in str(raised.value)


def test_files_of_no_suite_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="hellaswag"):
        lm_suite.task_files(tmp_path)
    (tmp_path / "a.jsonl").write_text("{broken", "utf-8")
    with pytest.raises(InvalidData, match=r"a\.jsonl"):
        lm_suite.task_files(tmp_path)


# CLUE


def _pairs(count: int) -> list[dict[str, Any]]:
    words = ("花呗", "借呗", "余额", "账单")
    return [
        {
            "sentence1": f"{words[n % 4]}怎么还款{n}",
            "sentence2": f"{words[(n + n // 4 % 2) % 4]}如何还款{n}",
            "label": str(1 - n // 4 % 2),
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clue")
    pairs, news = _pairs(64), []
    for n in range(64):
        word, code = (("足球比赛", "103"), ("股票基金", "104"))[n % 2]
        news.append(
            {"label": code, "label_desc": "x", "sentence": f"{word}第{n}场", "keywords": ""}
        )
    app = [{"label": one["label"], "label_des": "x", "sentence": one["sentence"]} for one in news]
    nli = [{**one, "label": ("neutral", "entailment")[int(one["label"])]} for one in pairs]
    nli.append({"sentence1": "a", "sentence2": "b", "label": "-"})
    wsc = [
        {"target": {"span1_index": 0, "span1_text": "小猫", "span2_index": 6, "span2_text": "它"},
         "idx": n, "label": ("true", "false")[n % 2], "text": f"小猫说小狗，它饿了{n}。"}
        for n in range(64)
    ]  # fmt: skip
    csl = [
        {"id": n, "abst": f"本文研究{('图像', '文本')[n % 2]}识别{n}", "keyword": ["图像", "识别"],
         "label": str(1 - n % 2)}
        for n in range(64)
    ]  # fmt: skip
    folders = {
        "afqmc_public": pairs, "tnews_public": news, "iflytek_public": app, "CMNLI": nli,
        "CLUEWSC2020": wsc, "csl_public": csl,
    }  # fmt: skip
    for name, rows in folders.items():
        _write(place / name / "train.json", rows[:48])
        _write(place / name / "dev.json", rows[48:])
        _write(place / name / "test.json", [{"id": 1, "sentence1": "没有标签"}])
    c3 = [
        [[f"男：我喜欢{drink}。", f"女：第{n}天。"],
         [{"question": "男的喜欢什么？", "choice": ["茶", "咖啡", "水"], "answer": drink}], str(n)]
        for n in range(24)
        for drink in (("茶", "咖啡", "水")[n % 3],)
    ]  # fmt: skip
    for part, rows in (("train", c3[:18]), ("dev", c3[18:])):
        file = place / "c3_public" / f"d-{part}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    for part, numbers in (("train", range(12)), ("dev", range(12, 18))):
        paragraphs = [
            {
                "id": f"P{n}",
                "context": f"第{n}号茶园建于一九{n + 50}年，产绿茶。",
                "qas": [
                    {
                        "id": f"Q{n}",
                        "question": f"第{n}号茶园建于哪一年？",
                        "answers": [{"text": f"一九{n + 50}年", "answer_start": 0}],
                    }
                ],
            }
            for n in numbers
        ]
        data = {"version": "v1.0", "data": [{"id": part, "title": "茶", "paragraphs": paragraphs}]}
        file = place / "cmrc2018_public" / f"{part}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    return place


def test_each_task_of_clue_becomes_rows(published: Path) -> None:
    places = clue.found_in(published)
    assert set(places) == set(clue.TASKS)
    counts = {name: len(clue.read(clue.TASKS[name], dev)) for name, (_, dev) in places.items()}
    assert counts == {
        "AFQMC": 16, "TNEWS": 16, "IFLYTEK": 16, "CMNLI": 16, "WSC": 16, "CSL": 16, "C3": 18,
        "CMRC2018": 6,
    }  # fmt: skip
    (row, *_) = clue.read(clue.TASKS["WSC"], places["WSC"][1])
    assert (row["text"], row["other"]) == ("小猫说小狗，[它]饿了48。", "小猫")
    (row, *_) = clue.read(clue.TASKS["CSL"], places["CSL"][1])
    assert row["other"] == "图像；识别"
    rows = clue.read(clue.TASKS["C3"], places["C3"][1])
    assert [one["label"] for one in rows[:3]].count("1") == 1
    assert len({one["group"] for one in rows}) == 6
    (row, *_) = clue.read(clue.TASKS["CMRC2018"], places["CMRC2018"][1])
    assert (row["answers"], row["document"]) == (["一九62年"], "dev-P12")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    with Workspace(tmp_path_factory.mktemp("w")) as workspace:
        yield workspace.init("any", task="text-classification")


@pytest.mark.slow
def test_clue_is_trained_and_judged_by_its_dev_files(
    project: Project, published: Path, tmp_path: Path
) -> None:
    for name in ("tnews_public", "c3_public", "cmrc2018_public"):
        (tmp_path / name).symlink_to(published / name)

    found = project.suite("clue", tmp_path)
    by_name = {one["name"]: one for one in found.tasks}
    assert {name: one["rows"] for name, one in by_name.items()} == {
        "TNEWS": 16, "C3": 6, "CMRC2018": 6,
    }  # fmt: skip
    assert by_name["TNEWS"]["metrics"]["accuracy"]["value"] == 1.0
    assert by_name["CMRC2018"]["metrics"]["f1"]["value"] > 0.3
    assert by_name["C3"]["method"] == "linear"
    assert [one.id for one in project.models()] == [], "nothing of it is kept"


def test_what_is_no_suite_is_told(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="clue"):
        project.suite("glue", tmp_path)
    with pytest.raises(UsageError, match="--data"):
        project.suite("clue", None)
    with pytest.raises(NotFound, match="nowhere"):
        project.suite("clue", tmp_path / "nowhere")
    with pytest.raises(InvalidData, match="AFQMC"):
        project.suite("clue", tmp_path)
    _write(tmp_path / "afqmc" / "train.json", _pairs(3))
    with pytest.raises(InvalidData, match=r"dev\.json"):
        project.suite("clue", tmp_path)
    _write(tmp_path / "afqmc" / "dev.json", [{"label": "0", "sentence1": "没有另一句"}])
    with pytest.raises(InvalidData, match="sentence2"):
        project.suite("clue", tmp_path)
