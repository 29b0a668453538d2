"""A network that acts in an environment meets numbers that are none: in its weights, and in what it remembers."""

import math

import pytest
import safetensors.torch

import lamina
from lamina.core.errors import TrainingError
from lamina.methods._replay import Replay
from lamina.train.running import Running
from tests.verbs.test_seven import EXACT

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")


def learn(folder, policy):
    small = {"first": 64, "task.episodes": 2, "explore_updates": 50, "buffer": 200, "batch": 16, "environments": 2}
    more = {"plan.nonfinite": policy, "plan.save_every": 10, "plan.evaluations": 2}
    return lamina.fit("gym:CartPole-v1", budget="60steps", out=folder, set={**EXACT, **small, **more})


def once(monkeypatch, spoil):
    """Called at step 25 of the training, the first time that it is come to."""
    done = []

    def advance(self, plain=Running.advance):
        if self.step == 25 and not done:
            done.append(spoil(self))
        return plain(self)

    monkeypatch.setattr(Running, "advance", advance)


def weights(running):
    next(running.stage.modules["model"].parameters()).data[0, 0] = math.nan


def remembered(running):
    assert isinstance(running.stage.feed, Replay)
    running.stage.feed._kept["reward"][5] = math.inf


@pytest.mark.parametrize("policy", ["stop", "skip", "back"])
@pytest.mark.parametrize("spoil", [weights, remembered])
def test_it_is_withheld_and_the_policy_is_followed(tmp_path, monkeypatch, policy, spoil):
    once(monkeypatch, spoil)
    if policy == "stop" or (policy == "skip" and spoil is weights):
        with pytest.raises(TrainingError, match=r"became (nan|inf) at step \d+ of dqn"):
            learn(tmp_path / "run", policy)
        return
    run = learn(tmp_path / "run", policy)
    held = safetensors.torch.load((run.folder / "model.safetensors").read_bytes())
    assert run.status == "done" and all(v.isfinite().all() for v in held.values())
    assert sum(line.get("withheld", 0) for line in run.history) >= 1
    events = (run.folder / "events.jsonl").read_text()
    assert ("went back" in events) == (policy == "back")
    assert ("'reward' holds" in events) == (spoil is remembered)
