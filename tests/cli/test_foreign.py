"""Weights and repositories of others in the shell: one clear line and status 2 for what lies, fails or runs code."""

import os
from pathlib import Path

import pytest
import torch

from lamina.core import download
from tests import hub as hubs


class Evil:
    """Unpickled, it would leave a canary."""

    def __reduce__(self):
        return os.system, ("touch canary",)


@pytest.fixture
def there(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "WAITS_S", (0.0,))
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hubs.running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_hostile_weights_end_with_one_line_and_run_nothing(refused):
    torch.save({"w": torch.zeros(2), "x": Evil()}, "w.pt")
    said = refused("fit", "digits", "--model", "mlp_tiny", "--weights", "w.pt", "--steps", 1)
    assert "w.pt was not taken for weights: it asks for posix.system, which is code and not weights" in said
    assert not Path("canary").exists()


def test_weights_of_another_network_end_with_one_line(refused):
    import safetensors.torch

    safetensors.torch.save_file({"w": torch.zeros(2)}, "w.safetensors")
    said = refused("fit", "digits", "--model", "mlp_tiny", "--weights", "w.safetensors", "--steps", 1)
    assert "w.safetensors does not fit MLP" in said and "1 unknown ('w')" in said


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (404, "answers 404: there is no such thing. Check owner, name and revision."),
        (401, "answers 401: HF_TOKEN may not read it, or its terms are not accepted yet."),
        (503, "could not be fetched from 127.0.0.1"),
        ("drop", "could not be fetched from 127.0.0.1"),
    ],
)
@pytest.mark.parametrize("option", ["source", "weights"])
def test_a_hub_that_refuses_ends_with_one_line(refused, there, fault, words, option):
    there.put("datasets", "a/b", x_csv="a,y\n1,p\n")
    there.put("models", "a/b", model_safetensors="x")
    there.faults["."] = [fault] * 4
    given = ("hf:a/b",) if option == "source" else ("digits", "--weights", "hf:a/b")
    said = refused("fit", *given, "--model", "mlp_tiny", "--steps", 1)
    assert said.startswith("lamina: hf:a/b") and words in said
    assert "hf_secret" not in said


def test_a_name_that_leads_out_of_its_folder_ends_with_one_line(refused, there, tmp_path):
    there.commit("datasets", "a/b", {"../../x.csv": b"a,y\n1,p\n"})
    assert "lists a file called '../../x.csv', which leads out of its folder" in refused("fit", "hf:a/b")
    assert not list(tmp_path.rglob("x.csv"))


def test_what_is_no_address_ends_with_one_line(refused):
    assert "'hf:a b' is no address of the hub. Expected hf:OWNER/NAME" in refused("fit", "hf:a b")


def test_no_token_is_in_what_a_run_leaves(lamina, there, tmp_path):
    there.private = "hf_secret"
    there.put("datasets", "a/b", x_csv="a,b,y\n" + "".join(f"{i},{-i},{'pq'[i % 2]}\n" for i in range(40)))
    ended = lamina("fit", "hf:a/b", "--target", "y", "--model", "mlp_tiny", "--steps", 2, "--out", "run")
    assert ended.status == 0, ended.err
    assert "hf:a/b is hf:a/b@" in ended.err
    assert "hf_secret" not in ended.out + ended.err
    assert not any(b"hf_secret" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
