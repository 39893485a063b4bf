"""Questions about real documents, feilun's own guides in English and in Chinese: how often the
right passage is found, what the answers are worth, and whether their citation supports them.

    python -m benchmarks.tasks.documents [--base NAME_OR_FOLDER] [--json FILE]

The questions were written by hand in other words than the guides use, each with the words that a
right answer holds, and its guide. None of them teaches: every figure is of documents alone. What
nobody can answer from the guides is asked too (`OTHERS`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from feilun.config import Settings
from feilun.data.reading import read
from feilun.data.sources import Source
from feilun.engines.base import open_engine
from feilun.families.answers import ANSWERS, Right, written
from feilun.families.answers import Source as Stands
from feilun.metrics.comparison import scores
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import bases
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Schema

TASK = "question-answering"
GUIDES = Path(__file__).parents[2] / "docs" / "guides"

Question = tuple[str, str, str]
"""What is asked, what a right answer holds, and its guide without its ending; none where several
guides say it in the same words."""

QUESTIONS: dict[str, tuple[Question, ...]] = {
    "en": (
        ("How many inputs may one call carry?", "512", "serving"),
        ("What is the upper limit of inputs with explanations in a single call?", "16", ""),
        ("Do I see the whole key again later?", "this once", "serving"),
        ("Does revoking a key need a restart?", "without a restart", "serving"),
        ("How do I go back to the previous version?", "feilun rollback", ""),
        ("Which error tells me that nothing is live?", "serving.nothing_live", "serving"),
        ("What should I do on error 500?", "request_id", ""),
        ("Which address tells that the process is alive?", "/healthz", "serving"),
        ("Which command lists waiting corrections?", "feilun status", "feedback"),
        ("How many corrections does an update wait for?", "20", "feedback"),
        ("How many rows does a new label need?", "10", "feedback"),
        ("Whose word counts more, reviewer or customer?", "reviewer", "feedback"),
        ("How do I update every night at two?", 'schedule = "0 2 * * *"', "feedback"),
        ("Do corrections judge a version?", "judge nothing", "feedback"),
        ("How are rows divided by default?", "80 : 10 : 10", "data"),
        ("Where are unusable rows written?", "bad_rows.jsonl", ""),
        ("Which encodings are found out?", "GB18030", "data"),
        ("How do I bring a test set of my own?", "--split test", "data"),
        ("How large may a fetched web page be?", "5 MB", "data"),
        ("Which method counts shared words in search?", "bm25", "search"),
        ("How many pairs does contrastive training need?", "100 pairs", "search"),
        ("How many documents may be sent to rerank?", "1,000 documents", "search"),
        ("Which base model should I take for Chinese search?", "multilingual-e5-small", ""),
        ("What does a refused search cost?", "costs nothing", "search"),
        ("How long may a document of the catalogue be?", "million characters", "search"),
        ("How does a package offer a new task to feilun?", "entry point", "write-a-task"),
        ("How many examples does a task have to bring?", "three examples", "write-a-task"),
        ("Which class extends a task that reads a picture?", "PictureTask", "write-a-task"),
        ("Which three classes make a family?", "Measured", "write-a-task"),
        ("Which file of a version is its card?", "feilun.json", "write-a-task"),
    ),
    "zh": (
        ("一次调用最多能放多少条输入？", "512", "serving"),
        ("带解释的调用一次最多几条？", "16 条", "serving"),
        ("密钥以后还能完整看到吗？", "只在这一次显示", "serving"),
        ("吊销密钥要不要重启服务器？", "无需重启", "serving"),
        ("怎么退回上一个版本？", "feilun rollback", ""),
        ("看到 401 该做什么？", "Authorization", "serving"),
        ("负载均衡用哪个地址判断进程还活着？", "/healthz", "serving"),
        ("丢了密钥怎么办？", "吊销后重建", "serving"),
        ("改了价格什么时候开始算？", "下次启动服务", "serving"),
        ("强制上线要写什么？", "原因", "serving"),
        ("导出的文件夹要装 torch 吗？", "不需要 torch", "serving"),
        ("更新要等多少条更正？", "20 条", "feedback"),
        ("新标签要多少行才加入模型？", "10", "feedback"),
        ("审阅者和客户谁优先？", "审阅者优先于客户", "feedback"),
        ("更正会参与评判吗？", "不参与评判", "feedback"),
        ("怎么在凌晨自动更新？", "0 2 * * *", "feedback"),
        ("审阅时按哪个键跳过？", "s", "feedback"),
        ("数据默认按什么比例划分？", "80 : 10 : 10", "data"),
        ("不能用的行写到哪里？", "bad_rows.jsonl", ""),
        ("能识别哪些编码？", "GB18030", "data"),
        ("Excel 读哪个工作表？", "第一个工作表", "data"),
        ("怎么自带测试集？", "--split test", "data"),
        ("检索时统计共同用词的是哪个方法？", "bm25", "search"),
        ("对比学习要多少对数据？", "100", "search"),
        ("重排一次最多带多少篇文档？", "1,000 篇", "search"),
        ("中文检索用什么基础模型？", "multilingual-e5-small", ""),
        ("被拒绝的检索要付钱吗？", "不收费", "search"),
        ("目录里的文档最长多少字符？", "一百万", "search"),
    ),
}
OTHERS = {
    "en": (
        "Who won the football world cup in 1998?", "How do I bake sourdough bread?",
        "What is the capital of Mongolia?", "When was the Eiffel Tower opened?",
        "Which vitamins are in broccoli?", "How tall is Mount Kilimanjaro?",
    ),
    "zh": (
        "谁写了《红楼梦》？", "怎样烤面包？", "蒙古国的首都是哪里？", "长江有多长？",
        "西兰花含有哪些维生素？", "埃菲尔铁塔什么时候建成？",
    ),
}  # fmt: skip


def documents(lang: str, folder: Path) -> Path:
    """The guides in `lang` as a folder of their own."""
    folder.mkdir()
    for file in sorted(GUIDES.glob("*.md")):
        if file.name.endswith(".zh-CN.md") == (lang == "zh"):
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def measured(lang: str, name: str, base: Path | None, work: Path, **chosen: Any) -> dict[str, Any]:
    """The scores of the method `name`, with settings as `chosen`, on the questions in `lang`."""
    task = tasks.get(TASK)
    data = work / "data"
    with DatasetWriter(data, {"question": "text"}, task.family.stratum) as writer:
        for example in read(Source(documents(lang, work / "docs")), task):
            writer.add(example)
        writer.close(Schema(TASK, (), task.Settings().model_dump()))
    out = work / "out"
    out.mkdir()
    (work / "scratch").mkdir()
    settings = method(name).Settings(**chosen)
    job = TrainJob(
        name, TASK, data, base, out, work / "scratch",
        settings=settings.model_dump(), task_settings=task.Settings().model_dump(), threads=2,
    )  # fmt: skip
    begin = perf_counter()
    method(name).train(job, settings, lambda _: None)
    seconds = perf_counter() - begin
    with closing(open_engine(out)) as engine:
        raw = engine.raw([question for question, *_ in QUESTIONS[lang]])
        others = ANSWERS.decoder(engine.card.schema, engine.card.point)(
            engine.raw(OTHERS[lang]), False
        )
    truth = ANSWERS.truth([_right(lang, one) for one in QUESTIONS[lang]], ())
    point = ANSWERS.neutral()
    found = scores(ANSWERS.measured(truth, raw, (), point))
    shown = {
        metric: [round(value, 3) for value in (score.value, score.low, score.high)]
        for metric, score in found.items()
        if score is not None
    }
    unknown = sum("abstained" in one for one in others) / len(others)
    missed = [
        (question, raw[n].answer[:80], round(raw[n].sure, 2))
        for n, (question, _, _) in enumerate(QUESTIONS[lang])
        if not ANSWERS.measured(truth[n : n + 1], raw[n : n + 1], (), point).hits("contains")[0]  # type: ignore[index]
    ]
    return {
        "method": name, "lang": lang, "questions": len(truth), "seconds": round(seconds, 1),
        "unknown_told": round(unknown, 3), **shown, "missed": missed,
    }  # fmt: skip


def _right(lang: str, question: Question) -> str:
    _, answer, guide = question
    name = f"{guide}{'.zh-CN' if lang == 'zh' else ''}.md"
    return written(Right((answer,), (Stands(name),) if guide else ()))


def _runs(base: Path | None) -> Iterator[tuple[str, str, Path | None]]:
    for lang in QUESTIONS:
        yield lang, "passages", None
        if base is not None:
            yield lang, "hybrid", base


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line of JSON for each method and language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="an encoder that both languages are read by")
    parser.add_argument("--query", default="", help="what stands before a question")
    parser.add_argument("--document", default="", help="what stands before a passage")
    parser.add_argument("--json", type=Path, help="also write the lines there")
    parser.add_argument("--missed", action="store_true", help="show the questions answered wrong")
    options = parser.parse_args(arguments)
    base = bases.resolve(options.base, tasks.get(TASK), Settings()) if options.base else None
    lines = []
    for lang, name, folder in _runs(base if isinstance(base, Path) else None):
        with tempfile.TemporaryDirectory() as work:
            prefixes = {"query_prefix": options.query, "document_prefix": options.document}
            found = measured(lang, name, folder, Path(work), **(prefixes if folder else {}))
        missed = found.pop("missed")
        lines.append(json.dumps(found, ensure_ascii=False))
        sys.stdout.write(lines[-1] + "\n")
        if options.missed:
            sys.stdout.writelines(f"    {one}\n" for one in missed)
        sys.stdout.flush()
    if options.json:
        options.json.write_text("\n".join(lines) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
