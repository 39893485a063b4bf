"""Runs the benchmarks and writes ``docs/benchmarks.md``.

python -m benchmarks [NAME ...] [--output FILE] [--resume] [-- ARGUMENTS OF THE PART]
"""

from __future__ import annotations

from benchmarks.page import ROOT, Part, main

HEAD = """# Benchmarks

Measured with `make bench`, good or bad. Every table is one run on one machine, so its ratios hold
together; seconds of different parts do not compare. Lengths are stated where they matter.
"""

PARTS = {
    "training": Part(
        "benchmarks.training",
        "Training against the transformers Trainer's default arguments",
        "Targets: at least 4 times as fast at equal epochs within half a point of accuracy, at "
        "least 6 times to the accuracy that the default ends with.",
    ),
    "cold": Part(
        "benchmarks.cold",
        "From the end of `feilun data add` to the first answer over HTTP",
        "4,000 real reviews, cold processes included. Targets: 20 s for the linear baseline, "
        "60 s for the head.",
    ),
    "serving": Part(
        "benchmarks.serving",
        "Serving",
        "All through HTTP, with key, rate limit, quota, budget, ledger and prediction log on.",
        ("--peers", "all"),
    ),
    "console": Part(
        "benchmarks.console",
        "The console over a large workspace",
        "Target: each page within 300 ms of the server's time. The audit and the check of health "
        "look at every row by their nature.",
    ),
    "tabular": Part(
        "benchmarks.tasks.tabular",
        "Tables: rows into classes",
        "Public sets, five folds, the same rows for all. The others run with their default "
        "arguments.",
    ),
    "entities": Part(
        "benchmarks.tasks.entities",
        "Entities in Chinese news",
        "Target: F1 of at least 0.85 without a base model.",
    ),
    "recommendation": Part(
        "benchmarks.tasks.recommendation",
        "Recommendation: the last tenth of MovieLens",
        "Target: nDCG@10 of at least 1.3 times that of popularity, over all items.",
    ),
    "forecasting": Part(
        "benchmarks.tasks.forecasting",
        "Forecasts: three series beside repeating the last season",
        "Target: a MASE of at most 0.8 times that of the naive forecast, 75 to 85 % of the values "
        "in the 80 % interval.",
    ),
    "similarity": Part(
        "benchmarks.tasks.similarity",
        "Search on real pairs",
        "Targets: the taught encoder finds at least 10 points more of the answers first than as it "
        "was, and never fewer than BM25.",
    ),
    "search-scale": Part(
        "benchmarks.tasks.search_scale",
        "Search over a million documents",
        "Target: a query in at most 50 ms, by terms, by vectors and by both.",
    ),
    "translation": Part(
        "benchmarks.tasks.translation",
        "Translation of programs into Chinese",
        "Split by program. Target: placeholders kept in at least .995 of the answers with any.",
    ),
    "documents": Part(
        "benchmarks.tasks.documents",
        "Questions about documents in English and Chinese",
        "Targets: the right passage among the first five of at least .9 of the questions, and at "
        "least .95 of the answers supported by their citation.",
    ),
    "pretraining": Part(
        "benchmarks.tasks.language_model",
        "Pre-training from nothing on reviews in English and Chinese",
        "Targets: bits per byte fall with tokens as the fitted curve says, at least the tokens a "
        "second of a loop as nanoGPT has it.",
    ),
    "teaching": Part(
        "benchmarks.tasks.teaching",
        "LoRA on a language model beside trl's SFTTrainer",
        "Targets: at least 1.5 times the tokens a second of its default arguments at equal loss, "
        "and a peak of memory within 20 % of what was said before.",
    ),
    "company": Part(
        "benchmarks.tasks.company",
        "Questions about a made-up company",
        "100 facts, each asked in three ways: two teach, the third judges. Targets: the right fact "
        "in .6 of the answers at once and in .9 after teaching, at most .1 bits per byte lost on "
        "general text.",
    ),
    "language": Part(
        "benchmarks.language",
        "A language model: tokens a second",
        "SmolLM2-135M-Instruct in four bits, greedy, 64 tokens an answer, in streams; through HTTP "
        "with key, limits, ledger and prediction log on. Targets: at least 0.95 of the engine in "
        "process, as fast as llama.cpp's own server on a quiet machine and 5 times as fast beside "
        "a training, the first token at most 1.3 times as late as in process.",
    ),
    "ledger": Part(
        "benchmarks.ledger_scale",
        "A hundred million calls in the ledger",
        "Generated rows with the bytes that the ledger itself would write: a month of 1,000 "
        "customers, a link of the chain for each 250 calls, sums and volumes beside them.",
        ("--rows", "100_000_000", "--folder", "ledger-scale"),
        asked=True,
    ),
    "engines": Part(
        "benchmarks.engines", "Engines in process", "What the batcher reaches of a sorted list."
    ),
    "reading": Part(
        "benchmarks.reading",
        "Reading",
        "Reviews of some 400 characters from CSV into a data version, a process for each size. "
        "Seconds grow with the rows, the peak of memory hardly.",
    ),
}


if __name__ == "__main__":
    raise SystemExit(
        main(str(__doc__).partition("\n")[0], HEAD, PARTS, ROOT / "docs" / "benchmarks.md")
    )
