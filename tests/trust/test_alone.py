"""No network, no optional package, secrets in the environment: every verb works or names what it lacks."""

import re

import pytest

from tests.trust import tiny
from tests.trust.scale import FULL

pytestmark = pytest.mark.timeout(600)
# Optional packages that one may well lack; the core's own (torch, numpy, safetensors, pillow, typer, rich) are not.
EXTRAS = ["polars", "pandas", "scipy", "sklearn", "gymnasium", "tokenizers", "sentencepiece", "optuna", "matplotlib",
          "networkx", "onnx", "onnxruntime", "huggingface_hub", "requests", "pyarrow"]  # fmt: skip


def verbs(run, data):
    """A command of each verb, over a run and its data."""
    every = {
        "evaluate": ["evaluate", run, f"whole-{data}"],
        "predict": ["predict", run, data, "--out", "answers.csv"],
        "show a run": ["show", run],
        "show a network": ["show", "resnet_tiny"],
        "compare": ["compare", run, run],
        "runs": ["runs", "."],
        "models": ["models"],
        "tasks": ["tasks"],
        "methods": ["methods"],
        "datasets": ["datasets"],
        "fit": ["fit", data, "--target", "side", "--model", "mlp_tiny", "--steps", "3", "--out", "other"],
        "fit digits": ["fit", "digits", "--model", "lenet_tiny", "--steps", "2", "--out", "pictures"],
        "resume": ["fit", "--resume", run, "--steps", "26"],
        "tune": ["tune", data, "--target", "side", "--model", "mlp_tiny", "--trials", "1", "--budget", "2steps",
                 "--set", "lr=1e-3..1e-1", "--out", "study"],
    }  # fmt: skip
    return every if FULL else {name: every[name] for name in ("evaluate", "predict", "compare", "fit", "tune")}


@pytest.fixture
def finished(nursery, place):
    """A finished run, `run`, with its table, and that table's rows that have an answer, in the folder."""
    tiny.prepare("classification", place)
    rows = (place / "table.csv").read_text().splitlines(keepends=True)
    (place / "whole-table.csv").write_text("".join(row for row in rows if not row.endswith(",\n")))
    assert tiny.fit(nursery, "classification", place).wait() == 0
    return place


def test_without_a_network_every_verb_works_and_calls_nobody(nursery, finished, tally):
    for name, words in verbs("run", "table.csv").items():
        child = nursery.start(*words, cwd=finished, faults={"offline": True})
        assert child.wait() == 0, (name, child.err)
        assert "NETWORK:" not in child.err, (name, child.err)
        tally(verbs=1)


def test_what_does_need_a_network_says_so(nursery, place):
    """And the guard of the test above does see a call."""
    child = nursery.start("fit", "hf:nobody/nothing", "--out", "run", cwd=place, faults={"offline": True},
                          environment={"HF_HUB_CACHE": str(place / "cache"), "XDG_CACHE_HOME": str(place)})  # fmt: skip
    assert child.wait() == 2 and "Traceback" not in child.err, child.err
    assert "NETWORK:" in child.err and "lamina: " in child.err
    assert not (place / "run").exists()


def test_without_each_optional_package_every_verb_works_or_names_the_extra(nursery, finished, tally):
    """All of them missing at once: what then works, works without each."""
    needs = {"tune": ("tune", "optuna")}
    for name, words in verbs("run", "table.csv").items():
        child = nursery.start(*words, cwd=finished, faults={"missing": EXTRAS})
        status = child.wait()
        assert "Traceback" not in child.err, (name, child.err)
        if name in needs:
            extra, package = needs[name]
            assert status == 2 and f"needs {package}" in child.err, child.err
            assert f"pip install 'lamina[{extra}]'" in child.err, child.err
        else:
            assert status == 0, (name, child.err)
        tally(verbs=1)


@pytest.mark.parametrize(
    ("source", "package", "extra"), [("gym:CartPole-v1", "gymnasium", "rl"), ("data.parquet", "polars", "tabular")]
)
def test_a_source_that_needs_an_extra_names_it(source, package, extra, nursery, place, tally):
    (place / "data.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    child = nursery.start("fit", source, "--out", "run", cwd=place, faults={"missing": EXTRAS})
    assert child.wait() == 2 and "Traceback" not in child.err, child.err
    assert package in child.err and f"pip install 'lamina[{extra}]'" in child.err, child.err
    assert not (place / "run").exists()
    tally(verbs=1)


SECRETS = {name: f"s3cr3t-{i}-8f14e45fceea167a" for i, name in enumerate(
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY",
     "DATABASE_PASSWORD", "LAMINA_TOKEN", "SSH_AUTH_SOCK"])}  # fmt: skip


def test_no_secret_of_the_environment_is_in_what_is_written_or_said(nursery, place, tally):
    """In no file of a run that ended, was stopped, or failed, and in no line of any verb, errors included."""
    tiny.prepare("classification", place)
    said = []
    asked = verbs("run", "table.csv")
    first = [*tiny.PROBLEMS["classification"][1], "--out", "run"]
    orders = {"first": ["fit", *first], **asked, "wrong": ["fit", "no-such-file.csv"], "worse": ["predict", "nowhere"]}
    for words in orders.values():
        child = nursery.start(*words, cwd=place, environment=SECRETS)
        child.wait()
        said.append(child.out + child.err)
    for fault in ({"die": ["step", 9]}, {"signal": ["step", 9, 15]}, {"full": ["half", 5]}):
        child = tiny.fit(nursery, "classification", place, out=f"run-{next(iter(fault))}", faults=fault,
                         environment=SECRETS)  # fmt: skip
        child.wait()
        said.append(child.out + child.err)
    held = [file.read_bytes() for file in place.rglob("*") if file.is_file()]
    assert len(held) > 40 and sum(map(len, held)) > 100_000
    for text in [*held, *(one.encode() for one in said)]:
        assert not re.search(rb"s3cr3t-\d|8f14e45fceea167a", text)
    tally(files=len(held))
