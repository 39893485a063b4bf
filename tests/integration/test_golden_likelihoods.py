"""A variant whose template or tokenizer is not what the weights were trained with does not go
live: reference answers are less, or more, likely to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feilun.compression.exporters import gguf
from feilun.engines.card import Card, write_card
from feilun.errors import Refused
from feilun.modalities.language.causal import PromptProcessor
from feilun.project import Project, Workspace
from feilun.types import Schema
from helpers.llama import SHOP, write_causal

LIMIT = 0.02  # nats a token, as the guide has it


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("shop", task="chat")
        project.add([{"question": question, "answer": answer} for question, answer in SHOP])
        yield project


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_causal(
        tmp_path_factory.mktemp("trained") / "x", initializer_range=0.3, tie_word_embeddings=False
    )
    PromptProcessor.read(folder, 256).save(folder)
    write_card(folder, Card("causal", Schema("chat", (), {}), "full", extra={"longest": 8}))
    return folder


def _version(shop: Project, trained: Path, template: str | None) -> str:
    """A version whose one variant is read with `template`; None: the trained one."""
    store = shop.workspace.store
    weights, variant = store.artifacts.new(), store.artifacts.new()
    for file in trained.iterdir():
        (weights / file.name).write_bytes(file.read_bytes())
    gguf.write(trained, variant / gguf.FILE, "f16", [2])
    PromptProcessor.read(trained, 256).save(variant)
    file = variant / "chat_template.jinja"
    if template is not None:
        file.write_text(template, "utf-8")
    card = Card("causal", Schema("chat", (), {}), "full", extra={"longest": 8})
    write_card(variant, replace(card, format=gguf.FORMAT, precision="f16"))
    data = store.catalog.latest_data("shop")
    assert data is not None
    made = store.catalog.add_model_version(
        "shop",
        "full",
        data_version=data.id,
        weights=store.publish(weights, "weights").ref,
        variant="f16",
        variants={"f16": {"artifact": store.publish(variant, "variant").ref}},
    )
    return made.id


def test_a_variant_that_reads_otherwise_than_it_was_trained_is_refused(
    shop: Project, trained: Path
) -> None:
    catalog = shop.workspace.store.catalog
    sound = _version(shop, trained, None)
    shop.deploy(sound, force=True, reason="nothing judges it here")
    assert shop.live is not None
    assert shop.live.id == sound
    assert catalog.model_version(sound).metrics["golden"]["nats_per_token"] <= LIMIT

    told = (trained / "chat_template.jinja").read_text("utf-8")
    lost = _version(shop, trained, told.replace("<|im_start|>", "<|endoftext|>"))
    with pytest.raises(Refused) as raised:
        shop.deploy(lost, force=True, reason="nothing judges it here")
    assert shop.live is not None
    assert shop.live.id == sound, "it goes on answering"
    refused = catalog.model_version(lost)
    assert refused.state == "refused"
    golden = refused.metrics["golden"]
    assert golden["nats_per_token"] > LIMIT
    assert golden["equal"] == golden["total"], "the serving path answers like the variant itself"
    assert refused.reason == raised.value.message("en")
    for lang in ("en", "zh"):
        assert f"{golden['nats_per_token']} nat" in raised.value.message(lang)
        assert f"{LIMIT}" in raised.value.message(lang)
