"""NaN and infinities in data, loss, gradient, weights and optimizers' memories: noticed, withheld, and what then."""

import copy
import json
import math

import pytest
import safetensors
import safetensors.torch
import torch

from lamina.core.errors import TrainingError
from lamina.core.protocols import Average, Phase, Recipe, Stage
from lamina.train import running as running_module
from lamina.train.guard import LARGE, Guard
from lamina.train.running import Running
from lamina.train.trainer import BACK
from tests.train import problems
from tests.train.problems import Rows, end, federated, lines, net, run, same, squared, supervised

BAD = 6  # the step, counted from 0, that something is wrong with


class Marked(Rows):
    """Rows with a mark on those of the bad steps; kind "data" spoils a number of theirs."""

    def __init__(self, kind="", bad=(BAD,), **how):
        super().__init__(**how)
        self.kind, self.bad = kind, bad

    def next(self, step, parts=1):
        batches = super().next(step, parts)
        for batch in batches:
            batch["bad"] = torch.full((len(batch["numbers"]),), float(step in self.bad))
            if step in self.bad and self.kind == "data":
                batch["numbers"][0, 2] = math.inf
        return batches


def spoilt(loss, kind):
    """A loss that is nan, or has a gradient that is, where the batch says so."""

    def other(batch):
        losses, bad = loss(batch), batch["bad"].max()
        first = next(iter(losses))
        if kind == "loss":
            losses[first] = losses[first] + torch.where(bad > 0, math.nan, 0.0)
        elif kind == "gradient":  # sqrt at 0: finite, and steep without end
            losses[first] = losses[first] + torch.sqrt((losses[first] * 0) + 1 - bad) - torch.sqrt(1 - bad)
        return losses

    return other


def learning(name, kind, bad=(BAD,)):
    """A method, supervised or adversarial, something of whose steps is wrong."""

    def learn(problem, train):
        model = problem.model
        feed = Marked(kind, bad)
        if name == "supervised":
            modules, average = {"model": model, "average": copy.deepcopy(model)}, Average("model", "average", 0.9)
            phase = Phase("loss", spoilt(squared(model), kind), model, Recipe(lr=0.02))
            yield from train(Stage("s", modules, feed, [phase], [average], judged="average"))
        else:

            def caught(stage):
                stage.feed = feed
                stage.phases[1].loss = spoilt(stage.phases[1].loss, kind)  # the maker's, moved each second step
                return train(stage)

            yield from problems.adversarial(problem, caught)

    return learn


@pytest.fixture
def poke(monkeypatch):
    """Called with what to do to a stage under way, once, after the bad step's number of steps was made."""
    pokes = []

    def advance(self, plain=Running.advance):
        losses = plain(self)
        if self.step == BAD and pokes:
            pokes.pop()(self)
        return losses

    monkeypatch.setattr(Running, "advance", advance)
    return pokes.append


def weights(running):
    next(running.stage.modules["model" if "model" in running.stage.modules else "critic"].parameters()).data[0] = (
        math.nan
    )


def memory(running):
    optimizer = running.optimizers[0]
    optimizer.state[optimizer.param_groups[0]["params"][0]]["exp_avg_sq"][0] = math.inf


def finite(folder):
    held, state = problems.checkpoint.load(problems.checkpoint.latest(folder / "checkpoints"))
    assert all(v.isfinite().all() for v in held.values())
    for one in state["stage"]["optimizers"]:
        assert all(v.isfinite().all() for s in one["state"].values() for v in s.values())
    best = folder / "model.safetensors"
    if best.exists():
        assert all(v.isfinite().all() for v in safetensors.torch.load(best.read_bytes()).values())


@pytest.mark.parametrize("name", ["supervised", "adversarial"])
@pytest.mark.parametrize("kind", ["data", "loss", "gradient", "weights", "memory"])
@pytest.mark.parametrize("policy", ["stop", "skip", "back"])
def test_what_is_not_finite_is_withheld_and_the_policy_is_followed(tmp_path, poke, policy, kind, name):
    if kind in ("weights", "memory"):
        poke({"weights": weights, "memory": memory}[kind])
    plan = {"nonfinite": policy, "save_every": 2}
    mendable = policy == "back" or (policy == "skip" and kind not in ("weights", "memory"))
    if mendable:
        one, model = run(tmp_path, learning(name, kind), plan=plan)
        assert one.step == 12
        assert all(v.isfinite().all() for v in model.state_dict().values())
        assert one.best is not None and math.isfinite(one.best["value"])
    else:
        words = r"not finite|became (nan|inf)"
        with pytest.raises(TrainingError, match=words) as caught:
            run(tmp_path, learning(name, kind), plan=plan)
        assert ("Leaving updates out cannot mend that" in str(caught.value)) == (kind == "weights")
        assert "--set plan.nonfinite=back" in str(caught.value)
    finite(tmp_path)
    happened = [e["event"] for e in lines(tmp_path, "events")]
    assert ("went back" in happened) == (policy == "back")
    assert ("withheld" in happened) == mendable
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    told = [e for e in lines(tmp_path, "events") if e["event"] == "not finite"]
    if kind != "memory":
        # the critic is updated before the maker, whose phase rests on each second step
        first = {"weights": BAD + 1}.get(kind, BAD + 1)
        assert told[0]["step"] == first
        held = safetensors.torch.load((tmp_path / told[0]["batch"]).read_bytes())
        assert ("numbers" in held) and bool(held["numbers"].isfinite().all()) == (kind != "data")
        said = {
            "data": "The batch's 'numbers' holds 1 values that are not finite.",
            "loss": "Every module's output is finite: the loss itself is not.",
            "gradient": "The gradient is not finite in ",
            "weights": ".0.weight holds values that are not finite already.",
        }
        assert said[kind] in told[0]["why"]
        with safetensors.safe_open(tmp_path / told[0]["batch"], "pt") as file:
            about = json.loads(file.metadata()["lamina"])
        assert about["update"] == told[0]["step"] and about["why"] == told[0]["why"]


CASES = {
    f"{name}, {kind}, {policy}": (name, kind, policy)
    for policy in ("skip", "back")
    for name, kind in (("supervised", "data"), ("adversarial", "gradient"))
}


@pytest.mark.parametrize("case", CASES)
def test_stopped_after_any_step_a_skip_or_a_going_back_is_brought_back_to_the_bit(tmp_path, case):
    name, kind, policy = CASES[case]
    how = {"plan": {"nonfinite": policy, "save_every": 3}, "budget": "16steps"}
    learn = learning(name, kind, bad=(BAD, BAD + 4))
    (tmp_path / "whole").mkdir()
    whole, model = run(tmp_path / "whole", learn, **how)
    assert len(whole.passed) == (2 if policy == "back" else 0)
    for step in range(1, 17):
        folder = tmp_path / str(step)
        folder.mkdir()
        run(folder, learn, stop_at=step, **how)
        again, other = run(folder, learn, resume=True, **how)
        same(end(tmp_path / "whole"), end(folder), f"stopped at {step}")
        same(model.state_dict(), other.state_dict(), f"the network, stopped at {step}")
        assert again.passed == whole.passed


@pytest.mark.parametrize("learn", [learning("supervised", ""), problems.in_turn, federated])
@pytest.mark.parametrize("ticks", [0, 1, 3])
def test_killed_just_after_going_back_from_a_fault_that_does_not_come_again(tmp_path, monkeypatch, learn, ticks):
    """The history says that those updates were passed over, so they are: also where they could now be made."""
    how = {"plan": {"nonfinite": "back", "save_every": 2}, "budget": "18steps"}
    faults = []

    def once(self, plain=Running.advance):
        if self.begin + self.step == 7 and faults:
            faults.pop()
            next(iter(self.stage.modules["local" if "local" in self.stage.modules else "model"].parameters())).data[
                0
            ] = math.inf
        return plain(self)

    monkeypatch.setattr(Running, "advance", once)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        faults.append(1)
        one = problems.trainer(tmp_path / name, **how)
        after = 0
        stream = one.run(problems.Learning(learn), problems.problem())
        for _ in stream:
            after += bool(one.passed)
            if name == "killed" and one.passed and after > ticks:
                stream.close()
                break
        assert not faults and len(one.passed) == 1
    again, _ = run(tmp_path / "killed", learn, resume=True, **how)
    assert again.passed == one.passed
    same(end(tmp_path / "whole"), end(tmp_path / "killed"))


def test_it_goes_back_five_times_at_most(tmp_path):
    with pytest.raises(TrainingError, match=rf"went back {BACK} times, which is as often as it may\. The loss 'loss'"):
        run(tmp_path, learning("supervised", "loss", bad=range(BAD, 99)), plan={"nonfinite": "back"}, budget="40steps")
    finite(tmp_path)
    assert len([e for e in lines(tmp_path, "events") if e["event"] == "went back"]) == BACK
    one, _ = run(None, learning("supervised", "loss"), plan={"nonfinite": "back"})  # in memory, without a folder
    assert one.passed == [[4, 7]] and one.step == 12


def test_at_most_eight_batches_are_kept(tmp_path):
    run(tmp_path, learning("supervised", "loss", bad=range(3, 30)), plan={"nonfinite": "skip"}, budget="40steps")
    kept = sorted(p.name for p in (tmp_path / "withheld").iterdir())
    assert kept == [f"{step:08d}-loss.safetensors" for step in range(4, 12)]
    assert sum(line.get("withheld", 0) for line in lines(tmp_path)) == 27


def test_a_run_that_stopped_goes_on_with_another_policy(tmp_path):
    learn = learning("supervised", "loss")
    with pytest.raises(TrainingError, match="became nan at step 7"):
        run(tmp_path, learn)
    with pytest.raises(TrainingError, match="became nan at step 7"):
        run(tmp_path, learn, resume=True)
    one, _ = run(tmp_path, learn, resume=True, nonfinite="skip")
    assert one.step == 12
    finite(tmp_path)


def test_a_mask_of_infinities_is_how_it_is_meant(tmp_path):
    """What is not finite from the beginning on is no fault, and hinders no best."""

    def model():
        made = net()
        made.register_buffer("mask", torch.full((3,), -math.inf))
        return made

    one, _ = run(tmp_path, supervised(), model=model)
    assert one.best is not None


@pytest.mark.parametrize("place", [0, LARGE, 3 * LARGE - 1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_look_sees_one_number_anywhere_and_is_not_fooled_by_large_sums(place, value):
    guard = Guard({}, torch.device("cpu"))
    gradients, loss = [torch.zeros(7), torch.randn(3 * LARGE), torch.randn(3, 3)], torch.tensor(1.0)
    norm = torch.nn.utils.get_total_norm

    def seen(loss=loss):
        answers = {
            guard.finite(gradients, loss),
            guard.finite(gradients, loss, large=True),
            guard.finite(gradients, loss, norm(gradients)),
        }
        assert len(answers) == 1
        return not answers.pop()

    assert not seen()
    assert seen(torch.tensor(value)) and not seen(loss.double())
    gradients[1][place] = value
    assert seen()
    gradients[1].fill_(1e38)  # whose sum, and whose norm, is too large for 32 bits
    assert not seen()
    gradients[1][0], gradients[1][1] = math.inf, -math.inf
    assert seen()
    gradients[1].zero_()
    gradients[0][3] = value
    assert seen()


@pytest.mark.parametrize("policy", ["stop", "skip", "back"])
def test_where_the_device_is_not_waited_for_the_log_line_tells_it(tmp_path, monkeypatch, policy):
    """The way of a GPU, taken here on the CPU: told late, the batch drawn again and kept."""
    monkeypatch.setattr(running_module, "masks", lambda optimizer, phase: True)
    plan = {"nonfinite": policy, "save_every": 3, "evaluations": 3}
    monkeypatch.setattr(Running, "lasts", lasting)
    if policy == "stop":
        with pytest.raises(TrainingError, match=r"not finite at step 7 of s; 1 such updates .*'numbers' holds 1"):
            run(tmp_path, learning("supervised", "data"), plan=plan)
    else:
        one, model = run(tmp_path, learning("supervised", "data"), plan=plan)
        assert all(v.isfinite().all() for v in model.state_dict().values())
        assert len(one.passed) == (policy == "back")
    finite(tmp_path)
    told = next(e for e in lines(tmp_path, "events") if e["event"] == "not finite")
    assert told["step"] == 7 and "'numbers' holds 1" in told["why"]
    held = safetensors.torch.load((tmp_path / told["batch"]).read_bytes())
    assert not held["numbers"].isfinite().all()


def lasting(self, steps, evaluations, plain=Running.lasts):
    plain(self, steps, evaluations)
    self.log_every = 4
