"""hf: sources and weights through the verbs: pinned, recorded, and from the cache alone afterwards."""

import io
import json
import shutil

import numpy as np
import polars
import pytest
import safetensors.torch
import torch
from PIL import Image

import lamina
from lamina.core import download, hub
from lamina.core.errors import DataError, RunError
from lamina.data import opening
from lamina.data.reading import read
from tests import hub as hubs

QUICK = dict(model="mlp_tiny", budget="4steps", set={"plan.threads": 1, "plan.precision": "float32"})


@pytest.fixture
def there(monkeypatch, tmp_path):
    """A hub that runs, and a cache of its own."""
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "LAMINA_DOWNLOAD_GB"):
        monkeypatch.delenv(name, raising=False)
    hub._checked.clear()
    with hubs.running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def table(rows: int = 60, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    lines = [f"{a:.3f},{b:.3f},{'more' if a > b else 'less'}" for a, b in rng.normal(size=(rows, 2))]
    return "\n".join(["a,b,y", *lines, ""])


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), shade).save(out, "PNG")
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------------- sources


def test_a_run_names_the_commit_and_goes_on_evaluates_and_predicts_without_a_network(there, workplace):
    first = there.put(
        "datasets", "some/flowers", flowers_csv=table(), README_md="# flowers", load_py="raise SystemExit"
    )
    run = lamina.fit("hf:some/flowers", target="y", out="run", **QUICK)
    assert run.about["source"] == f"hf:some/flowers@{first}"
    assert run.about["inferred"][0] == f"hf:some/flowers is hf:some/flowers@{first} now, which --resume keeps to"
    assert not any("load.py" in path or "README" in path for path in there.paths())
    there.put("datasets", "some/flowers", flowers_csv=table(seed=1))  # the branch has moved on
    there.stop()
    hub._checked.clear()
    more = lamina.fit(resume="run", budget="8steps")
    assert more.about["steps"] == 8 and more.about["data"]["fingerprint"] == run.about["data"]["fingerprint"]
    whole = lamina.evaluate("run", run.about["source"])
    assert whole["accuracy"]["count"] == 60
    assert len(lamina.predict("run", run.about["source"])["y"]) == 60
    with pytest.raises(DataError, match=f"cannot be reached .* The cache holds hf:some/flowers@{first}"):
        lamina.evaluate("run", "hf:some/flowers")


def test_a_resumed_run_refuses_what_the_cache_no_longer_has(there, workplace):
    there.put("datasets", "a/b", x_csv=table())
    lamina.fit("hf:a/b", target="y", out="run", **QUICK)
    there.stop()
    shutil.rmtree(hub.cache())
    with pytest.raises(DataError, match="cannot be reached"):
        lamina.fit(resume="run", budget="8steps")
    assert lamina.evaluate("run")


def test_pieces_and_splits_are_one_table(there):
    rows = [polars.DataFrame({"a": [float(i), i + 0.5], "y": ["p", "q"]}) for i in range(4)]
    data = []
    for frame in rows:
        frame.write_parquet(out := io.BytesIO())
        data.append(out.getvalue())
    names = ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-of-00001"]
    there.commit("datasets", "a/b", {f"data/{n}.parquet": d for n, d in zip(names, data, strict=True)})
    found, _ = read("hf:a/b")
    assert list(found["split"].values) == ["train"] * 4 + ["valid"] * 2 + ["test"] * 2
    assert list(found["a"].values) == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert found["a"].where(4).endswith("validation-00000-of-00001.parquet")


def test_pieces_without_splits_are_one_table_and_settings_reach_their_reader(there):
    there.commit("datasets", "a/b", {"part-0000.csv": b"a;y\n1;p\n", "part-0001.csv": b"a;y\n2;q\n"})
    found, _ = read("hf:a/b", delimiter=";")
    assert list(found.columns) == ["a", "y"] and list(found["a"].values) == ["1", "2"]


def test_several_tables_are_named_with_their_addresses(there):
    commit = there.commit("datasets", "a/b", {"cats.csv": b"a\n1\n", "dogs.csv": b"a\n2\n"})
    with pytest.raises(
        DataError, match=rf"holds 2 different tables\. .* hf:a/b@{commit}/cats\.csv, hf:a/b@{commit}/dogs"
    ):
        read("hf:a/b")
    found, _ = read("hf:a/b/dogs.csv")
    assert list(found["a"].values) == ["2"]
    assert not any("cats" in path for path in there.paths())


def test_a_folder_of_a_repository_is_a_source_of_its_own(there):
    there.commit("datasets", "a/b", {"x/train.csv": b"a\n1\n", "x/test.csv": b"a\n2\n", "y/train.csv": b"a\n3\n"})
    found, _ = read("hf:a/b/x")
    assert list(found["split"].values) == ["train", "test"]


def test_pictures_are_read_as_a_folder(there):
    files = {
        f"{kind}/{i}.png": picture(40 * i + shade) for kind, shade in (("dark", 0), ("pale", 120)) for i in range(3)
    }
    there.commit("datasets", "a/b", {**files, "README.md": b"x", ".gitattributes": b"x"})
    found, target = read("hf:a/b")
    assert target == "label" and list(found["label"].values) == ["dark"] * 3 + ["pale"] * 3


def test_pictures_are_the_same_data_wherever_the_cache_is(there, monkeypatch, tmp_path):
    files = {
        f"{kind}/{i}.png": picture(40 * i + shade) for kind, shade in (("dark", 0), ("pale", 120)) for i in range(6)
    }
    commit = there.commit("datasets", "a/b", files)
    first = opening.dataset(f"hf:a/b@{commit}")[0].fingerprint
    shutil.move(tmp_path / "cache", tmp_path / "moved")
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "moved"))
    there.stop()
    assert opening.dataset(f"hf:a/b@{commit}")[0].fingerprint == first


def test_pictures_inside_a_table_are_pictures(there):
    """As the hub keeps most sets of pictures: Parquet, with a column of {bytes, path}."""
    rows = [{"bytes": picture(6 * i), "path": f"../{i}.png"} for i in range(20)]
    polars.DataFrame({"image": rows, "label": [i // 10 for i in range(20)]}).write_parquet(out := io.BytesIO())
    there.commit("datasets", "a/b", {"data/train-00000-of-00001.parquet": out.getvalue()})
    data, _ = opening.dataset("hf:a/b", target="label")
    assert {name: type(field).__name__ for name, field in data.fields.items()} == {"label": "Boolean", "image": "Image"}
    data.prepare(["image"])
    pixels = next(data.batches({}, split="train", batch=2))["image"]
    assert pixels.shape == (2, 1, 8, 8)


def test_texts_are_read_as_documents(there):
    there.commit(
        "datasets",
        "a/b",
        {
            "one.txt": b"the cat sat on the mat " * 9,
            "two.txt": b"a dog ran off " * 9,
            "README.md": b"about",
            ".hidden.txt": b"x",
            "LICENSE.txt": b"x",
        },
    )
    found, _ = read("hf:a/b")
    assert list(found.columns) == ["text"] and found.rows == 2
    assert sum("/resolve/" in path for path in there.paths()) == 2


def test_a_repository_without_data_says_what_it_holds(there):
    there.commit("datasets", "a/b", {"a.py": b"x", "data.zip": b"x", "w.pkl": b"x", "README.md": b"x"})
    with pytest.raises(
        DataError, match=r"holds no data that can be read \(it has \.md, \.pkl, \.py, \.zip\)\. .* not run"
    ):
        read("hf:a/b")
    assert not any("/resolve/" in path for path in there.paths())


# ----------------------------------------------------------------------------------------------------------- weights


@pytest.fixture
def state():
    torch.manual_seed(5)
    return lamina.models.create("mlp_tiny", columns=2, outputs=2).state_dict()


def learnt(**asked):
    """The network after a step that is too small to move it, from some weights."""
    rows = [dict(zip("aby", line.split(","), strict=True)) for line in table().splitlines()[1:]]
    words = {**QUICK, "budget": "1steps", "set": {**QUICK["set"], "lr": 1e-12}}
    return lamina.fit(rows, target="y", **words, **asked)


@pytest.mark.parametrize("kind", ["one", "parts", "named"])
def test_weights_of_a_repository_are_where_learning_starts(there, state, kind):
    whole = safetensors.torch.save(state)
    files = {"README.md": b"x", "config.json": b"{}", "code.py": b"raise SystemExit"}
    if kind == "one":
        files |= {"model.safetensors": whole, "pytorch_model.bin": b"not asked for"}
    elif kind == "named":
        files |= {"epochs/3.safetensors": whole}
    else:
        keys = sorted(state)
        held = {"m-1.safetensors": keys[:2], "m-2.safetensors": keys[2:]}
        files |= {part: safetensors.torch.save({k: state[k] for k in names}) for part, names in held.items()}
        index = {"weight_map": {k: part for part, names in held.items() for k in names}}
        files["model.safetensors.index.json"] = json.dumps(index).encode()
    commit = there.commit("models", "some/net", files)
    asked = "hf:some/net" + ("/epochs/3.safetensors" if kind == "named" else "")
    run = learnt(weights=asked)
    assert run.about["asked"]["weights"] == asked.replace("some/net", f"some/net@{commit}")
    got = run.model().state_dict()
    assert all(torch.allclose(got[k].double(), v.double(), atol=1e-6) for k, v in state.items())
    assert not any("code.py" in p or ".bin" in p or "config" in p for p in there.paths())


def test_a_pickled_file_of_a_repository_goes_through_the_child(there, state):
    torch.save(state, out := io.BytesIO())
    there.commit("models", "some/net", {"pytorch_model.bin": out.getvalue()})
    made = lamina.models.create("mlp_tiny", columns=2, outputs=2, weights="hf:some/net")
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), state.values(), strict=True))


def test_a_repository_without_weights_says_what_it_holds(there):
    commit = there.commit("models", "some/net", {"model.gguf": b"x", "README.md": b"x"})
    with pytest.raises(
        RunError, match=rf"hf:some/net@{commit} holds no weights at its top \(it has README\.md, model\.gg"
    ):
        lamina.models.create("mlp_tiny", columns=2, outputs=2, weights="hf:some/net")


def test_a_run_s_weights_are_checked_before_they_are_started_from(there, workplace):
    there.put("datasets", "a/b", x_csv=table())
    lamina.fit("hf:a/b", target="y", out="run", **QUICK)
    path = workplace / "run" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"model\.safetensors is not what the run saved: its SHA-256 differs"):
        learnt(weights="run")
