"""A workspace whose live version stands on an encoder and is compressed, as `feilun run` leaves
it."""

from __future__ import annotations

from pathlib import Path

from feilun.compression.convert import convert, processor_of, write_variant
from feilun.engines.card import read_card
from feilun.store.store import Store
from helpers.tiny import head_version

__all__ = ["add_encoder", "torch_vectors"]


def add_encoder(store: Store, scratch: Path, project: str = "words") -> Path:
    """Puts a version of method head live in the new `project`, converted to OpenVINO in float32.
    Returns the folder of the version as training left it."""
    version = head_version(scratch / "version")
    card = read_card(version)
    folder = store.artifacts.new()
    folder.rmdir()
    write_variant(convert(version, card), folder, card, processor_of(version, card), "fp32")
    published = store.publish(folder, "variant").ref
    store.catalog.add_project(project, "text-classification")
    made = store.catalog.add_model_version(project, "head", weights=published)
    store.catalog.set_live(project, made.id)
    return version


def torch_vectors(version: Path, texts: list[str]) -> list[list[float]]:
    """What torch and transformers give, written down the long way: the last layer's mean over the
    real tokens, each text alone, of length one."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    folder = version / "encoder"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    found = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer.encode(text).ids[:64]
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
            mean = hidden.mean(dim=0)
            found.append((mean / mean.norm()).tolist())
    return found
