"""A text classifier behind FastAPI, as tutorials do it: a transformers pipeline and uvicorn."""

import os
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")


class Body(BaseModel):
    inputs: str


@app.post("/v1/predict")
def predict(body: Body) -> list[dict[str, Any]]:
    return classify(body.inputs)  # type: ignore[no-any-return]


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
