# /// script
# dependencies = ["ray[serve]>=2.40", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier as a Ray Serve deployment, as its pages on Hugging Face models and on dynamic
batching say. Settings: WORKERS replicas, THREADS of torch in each, BATCH 1 or the most of one."""

from __future__ import annotations

import os
import time
from typing import Any

from ray import serve
from starlette.requests import Request

BATCH = int(os.environ["BATCH"])
WORKERS, THREADS = int(os.environ["WORKERS"]), int(os.environ["THREADS"])


@serve.deployment(
    num_replicas=WORKERS, ray_actor_options={"num_cpus": 0.4}, max_ongoing_requests=300
)
class Classifier:
    def __init__(self, model: str) -> None:
        import torch
        from transformers import pipeline

        torch.set_num_threads(THREADS)
        self.classify = pipeline("text-classification", model=model, device="cpu")

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.005)
    async def together(self, inputs: list[str]) -> list[Any]:
        return self.classify(inputs, batch_size=BATCH)  # type: ignore[no-any-return]

    async def __call__(self, request: Request) -> Any:
        text = (await request.json())["inputs"]
        return await self.together(text) if BATCH > 1 else self.classify(text)


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    app = Classifier.bind(os.environ["MODEL"])  # type: ignore[attr-defined]
    serve.run(app, route_prefix="/v1/predict")
    while True:
        time.sleep(60)
