"""A checkpoint of which a byte changed is refused; a full disk leaves what was there; a folder has one worker."""

import errno
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lamina.core import files, trees
from lamina.core.errors import RunError, TrainingError
from lamina.train import checkpoint
from tests.train import problems
from tests.train.problems import end, net, run, same, supervised

WEIGHTS = {"model.w": torch.randn(5, 3), "model.b": torch.randn(3)}
STATE = {"step": 7, "memory": {0: {"m": torch.randn(4), "step": torch.tensor(3.0)}}, "note": "ä"}


def folder(path: Path) -> Path:
    """A run's folder with two checkpoints and fitted fields."""
    (path / "fields").mkdir(parents=True)
    (path / "fields" / "fields.json").write_text(json.dumps({"a": {"field": "number", "state": {"mean": 0.25}}}))
    (path / "checkpoints").mkdir()
    for step in (5, 7):
        made = checkpoint.save(path / "checkpoints", step, WEIGHTS, STATE, beside=path / "fields")
    checkpoint.point(path / "checkpoints", "best", made)
    return made


def mutate(data: bytes, draw: random.Random) -> bytes | None:
    """A bit flipped, a stretch cut, the end lost, something put in, zeros; None: the file is gone."""
    kind, at = draw.randrange(7), draw.randrange(len(data))
    if kind < 3:
        return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    if kind == 3:
        return data[:at]
    if kind == 4:
        return data[:at] + data[at + draw.randrange(1, 9) :]
    if kind == 5:
        return data[:at] + draw.randbytes(draw.randrange(1, 9)) + data[at:]
    return None


NAMES = ["weights.safetensors", "state.safetensors", "meta.json", "MANIFEST", "../../fields/fields.json", "../latest"]


@pytest.mark.parametrize("name", NAMES)
def test_200_mutations_of_each_file_are_all_refused_by_name(tmp_path, name):
    path = folder(tmp_path / "run")
    file, draw = (path / name).resolve(), random.Random(name)
    whole = file.read_bytes()
    same(checkpoint.load(checkpoint.latest(path.parent))[1], STATE)
    for _ in range(200):
        data = mutate(whole, draw)
        if data == whole:
            continue
        file.unlink() if data is None else file.write_bytes(data)
        with pytest.raises(RunError, match=file.name) as caught:
            checkpoint.load(checkpoint.latest(path.parent))
        assert any(remedy in str(caught.value) for remedy in ("fit anew", "00000005-", "00000007-"))
        file.write_bytes(whole)
    same(checkpoint.load(checkpoint.latest(path.parent))[0], WEIGHTS)


def test_200_mutations_of_a_sealed_document_are_all_refused_by_name(tmp_path):
    path, draw = tmp_path / "run.json", random.Random(0)
    value = {"schema": 1, "metrics": {"accuracy": 0.97, "none": None}, "source": 'a "b" ä', "seal of": [1, 2]}
    files.write_sealed(path, value)
    assert files.read_sealed(path) == value
    assert list(json.loads(path.read_text())) == [*value, "seal"]
    whole = path.read_bytes()
    for _ in range(200):
        data = mutate(whole, draw)
        if data is None or data == whole:
            continue
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"run\.json is damaged.*Restore it from a copy, or fit anew"):
            files.read_sealed(path)


def test_200_mutations_of_the_best_weights_are_all_refused_on_resuming(tmp_path):
    """Its SHA-256 is in the checkpoint; a run that goes on would end with them."""
    run(tmp_path / "run", supervised(), stop_at=11) if not (tmp_path / "run").mkdir() else None
    file, draw = tmp_path / "run" / "model.safetensors", random.Random(0)
    saved = checkpoint.load(checkpoint.latest(tmp_path / "run" / "checkpoints"))
    assert saved[1]["trainer"]["best"]["step"] == saved[1]["trainer"]["step"] == 8
    saved[1]["trainer"]["best"]["step"] = 4  # an older best: it cannot be made good from this checkpoint
    whole = file.read_bytes()
    for _ in range(200):
        data = mutate(whole, draw)
        if data == whole:
            continue
        file.unlink() if data is None else file.write_bytes(data)
        one = problems.Trainer(
            budget=problems.Budget(steps=12), judge=problems.Error(), saved=saved, folder=tmp_path / "run"
        )
        one.seed = 3
        with pytest.raises(RunError, match=r"model\.safetensors is missing or not what was saved"):
            next(one.run(problems.Learning(supervised()), problems.problem()))
        file.write_bytes(whole)


def test_a_diary_that_was_cut_is_refused(tmp_path):
    run(tmp_path, supervised())
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RunError, match=r"metrics\.jsonl is missing or cut: it has \d+ bytes, and had \d+"):
        run(tmp_path, supervised(), resume=True)


def test_the_only_checkpoint_is_found_where_a_kill_came_before_it_was_pointed_at(tmp_path):
    store = tmp_path / "checkpoints"
    store.mkdir()
    made = checkpoint.save(store, 3, WEIGHTS, STATE)
    (store / "latest").unlink()
    assert checkpoint.latest(store) == made
    with pytest.raises(RunError, match=r"latest names 00000003-00000000, and no such checkpoint is there"):
        (store / "latest").write_text("00000003-00000000\n")
        checkpoint.load(checkpoint.latest(store))


def test_a_newer_checkpoint_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SCHEMA", 2)
    made = checkpoint.save(tmp_path, 3, WEIGHTS, STATE)
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"has schema 2; this version reads up to 1\. Update"):
        checkpoint.load(made)


# ---------------------------------------------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("kind", ["fsync", "replace", "write", "mkdir"])
@pytest.mark.parametrize("count", range(4))
def test_on_a_full_disk_the_last_checkpoint_stays_and_the_message_is_one_line(tmp_path, monkeypatch, kind, count):
    """ENOSPC at the first, second, … call of a kind after step 6; then there is space again, and it goes on."""
    whole, path = tmp_path / "whole", tmp_path / "run"
    whole.mkdir(), path.mkdir()
    run(whole, supervised())
    left = [count]

    def full(call):
        def instead(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]) if kind != "fsync" else None)
            return call(*given, **named)

        return instead

    one = problems.trainer(path)
    with pytest.raises(TrainingError) as caught, monkeypatch.context() as patch:
        for _ in one.run(problems.Learning(supervised()), problems.problem()):
            if one.step == 6:
                one._keeper.wait()
                before = checkpoint.latest(path / "checkpoints")
                if kind == "write":
                    patch.setattr(Path, "write_bytes", full(Path.write_bytes))
                elif kind == "mkdir":
                    left[0] = 0
                    patch.setattr(Path, "mkdir", full(Path.mkdir))
                else:
                    patch.setattr(os, kind, full(getattr(os, kind)))
    words = str(caught.value)
    assert "the disk is full" in words and f"lamina fit --resume {path}" in words and "\n" not in words
    checkpoint.load(before)  # the one before is whole
    names = {p.name for p in (path / "checkpoints").iterdir() if not p.name.startswith(".")}
    for name in names - {"latest", "best"}:
        checkpoint.load(path / "checkpoints" / name)  # and nothing broken bears a final name
    run(path, supervised(), resume=True)
    same(end(whole), end(path))
    assert not list(path.rglob("*.tmp"))


def test_a_diary_that_cannot_be_written_says_so_in_one_line(tmp_path):
    one = problems.trainer(tmp_path)
    with pytest.raises(TrainingError, match=r"the disk is full.*lamina fit --resume"):
        for _ in one.run(problems.Learning(supervised()), problems.problem()):
            if one.step == 6:

                class Full:
                    def write(self, text): ...
                    def flush(self):
                        raise OSError(errno.ENOSPC, "No space left on device")

                    def close(self):
                        raise OSError(errno.ENOSPC, "No space left on device")

                one._keeper.wait()
                one._keeper.log._files["metrics"].close()
                one._keeper.log._files["metrics"] = Full()
    run(tmp_path, supervised(), resume=True)


# -------------------------------------------------------------------------------------------------------------- details


@pytest.mark.skipif(os.name == "nt", reason="modes are Unix's")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        run(tmp_path / "run", supervised()) if not (tmp_path / "run").mkdir() else None
        files.Lock(tmp_path / "run" / "lock").release()
        files.write_sealed(tmp_path / "run" / "run.json", {"a": 1})
    finally:
        os.umask(before)
    found = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert len(found) > 10
    assert {stat.S_IMODE(p.stat().st_mode) for p in found} == {mode}
    folders = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run").rglob("*") if p.is_dir()}
    assert folders == {0o777 & ~mask}


def test_a_lock_is_held_once_and_not_by_the_dead(tmp_path):
    path = tmp_path / "lock"
    first = files.Lock(path)
    with pytest.raises(RunError, match=rf"{tmp_path.name} is in use: this very process works in it.*close\(\)"):
        files.Lock(path)
    first.release()
    first.release()
    files.Lock(path).release()
    assert path.read_bytes() == b""
    code = """import sys, time
from pathlib import Path
from lamina.core.files import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)"""
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="is in use: another lamina works in it"):
            files.Lock(path)
    finally:
        child.kill()
        child.communicate()
    files.Lock(path).release()


def test_tied_weights_are_stored_once_and_come_back_under_each_name(tmp_path):
    model = net()
    weights = {f"{level}.{k}": v for level in ("model", "level0") for k, v in model.state_dict().items()}
    made = checkpoint.save(tmp_path, 1, weights, {})
    alone = checkpoint.save(tmp_path, 2, {f"model.{k}": v for k, v in model.state_dict().items()}, {})
    assert (made / "weights.safetensors").stat().st_size == (alone / "weights.safetensors").stat().st_size
    same(checkpoint.load(made)[0], weights)


def test_the_same_weights_give_the_same_bytes_in_every_process(tmp_path):
    """A library that orders its header by chance would give another SHA-256 each time."""
    code = """import hashlib, torch
from lamina.train.checkpoint import packed
weights = {f"w{i}": torch.arange(i + 1.0) for i in range(9)}
print(hashlib.sha256(packed(weights, {c: c for c in "abcdefgh"})).hexdigest())"""
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(found) == 1


def test_a_tree_comes_back_as_it_was():
    tree = {
        "a/b": torch.zeros(2), "a": {"b": torch.ones(3)}, 1: (torch.tensor(1), [2, None]), "1": torch.tensor(2.0),
        "f": [float("nan"), float("inf"), -0.0, 1e-300], "n": np.arange(6.0).reshape(2, 3), "zero": np.array(3.0),
        "s": np.float32(0.1), "i": np.int64(5), "b": np.bool_(True), ("x", 2): True, "$tensor": "words", "big": 1 << 80,
        "strided": torch.arange(6).reshape(2, 3).mT, "half": torch.ones(2, dtype=torch.bfloat16),
    }  # fmt: skip
    plain, tensors = trees.split(tree)
    back = trees.join(json.loads(json.dumps(plain, allow_nan=False)), tensors)
    assert list(back) == list(tree)
    for key, value in tree.items():
        if isinstance(value, np.ndarray | np.generic):
            assert (
                type(back[key]) is type(value)
                and back[key].dtype == value.dtype
                and np.shape(back[key]) == np.shape(value)
            )
            assert (back[key] == value).all()
        else:
            same(value, back[key], str(key))
    with pytest.raises(TypeError, match="x/1/y is a set; a checkpoint holds plain values and tensors"):
        trees.split({"x": [1, {"y": set()}]})


def test_a_folder_replaces_one_of_its_name_and_leaves_nothing_beside(tmp_path):
    for text in ("old", "new"):
        with files.folder_in_place(tmp_path / "f") as path:
            (path / "a").write_text(text)
    assert (tmp_path / "f" / "a").read_text() == "new"
    with pytest.raises(ZeroDivisionError), files.folder_in_place(tmp_path / "f") as path:
        (path / "a").write_text("newer")
        1 / 0  # noqa: B018
    assert (tmp_path / "f" / "a").read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["f"]
    shutil.copytree(tmp_path / "f", tmp_path / ".f.1.tmp")
    files.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("name", ["../../../secret", "/etc/hostname", "../../fields/../../secret", "..", ""])
def test_a_manifest_that_names_a_file_outside_the_run_is_refused_unread(tmp_path, name):
    """Sealed as it should be, so that only the name gives it away."""
    seal = json.dumps({name: [6, hashlib.sha256(b"secret").hexdigest()]}).encode()
    (tmp_path / "secret").write_bytes(b"secret")
    forged = tmp_path / "run" / "checkpoints" / f"00000001-{hashlib.sha256(seal).hexdigest()[:8]}"
    forged.mkdir(parents=True)
    (forged / "MANIFEST").write_bytes(seal)
    with pytest.raises(RunError, match="lies outside the run: nothing there is read"):
        checkpoint.verify(forged)
