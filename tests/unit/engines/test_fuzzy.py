"""Similar texts: which is nearest, what of its answer is filled, and how sure that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.engines._index import Index
from feilun.engines.fuzzy import Memory
from feilun.errors import CorruptArtifact

PAIRS = {
    "Delete 3 files?": "要删除 3 个文件吗？",
    "Cannot open “%s”: %m": "无法打开“%s”：%m",
    "Cannot close the window": "无法关闭窗口",
    "Copy {0} to {1}": "将 {0} 复制到 {1}",
    "Moved 5 of 7 items": "7 个项目中已移动 5 个",
    "At most 10 rows": "最多十行",
    "See <a>the manual</a>": "参见手册",
    "Open https://a.org/x now": "立即打开 https://a.org/x",
    "%s": "%s",
}


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory.of(list(PAIRS), list(PAIRS.values()))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Delete 12 files?", "要删除 12 个文件吗？"),
        ("Copy {name} to {folder}", "将 {name} 复制到 {folder}"),
        ("Moved 1 of 20 items", "20 个项目中已移动 1 个"),
        ("Open https://b.cn/?y=1 now", "立即打开 https://b.cn/?y=1"),
        ("Cannot open “%1$s”: %d", "无法打开“%1$s”：%d"),
        ("%(name)s", "%(name)s"),
        ("cannot close THE window", "无法关闭窗口"),
        ("Ｄｅｌｅｔｅ　１２ ｆｉｌｅｓ？", "要删除 12 个文件吗？"),
    ],
)
def test_slots_are_those_of_the_new_text(memory: Memory, text: str, answer: str) -> None:
    found = memory.match(text)
    assert found is not None
    assert (found.text, found.alike) == (answer, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "At most 20 rows",  # the number is written out
        "See <b>the manual</b>",  # its tags are lost
        "See <a>the manual</a>",
        "Delete files?",  # the number would be made up
        "Delete 3 of 4 files?",
        "没有相同的词",
    ],
)
def test_what_cannot_be_filled_is_no_match(memory: Memory, text: str) -> None:
    found = memory.match(text)
    assert found is None or found.alike <= 0.5


def test_the_nearest_text_is_found(memory: Memory) -> None:
    found = memory.match("Cannot open the window")
    assert found is not None
    assert found.text == "无法关闭窗口"
    assert found.alike == pytest.approx(3 / 4)
    place = list(PAIRS).index("Cannot close the window")
    hidden = memory.match("Cannot close the window", hidden=place)
    assert hidden is None or hidden.text != "无法关闭窗口"
    assert memory.known("Cannot close the window") == "无法关闭窗口"
    assert memory.known("Cannot open the window") is None


def test_how_sure_is_measured_on_hidden_texts(tmp_path: Path) -> None:
    """Verbs in common tell more than objects here, so that halves of texts are worth little."""
    verbs = {"open": "打开", "close": "关闭", "delete": "删除", "rename": "重命名"}
    things = {"file": "文件", "window": "窗口", "folder": "文件夹", "page": "页面", "disk": "磁盘"}
    pairs = {
        f"{verb} the {thing} {n}": f"{verbs[verb]}{things[thing]}（{n}）"
        for verb in verbs
        for thing in things
        for n in range(2)
    }
    memory = Memory.of(list(pairs), list(pairs.values()))
    assert memory.sure(0.5) == 0.5  # nothing is measured yet
    assert memory.measured(100, seed=0) == len(pairs)
    assert memory.sure(1.0) == 1.0  # but for numbers they were the same
    memory.write(tmp_path)
    again = Memory.read(tmp_path)
    assert again.match("open the disk 77") == memory.match("open the disk 77")
    assert again.sure(0.7) == memory.sure(0.7)
    (tmp_path / "sure.safetensors").unlink()
    with pytest.raises(CorruptArtifact):
        Memory.read(tmp_path)
    memory.write(tmp_path)
    Index.of(["one"]).write(tmp_path)
    with pytest.raises(CorruptArtifact):
        Memory.read(tmp_path)


def test_a_very_long_text_is_only_looked_up() -> None:
    long = "word " * 3000
    memory = Memory.of([long, "short"], ["长", "短"])
    assert memory.known(long) == "长"
    assert memory.match(long + "more") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Describe: bucket, dark green, 5 litres", "This dark green bucket holds 5 litres."),
        ("描述：风扇，黑色，五档", "这款黑色风扇有五档。"),
        ("Confirm order 7 for Grace Hopper", "Dear Grace Hopper, order 7 is on its way."),
        ("Confirm order 7 for dear", "Dear dear, order 7 is on its way."),
    ],
)
def test_words_that_answers_repeat_are_filled(text: str, answer: str) -> None:
    pairs = {
        "Describe: kettle, blue, 2 litres": "This blue kettle holds 2 litres.",
        "描述：台灯，白色，三档": "这款白色台灯有三档。",
        "Confirm order 1042 for Ada": "Dear Ada, order 1042 is on its way.",
    }
    memory = Memory.of(list(pairs), list(pairs.values()), repeats=True)
    found = memory.match(text)
    assert found is not None
    assert found.text == answer
