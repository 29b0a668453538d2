"""A byte that changed, anywhere in a run: refused by the name of its file before it is used."""

import random
import shutil
import signal

import pytest
import torch

from lamina.core.errors import RunError
from lamina.train import checkpoint
from lamina.train.log import Log
from lamina.verbs.revive import revive
from lamina.verbs.run import Run
from tests.train.test_files import mutate
from tests.trust import tiny
from tests.trust.scale import FULL, count

pytestmark = pytest.mark.timeout(3600)
SMALL = 1_200  # bytes up to which every single bit is turned


@pytest.fixture(scope="module")
def runs(nursery, wholes, tmp_path_factory):
    """A run that is done, and one that was killed in mid-training."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(wholes("classification").run, folder / "done")
    tiny.prepare("classification", folder)
    assert (
        tiny.fit(nursery, "classification", folder, out="killed", faults={"die": ["step", 50]}).wait()
        == -signal.SIGKILL
    )
    return {"done": folder / "done", "killed": folder / "killed"}


def opened(run):
    """What evaluate, predict and serve do before they answer."""
    revive(Run(run))


def gone_on_with(run):
    """What resuming reads."""
    Run(run)
    _, state = checkpoint.load(checkpoint.latest(run / "checkpoints"))
    own = state["trainer"]
    Log(run, {**own["marks"], **state["clock"]}, own["diary"]).close()


FORMATS = {
    "run.json": opened,
    "model.safetensors": opened,
    "fields/fields.json": opened,
    "metrics.jsonl": gone_on_with,
    "checkpoints/latest": gone_on_with,
    "checkpoints/*/MANIFEST": gone_on_with,
    "checkpoints/*/meta.json": gone_on_with,
    "checkpoints/*/weights.safetensors": gone_on_with,
    "checkpoints/*/state.safetensors": gone_on_with,
}


def damaged(whole: bytes, draw: random.Random, tries: int):
    """`tries` random mutations; of a small file also every single bit, else one in each of 300 places."""
    for _ in range(tries):
        yield mutate(whole, draw)
    if FULL:
        places = range(8 * len(whole)) if len(whole) <= SMALL else draw.sample(range(8 * len(whole)), 300)
        for place in places:
            yield whole[: place // 8] + bytes([whole[place // 8] ^ 1 << place % 8]) + whole[place // 8 + 1 :]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("state", ["done", "killed"])
def test_every_change_of_a_byte_is_refused_by_the_name_of_its_file(runs, tmp_path, state, name, tally):
    torch.set_num_threads(1)
    run = tmp_path / "run"
    shutil.copytree(runs[state], run)
    pointed = (run / "checkpoints" / "latest").read_text().strip()
    path, use = run / name.replace("*", pointed), FORMATS[name]
    whole, tries = path.read_bytes(), 0
    until = checkpoint.load(checkpoint.latest(run / "checkpoints"))[1]["trainer"]["marks"]["metrics"]
    use(run)
    for data in damaged(whole, random.Random(f"{state} {name}"), count(100, 1500)):
        if data == whole or (name == "metrics.jsonl" and data and data[:until] == whole[:until]):
            continue  # nothing changed, or only what will be cut off and made again
        path.unlink() if data is None else path.write_bytes(data)
        with pytest.raises(RunError) as caught:
            use(run)
        assert path.name in str(caught.value) or (name == "run.json" and data is None), caught.value
        path.write_bytes(whole)
        tries += 1
    use(run)
    assert tries > count(80, 1400) or name == "metrics.jsonl"
    tally(mutations=tries)
