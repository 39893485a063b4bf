# /// script
# dependencies = ["litserve>=0.2.10", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier as a LitServe API, as its pages on Hugging Face models and on batching say.
Settings: WORKERS processes, THREADS of torch in each, BATCH 1 or the most that a batch may hold."""

import os
from typing import Any

import litserve as ls
import torch
from transformers import pipeline

BATCH = int(os.environ["BATCH"])


class Classifier(ls.LitAPI):
    def setup(self, device: str) -> None:
        torch.set_num_threads(int(os.environ["THREADS"]))
        self.classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        # LitServe reads the annotations: none means JSON.
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        return self.classify(x, batch_size=BATCH) if BATCH > 1 else self.classify(x)

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=0.005, api_path="/v1/predict")
    workers = int(os.environ["WORKERS"])
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=workers, timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False)
