"""What a training that is gone on with takes over from the one that was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from feilun.training import checkpoints
from helpers.jobs import job_for, write_dataset


def test_a_training_computes_to_its_end_in_the_precision_it_began_with(tmp_path: Path) -> None:
    job = job_for("full", write_dataset(tmp_path / "data", 40), tmp_path / "job")
    checkpoints.claim(job)
    assert checkpoints.half(job.scratch, lambda: True)
    checkpoints.claim(job)  # again, after a kill, beside other work
    assert checkpoints.half(job.scratch, lambda: False)
    checkpoints.claim(replace(job, seed=job.seed + 1))  # another training measures for itself
    assert not checkpoints.half(job.scratch, lambda: False)
