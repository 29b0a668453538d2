"""Stopped after any step and taken up by a new trainer, a training ends as one that was never stopped, to the bit."""

from functools import partial

import pytest
import torch
from torch import nn

from lamina.core.errors import RunError
from lamina.core.protocols import Average, Phase, Recipe, Stage
from lamina.train.running import Running
from lamina.train.trainer import Stopped
from tests.train import problems
from tests.train.problems import Rows, Walking, end, federated, net, run, same, squared, supervised


def pictures() -> nn.Module:
    """A convolution, whose memory is laid out channels last."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 8, (3, 1), padding=(1, 0))
    return nn.Sequential(nn.Unflatten(1, (2, 3, 1)), convolution, nn.ReLU(), nn.Flatten(), nn.Linear(24, 1))


CASES = {
    "dropout, noise and a moving average": (supervised(average=Average("model", "average", 0.9)), {}),
    "a target network": (supervised(average=Average("model", "average", 0.0, every=5)), {}),
    "two phases": (problems.adversarial, {}),
    "stages in turn": (problems.in_turn, {"budget": "10steps"}),
    "a feed that remembers": (supervised(feed=Walking), {}),
    "nested trainings": (federated, {"plan": {"save_every": 1}}),
    "nested trainings, saved seldom": (federated, {"plan": {"save_every": 4}}),
    "plateau": (supervised(Recipe(lr=1e-4, schedule="plateau")), {"plan": {"evaluations": 12}, "budget": "16steps"}),
    "schedule-free": (supervised(Recipe(optimizer="schedule_free", lr=0.05)), {}),
    "muon, clip, l1": (supervised(Recipe(optimizer="muon", lr=0.01, clip=0.5, l1=0.1, weight_decay=0.1)), {}),
    "micro-batches": (supervised(), {"plan": {"accumulate": 4}}),
    "channels last": (supervised(), {"model": pictures}),
    "early stop": (supervised(Recipe(lr=0.0)), {"plan": {"evaluations": 8, "patience": 3}, "budget": "16steps"}),
}


@pytest.mark.parametrize("case", CASES)
def test_stopped_after_any_step_it_ends_the_same_to_the_bit(tmp_path, case):
    learn, how = CASES[case]
    (tmp_path / "whole").mkdir()
    whole, model = run(tmp_path / "whole", learn, **how)
    for step in range(1, whole.step + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        run(folder, learn, stop_at=step, **how)
        again, other = run(folder, learn, resume=True, **how)
        same(end(tmp_path / "whole"), end(folder), f"stopped at {step}")
        same(model.state_dict(), other.state_dict(), f"the network, stopped at {step}")
        assert again.step == whole.step


def test_asked_to_stop_it_loses_no_step(tmp_path):
    """A signal saves the very step, also where no checkpoint falls, and the evaluation it cut off is made up for."""
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole", supervised())

    class Interrupting(problems.Error):
        calls = 0

        def __call__(self, module):
            self.calls += 1
            if self.calls == 2:
                one.stop("SIGTERM")
            return super().__call__(module)

    (tmp_path / "a").mkdir()
    one = problems.trainer(tmp_path / "a", judge=Interrupting())
    with pytest.raises(Stopped, match="SIGTERM"):
        list(one.run(problems.Learning(supervised()), problems.problem()))
    assert one.step == 8 and len([e for e in problems.lines(tmp_path / "a") if "valid" in e]) == 1
    for step in range(9, 12):  # and again after each step
        two = problems.trainer(tmp_path / "a", resume=True)
        assert two.step == step - 1
        ticks = two.run(problems.Learning(supervised()), problems.problem())
        with pytest.raises(Stopped):
            for _ in ticks:
                if two.step == step:
                    two.stop("SIGINT")
    run(tmp_path / "a", supervised(), resume=True)
    same(end(tmp_path / "whole"), end(tmp_path / "a"))


def test_killed_before_the_first_checkpoint_its_diary_starts_anew(tmp_path):
    run(tmp_path, supervised(), stop_at=2)
    assert problems.lines(tmp_path)
    run(tmp_path, supervised(), resume=True)
    steps = [line["step"] for line in problems.lines(tmp_path) if "valid" not in line]
    assert steps == list(range(1, 13))


def test_best_weights_lost_between_checkpoint_and_file_are_made_good(tmp_path):
    run(tmp_path, supervised())
    best = (tmp_path / "model.safetensors").read_bytes()
    whole = end(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    if whole["state"]["trainer"]["best"]["step"] == 12:
        run(tmp_path, supervised(), resume=True)
        assert (tmp_path / "model.safetensors").read_bytes() == best
    else:
        with pytest.raises(RunError, match=r"model\.safetensors is missing or not what was saved"):
            run(tmp_path, supervised(), resume=True)


def test_a_larger_budget_trains_on(tmp_path):
    run(tmp_path, supervised())
    longer, _ = run(tmp_path, supervised(), resume=True, budget="20steps")
    assert longer.step == 20
    assert [line["step"] for line in problems.lines(tmp_path) if "valid" not in line] == list(range(1, 21))


def test_a_method_that_comes_elsewhere_on_resuming_is_refused(tmp_path):
    run(tmp_path, supervised(), stop_at=7)

    def nested(problem, train):
        yield from supervised()(problem, train.within("inside"))

    with pytest.raises(RunError, match="stopped in supervised, but its method now comes to inside/supervised first"):
        run(tmp_path, nested, resume=True)
    with pytest.raises(RunError, match="stopped in supervised, but its method now comes to its end first"):
        run(tmp_path, lambda problem, train: iter(()), resume=True)
    with pytest.raises(RunError, match="has 2 phases, and had 1"):

        def two(problem, train):
            phases = [Phase(n, squared(problem.model), problem.model, Recipe()) for n in "ab"]
            yield from train(Stage("supervised", {"model": problem.model}, Rows(), phases))

        run(tmp_path, two, resume=True)
    with pytest.raises(RunError, match="do not fit Sequential"):
        run(tmp_path, supervised(), resume=True, model=partial(net, out=2))


def test_a_stage_run_again_draws_anew(tmp_path):
    """Two clients of one path, or two rounds of one client, must not share their dropout."""
    draws = []
    for begin in (0, 3):
        model = net()
        stage = Stage("local", {"m": model}, Rows(), [Phase("loss", squared(model), model, Recipe())])
        running = Running(stage, ("client", "local"), 3, begin, problems.trainer(None).plan)
        running.lasts(3, 1)
        running.advance()
        draws.append(torch.rand(4))
    assert not torch.equal(*draws)


def test_neighbouring_steps_draw_different_numbers_in_the_generators_32_bits():
    """torch's CPU generator looks at the lower half of a seed alone."""
    model = net()
    stage = Stage("s", {"m": model}, Rows(), [Phase("loss", squared(model), model, Recipe())])
    running, seen = Running(stage, ("s",), 0, 0, problems.trainer(None).plan), set()
    for step in [*range(2000), *range(4096, 40960, 4096), 1 << 20, 1 << 32]:
        for phase in (0, 1):
            running._draws.seed(step, phase, 0)
            seen.add(int(torch.randint(1 << 62, ())))
    assert len(seen) == 2 * 2011
