# /// script
# dependencies = ["fastapi", "uvicorn[standard]", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier behind FastAPI: a transformers pipeline that the lifespan loads, under uvicorn
with workers, as the pages on lifespan events and on server workers say. Settings: WORKERS
processes, THREADS of torch in each."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

models: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    import torch
    from transformers import pipeline

    torch.set_num_threads(int(os.environ["THREADS"]))
    models["classify"] = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")
    yield
    models.clear()


app = FastAPI(lifespan=lifespan)


class Body(BaseModel):
    inputs: str


@app.post("/v1/predict")
def predict(body: Body) -> list[dict[str, Any]]:
    return models["classify"](body.inputs)  # type: ignore[no-any-return]


if __name__ == "__main__":
    uvicorn.run(
        "fastapi_torch:app",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        log_level="warning",
        # A worker that imports torch answers nobody for longer than the default of 5 seconds.
        timeout_worker_healthcheck=120,
    )
