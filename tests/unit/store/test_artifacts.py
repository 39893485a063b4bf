"""Artifacts: named by content, whole or not there, whatever kills the writer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from feilun.errors import CorruptArtifact, EnvironmentProblem, NotFound
from feilun.store.artifacts import Artifacts
from helpers.processes import finish, kill, start, wait_for

FILES = {"feilun.json": b"{}", "weights/a.bin": b"w" * 5000, "weights/\u6743\u91cd.txt": b"t"}


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def scratch(artifacts: Artifacts) -> list[Path]:
    return list((artifacts.root / "scratch").iterdir())


def test_equal_content_is_one_artifact(artifacts: Artifacts) -> None:
    first = artifacts.publish(fill(artifacts.new()), "weights")
    second = artifacts.publish(fill(artifacts.new()), "variant")
    assert first == second
    assert first.startswith("sha256:")
    assert read(artifacts.path(first)) == FILES
    assert artifacts.size(first) == 5003
    assert artifacts.exists(first)
    assert artifacts.refs() == {first}
    assert scratch(artifacts) == []
    other = artifacts.publish(fill(artifacts.new(), FILES | {"feilun.json": b"[]"}), "weights")
    assert other != first


def test_the_name_depends_on_paths_and_content_alone(artifacts: Artifacts, tmp_path: Path) -> None:
    one = fill(tmp_path / "one")
    (one / "empty").mkdir()
    (one / "feilun.json").chmod(0o600)
    os.utime(one / "feilun.json", (1, 1))
    assert artifacts.publish(one, "x") == artifacts.publish(fill(artifacts.new()), "x")
    renamed = {"other.json": FILES["feilun.json"]}
    assert artifacts.publish(fill(artifacts.new(), renamed), "x") != artifacts.publish(
        fill(artifacts.new(), {"feilun.json": FILES["feilun.json"]}), "x"
    )


def test_equal_files_are_stored_once_and_cannot_be_written(artifacts: Artifacts) -> None:
    one = artifacts.path(artifacts.publish(fill(artifacts.new()), "x"))
    two = artifacts.path(artifacts.publish(fill(artifacts.new(), FILES | {"new": b"1"}), "x"))
    assert (one / "weights/a.bin").samefile(two / "weights/a.bin")
    for path in one.rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o222 == 0


def test_a_file_that_somebody_else_holds_is_copied(artifacts: Artifacts, tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(b"base model")
    folder = artifacts.new()
    os.link(outside, folder / "model.bin")
    (folder / "link.bin").symlink_to(outside)
    ref = artifacts.publish(folder, "x")
    outside.write_bytes(b"changed since")
    artifacts.verify(ref)
    assert read(artifacts.path(ref)) == dict.fromkeys(("model.bin", "link.bin"), b"base model")


def test_a_folder_of_many_small_files(artifacts: Artifacts) -> None:
    files = {f"media/{n % 7}/{n}": str(n).encode() for n in range(300)}
    assert read(artifacts.path(artifacts.publish(fill(artifacts.new(), files), "data"))) == files


@pytest.mark.parametrize("how", ["changed", "shorter", "removed", "added", "link", "manifest"])
def test_a_tampered_artifact_is_refused(artifacts: Artifacts, how: str) -> None:
    ref = artifacts.publish(fill(artifacts.new()), "x")
    content = artifacts.path(ref)
    target = content / "weights/a.bin"
    if how in ("changed", "shorter", "removed", "link"):
        target.unlink()
    if how == "changed":
        target.write_bytes(b"v" + b"w" * 4999)
    elif how == "shorter":
        target.write_bytes(b"w")
    elif how == "link":
        target.symlink_to(content / "feilun.json")
    elif how == "added":
        (content / "adapter_config.json").write_text("{}")
    elif how == "manifest":
        manifest = content.parent / "manifest.json"
        manifest.write_text(manifest.read_text().replace("5000", "5001"))
    fresh = Artifacts(artifacts.root)
    with pytest.raises(CorruptArtifact, match="damaged"):
        fresh.path(ref)
    assert fresh.path(ref, verify=False) == content
    # Publishing the same content again heals it.
    assert fresh.publish(fill(fresh.new()), "x") == ref
    assert read(fresh.path(ref)) == FILES


def test_verification_happens_once_in_a_process(artifacts: Artifacts) -> None:
    ref = artifacts.publish(fill(artifacts.new()), "x")
    target = artifacts.path(ref) / "feilun.json"
    target.chmod(0o644)
    target.write_bytes(b"[]")
    artifacts.path(ref)
    with pytest.raises(CorruptArtifact):
        artifacts.verify(ref)


@pytest.mark.parametrize("ref", ["sha256:" + "0" * 64, "reviews@3", "sha256:../../etc", ""])
def test_unknown_references(artifacts: Artifacts, ref: str) -> None:
    with pytest.raises(NotFound, match="no artifact"):
        artifacts.path(ref)


PUBLISH = """
    import sys, time
    from pathlib import Path
    from feilun.store.artifacts import Artifacts
    artifacts = Artifacts(Path(sys.argv[1]))
    folder = artifacts.new()
    (folder / "weights.bin").write_bytes(b"w" * 100_000)
"""


def test_a_kill_between_write_and_rename_leaves_nothing_but_scratch(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    code = PUBLISH + (
        "    def wait(ref, staged):\n"
        "        Path(sys.argv[2]).touch()\n"
        "        time.sleep(300)\n"
        "    artifacts._place = wait\n"
        "    artifacts.publish(folder, 'weights')"
    )
    ready = tmp_path / "ready"
    writer = start(code, artifacts.root, ready)
    wait_for(ready, writer)
    # It lives: gc must not touch what it writes.
    assert artifacts.gc(set()) == (0, 0)
    assert len(scratch(artifacts)) == 1
    kill(writer)
    assert artifacts.refs() == set()
    # The content and its blob are one file, and its manifest lies beside it.
    assert artifacts.gc(set(), dry_run=True)[0] == 0
    count, size = artifacts.gc(set())
    assert count == 0
    assert size >= 100_000
    assert scratch(artifacts) == []
    assert list((artifacts.root / "blobs").glob("*/*")) == []
    [ref] = finish([start(PUBLISH + "    print(artifacts.publish(folder, 'x'))", artifacts.root)])
    assert artifacts.refs() == {ref.strip()}
    artifacts.verify(ref.strip())


def test_publishers_and_gc_at_once(artifacts: Artifacts) -> None:
    code = PUBLISH + (
        "    for _ in range(20):\n"
        "        folder.mkdir(exist_ok=True)\n"
        "        (folder / 'weights.bin').write_bytes(b'w' * 100_000)\n"
        "        ref = artifacts.publish(folder, 'weights')\n"
        "        folder = artifacts.new()\n"
        "    print(ref)"
    )
    writers = [start(code, artifacts.root) for _ in range(2)]
    began = time.time()
    while any(writer.poll() is None for writer in writers):
        artifacts.gc(set(), published_before=began)
        time.sleep(0.01)
    first, second = finish(writers)
    assert first == second
    artifacts.verify(first.strip())


def test_a_full_disk_leaves_nothing_half_made(artifacts: Artifacts) -> None:
    code = """
    import resource, sys
    from pathlib import Path
    from feilun.errors import EnvironmentProblem
    from feilun.store import open_store
    from feilun.store.ledger_records import Prediction
    store = open_store(Path(sys.argv[1]))
    folder = store.artifacts.new()
    for n in range(400):
        (folder / f"{n}-{'x' * 100}").write_bytes(b"w")
    answer = Prediction("c1", 0, "x" * 300_000, {}, None, None, None, "reviews@1", "reviews")
    picture = Prediction("c1", 1, b"x" * 50_000, {}, None, None, None, "reviews@1", "reviews")
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    def refused(action, *arguments):
        try:
            action(*arguments)
        except EnvironmentProblem as error:
            print(error.code)
    refused(store.artifacts.publish, folder, "weights")
    refused(store.ledger.commit, [], [answer])
    refused(store.ledger.commit, [], [picture])
    print(len(list(folder.iterdir())), store.artifacts.refs(), store.ledger.counts())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.artifacts.path(store.artifacts.publish(folder, "weights"))
    store.ledger.commit([], [answer, picture])
    print(store.ledger.counts()["predictions"], len(list(store.blobs.names())))
    store.close()
    """
    [printed] = finish([start(code, artifacts.root.parent / "workspace")])
    lines = printed.splitlines()
    assert lines[:3] == ["store.disk_full"] * 3
    assert lines[3].startswith("400 set() ")
    assert "'predictions': 0" in lines[3]
    assert lines[4] == "2 1"


def test_gc_keeps_what_it_is_told_and_what_is_young(artifacts: Artifacts) -> None:
    keep = artifacts.publish(fill(artifacts.new()), "x")
    drop = artifacts.publish(fill(artifacts.new(), {"big.bin": b"b" * 9000} | FILES), "x")
    began = time.time() - 60
    assert artifacts.gc({keep}, published_before=began) == (0, 0)
    assert artifacts.gc({keep}, dry_run=True) == (1, 9000)
    assert artifacts.refs() == {keep, drop}
    assert artifacts.gc({keep}) == (1, 9000)
    assert artifacts.refs() == {keep}
    assert read(artifacts.path(keep)) == FILES
    with pytest.raises(NotFound):
        artifacts.path(drop)


def test_scratch_of_a_process_that_is_gone_is_cleared(artifacts: Artifacts) -> None:
    mine = artifacts.new()
    kept = mine.name.split("~")
    gone = mine.with_name("~".join([kept[0], kept[1], str(int(kept[2]) - 1000), "a" * 16]))
    gone.mkdir()
    elsewhere = mine.with_name("~".join(["another-host", "1", "1", "a" * 16]))
    elsewhere.mkdir()
    old = mine.with_name("~".join(["another-host", "2", "1", "b" * 16]))
    old.mkdir()
    os.utime(old, (1, 1))
    artifacts.gc(set())
    assert set(scratch(artifacts)) == {mine, elsewhere}


def test_a_url_as_root(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/models"
    here = Artifacts(url, tmp_path / "cache-1")
    ref = here.publish(fill(here.new()), "x")
    there = Artifacts(url, tmp_path / "cache-2")
    assert there.exists(ref)
    assert there.refs() == {ref}
    assert read(there.path(ref)) == FILES
    assert there.size(ref) == 5003
    began = time.time() - 60
    assert there.gc(set(), published_before=began)[0] == 0
    assert there.gc(set())[0] == 1
    assert not Artifacts(url, tmp_path / "cache-3").exists(ref)


def test_a_url_of_a_tampered_artifact(tmp_path: Path) -> None:
    import fsspec

    url = f"memory://{tmp_path.name}/models"
    here = Artifacts(url, tmp_path / "cache-1")
    ref = here.publish(fill(here.new()), "x")
    memory = fsspec.filesystem("memory")
    [path] = memory.glob(f"/{tmp_path.name}/models/objects/*/*/content/feilun.json")
    memory.pipe(path, b"[]")
    there = Artifacts(url, tmp_path / "cache-2")
    with pytest.raises(CorruptArtifact):
        there.path(ref)
    assert scratch(there) == []


def test_a_url_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be kept"):
        Artifacts("gopher://hole/models", tmp_path)
