# /// script
# dependencies = ["bentoml>=1.4", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier as a BentoML service, as "Hello world" and the page on adaptive batching say.
Settings: WORKERS processes, THREADS of torch in each, BATCH 1 or the most that a batch may hold."""

from __future__ import annotations

import os
import sys
from typing import Any

import bentoml
import torch
from transformers import pipeline

BATCH = int(os.environ["BATCH"])


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 60})
class Classifier:
    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["THREADS"]))
        self.classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")

    if BATCH > 1:

        @bentoml.api(route="/v1/predict", batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
        def predict(self, inputs: list[str]) -> list[dict[str, Any]]:
            return self.classify(inputs, batch_size=BATCH)  # type: ignore[no-any-return]

    else:

        @bentoml.api(route="/v1/predict")
        def predict(self, inputs: str) -> list[dict[str, Any]]:
            return self.classify(inputs)  # type: ignore[no-any-return]


if __name__ == "__main__":
    words = ["-m", "bentoml", "serve", "bentoml_torch:Classifier"]
    words += ["--host", "127.0.0.1", "--port", os.environ["PORT"]]
    os.execv(sys.executable, [sys.executable, *words])
