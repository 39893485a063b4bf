"""What is made of other versions says which are missing, and how they are trained."""

from __future__ import annotations

import pytest

from feilun.errors import UsageError
from helpers.advice import walks
from helpers.bert import write_bert
from helpers.newcomer import Newcomer
from helpers.rows import write_reviews

pytestmark = pytest.mark.slow


@walks("training.too_few_members.hint", "training.too_few_to_average.hint")
def test_versions_that_are_made_of_others(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    write_bert(folder / "tiny")
    write_reviews(folder / "reviews.csv", 160, noise=0.0)
    newcomer.type("feilun init reviews --base tiny")
    settings = folder / "reviews" / "feilun.toml"
    plain = "\n[evaluation]\nrobustness = false\n[compression]\nvariants = []\n"
    plain += "[training.full]\nepochs = 1\n"
    settings.write_text(settings.read_text("utf-8") + plain, "utf-8")
    newcomer.gets_company()
    newcomer.type("feilun data add reviews.csv")
    newcomer.type("feilun run --method ensemble", code=UsageError.exit_code)
    newcomer.follow("training.too_few_members.hint", code=None)
    newcomer.type("feilun run --method soup", code=UsageError.exit_code)
    newcomer.follow("training.too_few_to_average.hint", code=None)
    newcomer.type("feilun run --method soup", code=None)
