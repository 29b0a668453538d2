"""What the trainer does around a step: accumulation, trials, early stopping, the guard, the budget, its messages."""

import copy
import math

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from lamina.core.errors import SettingError, TrainingError
from lamina.core.protocols import Average, Phase, Recipe, Stage
from lamina.train import judging, lengths, trials
from lamina.train import trainer as trainer_module
from lamina.train.running import Running
from tests.train import problems
from tests.train.problems import Rows, Walking, lines, net, run, squared, supervised


class Weighted(Rows):
    """Rows of which some count for nothing, as padding does; the count is what the loss is a mean over."""

    def next(self, step, parts=1):
        batches = super().next(step, parts)
        for i, batch in enumerate(batches):
            rows = len(batch["numbers"])
            batch["mask"] = (torch.arange(rows) % (i + 2) < 1 + i % 2).double()
            batch |= {k: v.double() for k, v in batch.items()}
        if parts == 1:  # the same rows in one batch
            small = super().next(step, 4)
            masks = [(torch.arange(len(b["numbers"])) % (i + 2) < 1 + i % 2).double() for i, b in enumerate(small)]
            batches[0]["mask"] = torch.cat(masks)
        return batches


def counted(model, count):
    def loss(batch):
        each = F.mse_loss(model(batch["numbers"]), batch["target.y"], reduction="none")[:, 0]
        return {
            "fit": (each * batch["mask"]).sum() / batch["mask"].sum(),
            "size": 1e-3 * model[0].weight.square().sum(),
        }

    return Phase("loss", loss, model, Recipe(optimizer="momentum", lr=0.1), count=count)


@pytest.mark.parametrize("counts", [True, False])
def test_micro_batches_add_up_to_the_large_batch(counts):
    """Weighted by what the loss is a mean over; weighted by rows instead they would not, which is the control."""
    ends = []
    for parts in (1, 4):
        model = net(dropout=0.0, norm=False).double()

        def learn(problem, train, model=model):
            phase = counted(model, (lambda b: b["mask"].sum()) if counts else None)
            yield from train(Stage("s", {"model": model}, Weighted(noise=0.0), [phase], judged=None))

        one, _ = run(None, learn, plan={"accumulate": parts}, judge=None)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        assert one.step == 12
    if counts:
        torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)
    else:
        assert (ends[0] - ends[1]).abs().max() > 1e-3


@pytest.mark.parametrize("feed", [Rows, Walking])
def test_trial_steps_leave_no_trace(feed):
    model = net()
    copies = {"model": model, "average": copy.deepcopy(model)}

    stage = Stage(
        "s", copies, feed(), [Phase("l", squared(model), model, Recipe())], [Average("model", "average", 0.5)]
    )
    running = Running(stage, ("s",), 0, 0, problems.trainer(None).plan)
    running.lasts(50, 5)
    for advanced in range(3):
        for _ in range(advanced):
            running.advance()
        torch.manual_seed(advanced)
        before, weights = running.snapshot()
        random = torch.get_rng_state()
        assert trials.trial(running, 4) > 0
        problems.same(running.state_dict(), before)
        problems.same(running.weights(), weights)
        assert torch.equal(torch.get_rng_state(), random)


def test_the_plan_found_by_trials_is_saved_before_step_1_and_changes_no_number(tmp_path):
    folders = [tmp_path / "given", tmp_path / "found"]
    for folder, precision in zip(folders, ("float32", "auto"), strict=True):
        folder.mkdir()
        run(folder, supervised(), plan={"precision": precision}, stop_at=1)
    assert not list((folders[0] / "checkpoints").iterdir())
    assert (folders[1] / "checkpoints" / "latest").read_text().startswith("00000000-")
    for folder in folders:
        run(folder, supervised(), plan={"precision": "auto"}, resume=True)
    problems.same(problems.end(folders[0]), problems.end(folders[1]))


class Falling(problems.Error):
    """Best at the third evaluation, ever worse after it; what it saw is kept."""

    def __init__(self):
        self.seen = []

    def __call__(self, module):
        self.seen.append(copy.deepcopy(module.state_dict()))
        return {"mse": abs(3.0 - len(self.seen))}


def test_training_stops_early_and_the_best_weights_are_kept_not_the_last(tmp_path):
    judge = Falling()
    one, model = run(tmp_path, supervised(), judge=judge, budget="40steps", plan={"evaluations": 10, "patience": 4})
    assert one.step == 28 and len(judge.seen) == 7
    kept = safetensors.torch.load((tmp_path / "model.safetensors").read_bytes())
    problems.same(kept, dict(judge.seen[2]))
    assert not torch.equal(kept["0.weight"], model.state_dict()["0.weight"])
    assert one.best["step"] == 12 and one.best["value"] == 0.0
    assert lines(tmp_path, "events")[-1] == {"event": "early stop", "step": 28, "stale": 4}
    pointed = (tmp_path / "checkpoints" / "best").read_text()
    assert pointed.startswith("00000012-")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_the_best(tmp_path, bad):
    class Judge(Falling):
        def __call__(self, module):
            return {"mse": bad if len(self.seen) == 2 else super().__call__(module)["mse"]}

    class Spoilt(Falling):
        """A figure that hides that the weights are spoilt."""

        def __call__(self, module):
            super().__call__(module)
            module[0].weight.fill_(math.nan)
            return {"mse": 1.0}

    (tmp_path / "a").mkdir()
    one, _ = run(tmp_path / "a", supervised(), judge=Judge())
    assert one.best["value"] == 1.0
    assert None in [line["valid"]["mse"] for line in lines(tmp_path / "a") if "valid" in line]
    (tmp_path / "b").mkdir()
    with pytest.raises(TrainingError):
        run(tmp_path / "b", supervised(), judge=Spoilt())
    assert not (tmp_path / "b" / "model.safetensors").exists()


def test_schedule_free_weights_are_judged_and_kept_as_averages(tmp_path):
    judge = Falling()
    _, model = run(tmp_path, supervised(Recipe(optimizer="schedule_free", lr=0.1)), judge=judge)
    kept = safetensors.torch.load((tmp_path / "model.safetensors").read_bytes())
    problems.same(kept, dict(judge.seen[2]))
    problems.same(dict(model.state_dict()), dict(judge.seen[-1]))  # left as averages at the end
    weights, state = problems.checkpoint.load(problems.checkpoint.latest(tmp_path / "checkpoints"))
    assert not torch.equal(
        weights["model.0.weight"], judge.seen[-1]["0.weight"]
    )  # but gone on with from the path's end
    assert state["stage"]["optimizers"][0]["param_groups"][0]["training"]


def test_clip_bounds_the_step_and_l1_leaves_exact_zeros():
    start = net(dropout=0.0).state_dict()
    _, model = run(None, supervised(Recipe(optimizer="sgd", lr=1.0, clip=1e-3, schedule="constant")), budget="1steps")
    moved = torch.cat(
        [(model.state_dict()[k] - v).flatten() for k, v in start.items() if "running" not in k and "num" not in k]
    )
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)
    _, model = run(None, supervised(Recipe(optimizer="sgd", lr=0.05, l1=0.5, schedule="constant")), budget="30steps")
    assert float((model[0].weight == 0).float().mean()) > 0.5
    assert (model[0].bias != 0).all()


def test_a_time_budget_is_kept_though_steps_become_slower(monkeypatch, tmp_path):
    """On a clock that steps and evaluations move: 20 ms a step, 50 ms after step 200, 100 ms an evaluation."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

        perf_counter = monotonic

    clock = Clock()
    for module in (trainer_module, trials, judging, lengths):
        monkeypatch.setattr(module, "time", clock)
    step = {"cost": 0.02}
    advance = Running.advance

    def slow(self):
        clock.now += step["cost"]
        return advance(self)

    monkeypatch.setattr(Running, "advance", slow)

    class Judge(problems.Error):
        def __call__(self, module):
            clock.now += 0.1
            return super().__call__(module)

    for late in (False, True):
        clock.now, step["cost"] = 0.0, 0.02
        folder = tmp_path / str(late)
        folder.mkdir()
        one = problems.trainer(folder, budget="10s", judge=Judge())
        for _ in one.run(problems.Learning(supervised()), problems.problem()):
            if late and one.step == 200:
                step["cost"] = 0.05
        assert 8.5 < clock.now <= 10.5, clock.now
        assert bool([e for e in lines(folder, "events") if e["event"] == "out of time"]) == late
        assert "valid" in lines(folder)[-1]


class Poisoned(Rows):
    """A number that is none in the batch of step 5."""

    def next(self, step, parts=1):
        batches = super().next(step, parts)
        if step == 4:
            batches[0]["numbers"][1, 2] = math.nan
        return batches


def exploding(model):
    """A finite loss with a gradient that is not, when step 5's noise says so."""

    def loss(batch):
        out = model(batch["numbers"])
        return {"fit": F.mse_loss(out, batch["target.y"]) + torch.sqrt((out * 0).sum() + 1 - batch["bad"].max())}

    return loss


class Marked(Rows):
    def next(self, step, parts=1):
        return [{**b, "bad": torch.full((len(b["numbers"]),), float(step == 4))} for b in super().next(step, parts)]


OPTIMIZERS = ["adamw", "sgd", "momentum", "rmsprop", "adagrad", "muon", "schedule_free"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["data", "gradient"])
def test_an_update_that_is_not_finite_is_withheld_to_the_bit_and_the_rest_goes_on(tmp_path, optimizer, kind):
    model, seen = net(), []

    def learn(problem, train):
        loss = squared(model) if kind == "data" else exploding(model)
        recipe = Recipe(optimizer=optimizer, lr=0.02, weight_decay=0.1, l1=0.01)
        feed = Poisoned() if kind == "data" else Marked()
        for tick in train(Stage("s", {"model": model}, feed, [Phase("loss", loss, model, recipe)])):
            seen.append(copy.deepcopy(model.state_dict()))
            yield tick

    run(tmp_path, learn, plan={"nonfinite": "skip"})
    problems.same(dict(seen[3]), dict(seen[4]))  # batch norm's statistics too
    assert not torch.equal(seen[4]["0.weight"], seen[5]["0.weight"])
    assert all(v.isfinite().all() for v in model.state_dict().values())
    assert [line["withheld"] for line in lines(tmp_path) if "withheld" in line] == [1]
    events = [e for e in lines(tmp_path, "events") if e["event"] == "withheld"]
    assert events == [{"event": "withheld", "path": ["s"], "updates": [[5, "loss"]]}]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_an_optimizer_that_masks_by_itself_withholds_the_same_without_being_waited_for(tmp_path):
    """The way of a GPU, taken here on the CPU: a fused AdamW is handed the flag."""
    ends = []
    for masked in (True, False):
        model = net()
        stage = Stage("s", {"m": model}, Poisoned(), [Phase("loss", squared(model), model, Recipe(weight_decay=0.1))])
        running = Running(stage, ("s",), 0, 0, problems.trainer(None, plan={"nonfinite": "skip"}).plan)
        assert running._masked == [False]  # here it is waited for
        running._masked = [masked]
        running.lasts(8, 1)
        for _ in range(8):
            running.advance()
        assert running.withheld.left_out() == [[5, "loss"]]
        ends.append((model.state_dict(), running.optimizers[0].state_dict()["state"]))
    problems.same(dict(ends[0][0]), dict(ends[1][0]))
    problems.same(ends[0][1], ends[1][1])


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_where_it_came_from(tmp_path):
    def learn(problem, train, feed=Poisoned):
        model = problem.model
        yield from train(Stage("s", {"model": model}, feed(), [Phase("loss", squared(model), model, Recipe())]))

    words = (
        r"The loss 'loss' became nan at step 5 of s \(.*lr 0\.000\d+, float32\)\. The batch's 'numbers' holds 1 values"
    )
    with pytest.raises(TrainingError, match=words) as caught:
        run(tmp_path, learn)
    assert "That update was withheld: the weights are sound. Lower method.lr" in str(caught.value)
    assert "--set plan.nonfinite=skip" in str(caught.value)

    class Burst(nn.Module):
        def forward(self, x):
            return x / 0.0

    def bursting(problem, train):
        model = nn.Sequential(nn.Linear(6, 1), Burst())
        yield from train(
            Stage("s", {"net": model}, Rows(), judged=None, phases=[Phase("loss", squared(model), model, Recipe())])
        )

    with pytest.raises(TrainingError, match=r"became inf at step 1 .*It came first out of net\.1 \(Burst\)"):
        run(None, bursting)

    def steep(problem, train):
        model = net()
        yield from train(Stage("s", {"model": model}, Marked(), [Phase("loss", exploding(model), model, Recipe())]))

    words = r"The gradient of the loss 'loss' is not finite at step 5 of s \(.*in model\.0\.weight, model\.0\.bias"
    with pytest.raises(TrainingError, match=words):
        run(None, steep)


def test_a_phase_that_minimises_nothing_is_named():
    def learn(loss, parameters):
        def stage(problem, train):
            model = problem.model
            phase = Phase("idle", loss(model), parameters(model), Recipe())
            yield from train(Stage("s", {"m": model}, Rows(), [phase], judged=None))

        return stage

    words = (
        r"The phase 'idle' of s minimises nothing: none of its losses \(shown\) depends on a parameter that it moves"
    )
    with pytest.raises(TrainingError, match=words):
        run(None, learn(lambda m: lambda b: {"shown": m(b["numbers"]).sum().detach()}, lambda m: m))
    other = nn.Linear(2, 2)
    with pytest.raises(TrainingError, match=words):
        run(None, learn(lambda m: lambda b: {"shown": m(b["numbers"]).sum()}, lambda m: other))
    with pytest.raises(SettingError, match="The phase 'idle' moves no parameter"):
        run(None, learn(squared, lambda m: m.requires_grad_(False)))


def test_a_plan_says_which_values_it_takes():
    with pytest.raises(SettingError, match=r"plan\.nonfinite is one of back, skip, stop, not 'ignore'"):
        problems.trainer(None, plan={"nonfinite": "ignore"})


def test_checkpoints_between_evaluations_fall_on_step_counts(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(problems.checkpoint, "write", lambda store, step, *_, **__: seen.append(step) or store / "x")
    monkeypatch.setattr(problems.checkpoint, "clean", lambda store: None)
    run(tmp_path, supervised(), plan={"evaluations": 1, "save_every": 5}, budget="18steps")
    assert seen == [5, 10, 15, 16, 18]  # 16: the evaluation, on an epoch's border; 18: the end


def test_what_a_method_draws_before_its_first_step_follows_the_seed():
    drawn = []

    def learn(problem, train):
        drawn.append(torch.rand(1).item())
        yield from ()

    for seed in (3, 3, 4):
        torch.rand(len(drawn))  # whatever was drawn before
        one = problems.trainer(None, judge=None)
        one.seed = seed
        list(one.run(problems.Learning(learn), problems.problem(net())))
    assert drawn[0] == drawn[1] != drawn[2]
