"""Weights from every kind of file, what does not fit said by name, and files that lie or would run code refused."""

import io
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lamina.core.errors import RunError
from lamina.models import _convert, _unpickle, create
from lamina.models._weights import load

SIZES = dict(columns=3, outputs=2, hidden=[4])


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def same(model: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def refused(path: str | Path, model: nn.Module | None = None) -> str:
    """The words with which a file is refused; the network is as it was."""
    model = network(1) if model is None else model
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(RunError) as error:
        load(model, path, "Tiny")
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert "\n" not in str(error.value) and str(error.value).isprintable()
    return str(error.value)


# -------------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pt", "folder", "w.safetensors.index.json"])
def test_a_file_of_each_kind_gives_the_same_network(name):
    first, state = network(), network().state_dict()
    if name == "folder":
        Path(name).mkdir()
    if name == "w.pt":
        torch.save({"epoch": 3, "model": state, "args": {"lr": 0.1}}, name)
    elif name == "w.npz":
        np.savez_compressed(name, **{k: v.numpy() for k, v in state.items()})
    elif name.endswith("json"):
        keys = sorted(state)
        parts = {"a.safetensors": keys[:3], "b.safetensors": keys[3:]}
        for part, held in parts.items():
            safetensors.torch.save_file({k: state[k] for k in held}, part)
        Path(name).write_text(json.dumps({"weight_map": {k: p for p, held in parts.items() for k in held}}))
    else:
        safetensors.torch.save_file(state, Path(name, "model.safetensors") if name == "folder" else name)
    other = network(1)
    assert not same(first, other)
    load(other, name)
    assert same(first, other)


def test_create_takes_the_weights_of_a_file():
    first = create("mlp", **SIZES)
    safetensors.torch.save_file(first.state_dict(), "w.safetensors")
    assert same(first, create("mlp", weights="w.safetensors", **SIZES))


def test_a_wrapper_s_prefix_is_taken_off():
    state = network().state_dict()
    safetensors.torch.save_file({f"module._orig_mod.{k}": v for k, v in state.items()}, "w.safetensors")
    other = network(1)
    load(other, "w.safetensors")
    assert same(network(), other)


def test_tied_weights_need_stand_in_the_file_once():
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        model[1].weight = model[0].weight
        return model

    first, other = tied(), tied()
    safetensors.torch.save_file({"1.weight": first[1].weight.detach()}, "w.safetensors")
    load(other, "w.safetensors")
    assert torch.equal(first[0].weight, other[0].weight)


def test_the_tensors_of_a_pt_are_those_that_have_names():
    state = network().state_dict()
    out = Path("out")
    for held in (
        state,
        {"state_dict": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "epoch": 3},
        {"anything": state, "hyper": {"lr": 0.1}},
        {**state, "epoch": 3, 7: torch.zeros(2)},
    ):
        torch.save(held, "w.pt")
        assert _unpickle.convert("w.pt", str(out), 1 << 20) == len(state)
        back = safetensors.torch.load(out.read_bytes())
        assert back.keys() == state.keys() and all(torch.equal(back[k], state[k]) for k in state)


# ---------------------------------------------------------------------------------------------- what does not fit


def test_each_name_that_does_not_fit_is_said():
    state = dict(network().state_dict())
    state["0.wieght"] = state.pop("0.weight")
    state["2.weight"] = torch.zeros(2, 5)
    del state["2.bias"]
    safetensors.torch.save_file(state, "w.safetensors")
    assert refused("w.safetensors") == (
        "w.safetensors does not fit Tiny: 2 missing ('0.weight', '2.bias'); 1 unknown ('0.wieght', nearest "
        "'0.weight'); 1 of another shape ('2.weight' (2, 5) for (2, 4)). Take the network and sizes that it was saved "
        "from."
    )


def test_many_that_do_not_fit_are_counted():
    safetensors.torch.save_file({f"x{i}": torch.zeros(1) for i in range(9)}, "w.safetensors")
    said = refused("w.safetensors")
    assert "9 missing ('0.bias', '0.weight', '1.bias' and 6 more); 9 unknown ('x0', 'x1', 'x2' and 6 more)" in said


def test_numbers_that_are_none_are_not_taken():
    state = network().state_dict()
    state["2.bias"][1] = float("nan")
    safetensors.torch.save_file(state, "w.safetensors")
    assert "w.safetensors holds numbers that are not finite in '2.bias'" in refused("w.safetensors")
    safetensors.torch.save_file({**state, "2.bias": torch.zeros(2, dtype=torch.complex64)}, "w.safetensors")
    assert "holds complex numbers in '2.bias', where Tiny has torch.float32" in refused("w.safetensors")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.safetensors", None, "There is no weights file none.safetensors"),
        ("w.safetensors", b"\x80\x02}.", "w.safetensors is no safetensors file .* if it is named .pt"),
        ("w.npz", b"PK\x03\x04broken", "w.npz is no whole .npz file .* Write it with numpy.savez"),
        ("w.h5", b"x", "w.h5 is of no kind that weights are read from. Give .safetensors"),
        ("w.safetensors.index.json", b"[" * 9000, "is no index of safetensors files"),
        ("w.safetensors.index.json", b'{"weight_map": {"a": 3}}', "its weight_map does not name files"),
        ("w.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}', "names b.safetensors, which is not"),
    ],
)
def test_what_is_no_weights_file_is_said(name, data, words):
    if data is not None:
        Path(name).write_bytes(data)
    assert re.search(words, refused(name))


def test_a_near_name_is_offered():
    Path("model.safetensors").write_bytes(b"")
    assert "Did you mean 'model.safetensors'?" in refused("mdoel.safetensors")


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "x.pt", "..\\y.safetensors"]
)
def test_an_index_names_files_beside_it_alone(place):
    safetensors.torch.save_file(network().state_dict(), "../secret.safetensors")
    Path("w.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.weight": place}}))
    assert "only .safetensors files beside it are read. Nothing was loaded" in refused("w.safetensors.index.json")


def test_a_part_that_is_a_link_out_of_the_folder_is_refused():
    safetensors.torch.save_file(network().state_dict(), "../secret.safetensors")
    Path("p.safetensors").symlink_to("../secret.safetensors")
    Path("w.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.weight": "p.safetensors"}}))
    assert "p.safetensors is a link that leads out of" in refused("w.safetensors.index.json")


def test_a_part_that_lacks_what_the_index_says_is_named():
    safetensors.torch.save_file({"0.bias": torch.zeros(4)}, "p.safetensors")
    Path("w.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.weight": "p.safetensors"}}))
    assert "p.safetensors lacks '0.weight', which w.safetensors.index.json places there" in refused(
        "w.safetensors.index.json"
    )


# ------------------------------------------------------------------------------------------------------- hostile files


class Evil:
    """Unpickled, it would leave a canary."""

    def __reduce__(self):
        return os.system, ("touch canary",)


class Faked:
    """Stands for a storage that is not there."""


class Claiming:
    """A tensor of as many float32 in a storage that is not there."""

    def __init__(self, count: int):
        self.count = count

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (Faked(), 0, (self.count,), (1,), False, {})


def pickled(value: object, count: int = 0, *more: object) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, Faked):
                return ("storage", torch.FloatStorage, "0", "cpu", count, *more)

    made = io.BytesIO()
    Pickler(made, protocol=2).dump(value)
    return made.getvalue()


def archive(path: str, data: bytes, storage: bytes) -> None:
    """A file as torch.save writes it, of these parts, its storage compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data.pkl", data)
        out.writestr("archive/byteorder", b"little")
        out.writestr("archive/data/0", storage)
        out.writestr("archive/version", b"3\n")


def test_code_in_a_pt_is_named_and_never_run():
    """Through the child, as a user's file goes."""
    torch.save({**network().state_dict(), "extra": Evil()}, "w.pt")
    assert refused("w.pt").startswith(
        "w.pt was not taken for weights: it asks for posix.system, which is code and not weights; nothing of it was "
        "run."
    )
    assert not Path("canary").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory elsewhere")
def test_a_file_that_claims_4_GB_ends_at_the_child_s_limit():
    """So little that the system itself would give it."""
    count = 1_000_000_000
    old = [pickled(x) for x in (torch.serialization.MAGIC_NUMBER, 1001, dict(little_endian=True))]
    tail = pickled(["0"]) + struct.pack("<q", count) + bytes(100)
    Path("w.pt").write_bytes(b"".join(old) + pickled({"w": Claiming(count)}, count, None) + tail)
    said = refused("w.pt")
    assert "it asks for more memory than a file of its size may" in said
    assert "4000000000 bytes" in said


def _bombs() -> dict[str, tuple[str, str]]:
    torch.save({"w": torch.zeros(1).expand(25_000_000_000)}, "stride.pt")
    claiming = pickled({"w": Claiming(25_000_000_000)}, 25_000_000_000)
    archive("record.pt", claiming, bytes(4))
    archive("bomb.pt", claiming, bytes(200 << 20))
    torch.save({"w": torch.eye(3).to_sparse()}, "sparse.pt")
    torch.save([torch.zeros(3)], "list.pt")
    torch.save({"a": 1}, "empty.pt")
    torch.save({"a": {"x": torch.zeros(1)}, "b": {"x": torch.zeros(1)}}, "two.pt")
    torch.save(network(), "module.pt")
    Path("evil.pt").write_bytes(pickle.dumps(Evil()))
    Path("deep.pt").write_bytes(b"\x80\x02" + b"]" * 100_000 + b".")
    Path("text.pt").write_bytes(b"hello\x1b[31m")
    return {
        "stride.pt": "it claims 100.0 GB of tensors",
        "record.pt": "it asks for more memory than a file of its size may",
        "bomb.pt": "it claims 0.2 GB of contents in",
        "sparse.pt": "'w' is torch.sparse_coo on cpu; only plain tensors are taken",
        "list.pt": "it holds a list, where tensors by name were expected",
        "empty.pt": "it holds no tensors by name ('a')",
        "two.pt": "it holds several sets of tensors ('a', 'b')",
        "module.pt": "it asks for torch.nn.modules.container.Sequential, which is code",
        "evil.pt": "it is damaged, or holds what is not weights (Unsupported operand 149)",
        "deep.pt": "it is damaged or no such file",
        "text.pt": "it is damaged or no such file",
    }


def test_bombs_and_what_is_no_state_dict_are_refused(monkeypatch, capsys):
    """The child's own code in this process, for a child takes a second; its limits are the two tests above."""
    monkeypatch.setattr(_unpickle, "limit", lambda *given: None)
    monkeypatch.setattr(_unpickle, "limit_memory", lambda more: None)
    for name, words in _bombs().items():
        monkeypatch.setattr("sys.argv", ["", name, "out", str(2 * os.path.getsize(name) + _convert._SPARE), "60"])
        _unpickle.main()
        assert words in json.loads(capsys.readouterr().out)["error"], name
    assert not Path("canary").exists() and not Path("out").exists()


def test_a_child_that_dies_or_dawdles_is_one_clear_error(monkeypatch):
    Path("w.pt").write_bytes(b"x")
    child = Path("child.py")
    monkeypatch.setattr(Path, "with_name", lambda self, name: child.resolve())
    child.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert "it broke the process that read it, or ran out of its limits (signal 9)" in refused("w.pt")
    child.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(_convert, "_PATIENCE", 0.005)
    assert "its reading took longer than" in refused("w.pt")
    child.write_text("print('\"no\"')\n")
    assert "it broke the process that read it" in refused("w.pt")


def test_the_child_is_told_no_secret(monkeypatch):
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "SOME_API_KEY"):
        monkeypatch.setenv(name, "hf_secret")
    assert "hf_secret" not in _convert._environment().values()
    assert _convert._environment()["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(w=np.array([Evil()], dtype=object)), "w.npz holds pickled objects in 'w.npy'"),
        (dict(w=np.array(["a"])), "holds values of type <U1 in 'w.npy'"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(arrays, words):
    np.savez("w.npz", **arrays)
    assert words in refused("w.npz")
    assert not Path("canary").exists()


def test_arrays_that_claim_100_GB_are_refused_before_they_are_unpacked():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, dict(descr="<f4", fortran_order=False, shape=(25_000_000_000,)))
    with zipfile.ZipFile("w.npz", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("w.npy", header.getvalue() + bytes(1000))
    assert "w.npz claims 100.0 GB of arrays, far more than the network holds" in refused("w.npz")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.npz", "w.safetensors.index.json"])
def test_a_file_of_100_GB_is_refused_before_it_is_read(name):
    big = Path("part.safetensors" if name.endswith("json") else name)
    with open(big, "wb") as file:
        file.truncate(100 * 10**9)  # takes no room on the disk
    if name.endswith("json"):
        Path(name).write_text(json.dumps({"weight_map": {"w": "part.safetensors"}}))
    assert f"{name} has 100.0 GB, far more than the network holds (0.1 GB would be taken)" in refused(name)
