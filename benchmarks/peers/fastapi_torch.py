# /// script
# dependencies = ["fastapi", "uvicorn[standard]", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier behind FastAPI: a transformers pipeline under uvicorn with workers, as the page
on server workers says. Settings: WORKERS processes, THREADS of torch in each."""

import os
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

torch.set_num_threads(int(os.environ["THREADS"]))
app = FastAPI()
if __name__ != "__main__":  # in the workers, not in the process that watches over them
    classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")


class Body(BaseModel):
    inputs: str


@app.post("/v1/predict")
def predict(body: Body) -> list[dict[str, Any]]:
    return classify(body.inputs)  # type: ignore[no-any-return]


if __name__ == "__main__":
    workers = int(os.environ["WORKERS"])
    port = int(os.environ["PORT"])
    uvicorn.run("fastapi_torch:app", port=port, workers=workers, log_level="warning")
