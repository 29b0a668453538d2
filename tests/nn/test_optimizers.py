"""Optimizers against their definitions written with plain numbers, their groups, and going on from what was saved."""

import copy
import math

import pytest
import torch
from torch import nn

from lamina.core.errors import SettingError, TrainingError, UnknownName
from lamina.core.protocols import Recipe
from lamina.nn import optimizers
from lamina.nn.muon import Muon, orthogonalise

STEPS, LR = 7, 0.05


def naive(name, w, g, m, t):
    """One weight's step, with a memory m that starts at zero."""
    if name in ("gd", "sgd"):
        return w - LR * g
    if name in ("momentum", "nesterov"):
        m["m"] = 0.9 * m["m"] + g
        return w - LR * (m["m"] if name == "momentum" else g + 0.9 * m["m"])
    if name == "adagrad":
        m["s"] += g * g
        return w - LR * g / (math.sqrt(m["s"]) + 1e-10)
    if name == "rmsprop":
        m["s"] = 0.99 * m["s"] + 0.01 * g * g
        return w - LR * g / (math.sqrt(m["s"]) + 1e-8)
    m["m"] = 0.9 * m["m"] + 0.1 * g
    m["s"] = 0.999 * m["s"] + 0.001 * g * g
    return w - LR * m["m"] / (1 - 0.9**t) / (math.sqrt(m["s"] / (1 - 0.999**t)) + 1e-8)


def curve(w):
    """A loss with unlike curvatures and no symmetry."""
    scale = torch.arange(1, w.numel() + 1, dtype=w.dtype).reshape(w.shape)
    return (scale * (w - 0.3) ** 2).sum() + w.prod() + w.sin().sum()


def after(name, start, steps=STEPS, **recipe):
    w = nn.Parameter(start.clone())
    optimizer = optimizers.create(Recipe(name, lr=LR, **recipe), [w])
    for _ in range(steps):
        optimizer.zero_grad()
        curve(w).backward()
        optimizer.step()
    return w.detach()


@pytest.mark.covers("optimizer/gradient-descent", "optimizer/momentum", "optimizer/adam", "optimizer/rmsprop")
@pytest.mark.parametrize("name", ["gd", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.4])
def test_agrees_with_its_definition(name, decay):
    """Each weight by plain numbers; a matrix decays first, w = w (1 - lr decay), whatever the optimizer."""
    start = torch.tensor([[0.5, -1.2], [0.8, 0.1]], dtype=torch.float64)
    w, memory = start.clone(), [{"m": 0.0, "s": 0.0} for _ in range(4)]
    for t in range(1, STEPS + 1):
        x = w.clone().requires_grad_()
        (grad,) = torch.autograd.grad(curve(x), x)
        w = (1 - LR * decay) * w
        moved = [
            naive(name, a, g, m, t)
            for a, g, m in zip(w.flatten().tolist(), grad.flatten().tolist(), memory, strict=True)
        ]
        w = torch.tensor(moved, dtype=torch.float64).reshape(2, 2)
    torch.testing.assert_close(after(name, start, weight_decay=decay), w, rtol=1e-10, atol=1e-12)


@pytest.mark.covers("optimizer/adagrad", "optimizer/adaptive-learning-rates")
def test_adaptive_rates_undo_the_scale_of_a_weight():
    """A gradient ten thousand times as large moves a weight as far; with plain descent, ten thousand times as far."""
    scale = torch.tensor([1.0, 1e4], dtype=torch.float64)
    ratios = {}
    for name in ("sgd", "adagrad", "rmsprop", "adam"):
        w = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        optimizer = optimizers.create(Recipe(name, lr=0.01), [w])
        for _ in range(5):
            w.grad = scale.clone()
            optimizer.step()
        ratios[name] = (w[1] / w[0]).item()
    assert ratios.pop("sgd") == pytest.approx(1e4)
    assert all(r == pytest.approx(1, abs=1e-4) for r in ratios.values()), ratios


@pytest.mark.covers("claim/w22")
def test_adam_is_rmsprop_with_momentum():
    """Bias correction written off: b1 = 0 leaves RMSprop's step, a constant root leaves momentum's (times 1 - b1)."""
    start = torch.tensor([0.5, -1.2, 0.8], dtype=torch.float64)
    w, m, s = start.clone(), torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for t in range(1, STEPS + 1):
        x = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(curve(x), x)
        m = 0.9 * m + 0.1 * g  # the momentum part
        s = 0.99 * s + 0.01 * g**2  # the RMSprop part
        w = w - LR * (m / (1 - 0.9**t)) / ((s / (1 - 0.99**t)).sqrt() + 1e-8)
    torch.testing.assert_close(after("adam", start, options={"betas": [0.9, 0.99]}), w, rtol=1e-10, atol=0)

    # b1 = 0, b2 = alpha: RMSprop itself, whose rate is corrected by sqrt(1 - b2^t).
    p, q = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam = optimizers.create(Recipe("adam", lr=LR, options={"betas": [0.0, 0.99], "eps": 1e-30}), [p])
    rms = optimizers.create(Recipe("rmsprop", lr=LR, options={"alpha": 0.99, "eps": 1e-30}), [q])
    for t in range(1, STEPS + 1):
        for weight, optimizer in ((p, adam), (q, rms)):
            optimizer.zero_grad()
            curve(weight).backward()
        optimizers.set_lr(rms, LR * math.sqrt(1 - 0.99**t))
        adam.step(), rms.step()
    torch.testing.assert_close(p, q, rtol=1e-10, atol=0)

    # A vast eps makes the root a constant: momentum with rate lr (1 - b1) / eps, corrected by 1 / (1 - b1^t).
    p, q = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam = optimizers.create(Recipe("adam", lr=LR * 1e9, options={"betas": [0.9, 0.99], "eps": 1e9}), [p])
    ball = optimizers.create(Recipe("momentum", lr=LR, options={"momentum": 0.9}), [q])
    for t in range(1, STEPS + 1):
        for weight, optimizer in ((p, adam), (q, ball)):
            optimizer.zero_grad()
            curve(weight).backward()
        optimizers.set_lr(ball, LR * 0.1 / (1 - 0.9**t))
        adam.step(), ball.step()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=0)  # the root is 1e-8 of eps


def descent(name, **options):
    """Steps to tolerance and turns of direction along the steep axis of 0.5 (x^2 + 100 y^2)."""
    h = torch.tensor([1.0, 100.0], dtype=torch.float64)
    w = nn.Parameter(torch.tensor([10.0, 1.0], dtype=torch.float64))
    lr = options.pop("lr")
    optimizer, turns, last = optimizers.create(Recipe(name, lr=lr, options=options), [w]), 0, w.detach().clone()
    for step in range(1, 5000):
        optimizer.zero_grad()
        (0.5 * h * w**2).sum().backward()
        optimizer.step()
        turns += int((w[1] * last[1] < 0).item())
        last = w.detach().clone()
        if (h * w**2).sum() < 1e-8:
            return step, turns
    return 5000, turns


@pytest.mark.covers("claim/w21", "optimizer/stochastic-gradient-descent")
def test_momentum_is_faster_on_a_long_valley_and_damps_oscillation():
    """Condition 100, each with its own best constants (Polyak): plain 2/(1+100), momentum 4/(1+10)^2, (9/11)^2."""
    plain, plain_turns = descent("sgd", lr=2 / 101)
    ball, ball_turns = descent("momentum", lr=4 / 121, momentum=(9 / 11) ** 2)
    assert ball * 4 < plain < 5000
    assert ball_turns * 4 < plain_turns  # plain descent jumps across the valley at every step
    swift, _ = descent("nesterov", lr=1 / 100, momentum=9 / 11)
    assert swift * 3 < plain


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 8), nn.LayerNorm(8),
        nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


def train(model, optimizer, first, last):
    for step in range(first, last):
        x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizers.set_lr(optimizer, 0.01 / (1 + step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
@pytest.mark.parametrize("fused", [None, False])
def test_goes_on_from_what_was_saved_bit_for_bit(name, fused):
    recipe = Recipe(name, lr=0.01, weight_decay=0.1)
    whole = network()
    optimizer = optimizers.create(recipe, whole, fused=fused)
    train(whole, optimizer, 0, 6)

    part = network()
    optimizer = optimizers.create(recipe, part, fused=fused)
    train(part, optimizer, 0, 3)
    weights, state = copy.deepcopy(part.state_dict()), copy.deepcopy(optimizer.state_dict())

    other = network()
    other.load_state_dict(weights)
    optimizer = optimizers.create(recipe, other, fused=fused)
    optimizer.load_state_dict(state)
    train(other, optimizer, 3, 6)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_fused_and_plain_updates_agree(name):
    one, two = network().double(), network().double()
    for model, fused in ((one, None), (two, False)):
        optimizer = optimizers.create(Recipe(name, lr=0.01, weight_decay=0.1), model, fused=fused)
        for step in range(4):
            x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(step)).double()
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)  # sums in another order


class Reader(nn.Module):
    """A table, a position, a norm, experts, and a head tied to the table."""

    def __init__(self, tied=False):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.positions = nn.Parameter(torch.randn(1, 6, 4))
        self.experts = nn.Parameter(torch.randn(3, 4, 4))
        self.norm = nn.LayerNorm((6, 4))
        self.hidden = nn.Linear(4, 4)
        self.head = nn.Linear(4, 10)
        if tied:
            self.head.weight = self.table.weight


@pytest.mark.covers("regular/weight-decay")
def test_only_matrices_decay():
    """Without a loss's pull, the matrices alone shrink, by 1 - lr decay a step; tables, norms, biases stay."""
    for name in optimizers.OPTIMIZERS:
        model = Reader()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        optimizer = optimizers.create(Recipe(name, lr=0.5, weight_decay=0.2), model)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        for key, value in model.state_dict().items():
            factor = 0.9 if key in ("experts", "hidden.weight", "head.weight") else 1.0
            torch.testing.assert_close(value, before[key] * factor, msg=f"{name}: {key}")


def test_attributes_of_a_parameter_have_the_last_word():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.lr_scale = 0.1
    model[1].weight.decay = False
    optimizer = optimizers.create(Recipe("adamw", lr=0.5, weight_decay=0.2), model)
    optimizers.set_lr(optimizer, 0.4)
    found = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    assert found[id(model[0].weight)]["lr"] == pytest.approx(0.04)
    assert found[id(model[0].weight)]["weight_decay"] == 0.2
    assert found[id(model[1].weight)]["lr"] == 0.4
    assert found[id(model[1].weight)]["weight_decay"] == 0


@pytest.mark.parametrize("tied", [False, True])
def test_muon_moves_hidden_matrices_and_no_table_head_or_norm(tied):
    model = Reader(tied)
    optimizer = optimizers.create(Recipe("muon"), model)
    moved = {id(p) for g in optimizer.param_groups if g["muon"] for p in g["params"]}
    assert {n for n, p in model.named_parameters() if id(p) in moved} == {"hidden.weight", "experts"}


def test_muon_agrees_with_torchs_own():
    """torch's works in bfloat16 whatever it is given: 8 bits of the update's size."""
    torch.manual_seed(1)
    shapes = [(6, 10), (10, 6), (6, 10), (8, 8)]
    ours, theirs = ([nn.Parameter(torch.randn(s, generator=torch.Generator().manual_seed(i))) for i, s in
                     enumerate(shapes)] for _ in range(2))  # fmt: skip
    muon = Muon([{"params": ours}], lr=0.1, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        muon.step(), reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.01)


def test_muon_gives_all_directions_one_size_and_the_size_of_adamw():
    """Against U V' of the SVD; kernels as (out, in · places), stacks one matrix at a time; RMS 0.2 lr."""
    g = torch.Generator().manual_seed(3)
    kernel, stack = torch.randn(6, 4, 3, 3, generator=g), torch.randn(2, 12, 5, generator=g)
    for tensor, stacked in ((kernel, False), (stack, True)):
        p = nn.Parameter(torch.zeros_like(tensor))
        p.grad = tensor.clone()
        Muon([{"params": [p], "stack": stacked}], lr=1.0).step()
        moved = -p.detach()
        pairs = zip(moved, tensor, strict=True) if stacked else [(moved.flatten(1), tensor.flatten(1))]
        for update, grad in pairs:
            u, _, v = torch.linalg.svd(grad, full_matrices=False)
            exact = 0.2 * max(grad.shape) ** 0.5 * (u @ v)
            assert torch.nn.functional.cosine_similarity(update.flatten(), exact.flatten(), dim=0) > 0.97
            sizes = torch.linalg.svdvals(update) / (0.2 * max(grad.shape) ** 0.5)
            assert sizes.min() > 0.6 and sizes.max() < 1.3
            assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_orthogonalising_many_matrices_is_orthogonalising_each():
    x = torch.randn(5, 7, 4)
    torch.testing.assert_close(orthogonalise(x), torch.cat([orthogonalise(m[None]) for m in x]))


def test_schedule_free_agrees_with_its_definition():
    """x, y, z kept apart as the paper writes them; ours keeps y and z."""
    start = torch.tensor([[0.5, -1.2], [0.8, 0.1]], dtype=torch.float64)
    p = nn.Parameter(start.clone())
    optimizer = optimizers.create(Recipe("schedule_free", lr=LR, weight_decay=0.1), [p])
    x, z, v, total = start.clone(), start.clone(), torch.zeros_like(start), 0.0
    for t in range(1, STEPS + 1):
        lr = LR * min(1, t / 3)  # with a warm-up, to try the weights
        y = (0.1 * z + 0.9 * x).requires_grad_()
        (g,) = torch.autograd.grad(curve(y), y)
        v = 0.999 * v + 0.001 * g**2
        z = z - lr * (g / ((v / (1 - 0.999**t)).sqrt() + 1e-8) + 0.1 * y.detach())
        total += lr**2
        x = (1 - lr**2 / total) * x + lr**2 / total * z
        optimizers.set_lr(optimizer, lr)
        optimizer.zero_grad()
        curve(p).backward()
        optimizer.step()
    torch.testing.assert_close(p.detach(), 0.1 * z + 0.9 * x, rtol=1e-9, atol=0)
    before = p.detach().clone()
    with optimizer.eval_weights():
        torch.testing.assert_close(p.detach(), x, rtol=1e-9, atol=0)
        with pytest.raises(TrainingError, match=r"Call optimizer.train\(\) first"):
            optimizer.step()
    assert torch.equal(p, before)


def test_schedule_free_saved_while_it_holds_the_average_goes_on_the_same():
    recipe, one, two = Recipe("schedule_free", lr=0.01), network(), network()
    optimizer = optimizers.create(recipe, one)
    train(one, optimizer, 0, 3)
    optimizer.eval()
    weights, state = copy.deepcopy(one.state_dict()), copy.deepcopy(optimizer.state_dict())
    optimizer.train()
    train(one, optimizer, 3, 5)
    two.load_state_dict(weights)
    other = optimizers.create(recipe, two)
    other.load_state_dict(state)
    other.train()
    train(two, other, 3, 5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def lasso(name, l1, l2):
    """Twenty columns of which three matter, least squares; the weights after 300 steps."""
    g = torch.Generator().manual_seed(5)
    x = torch.randn(200, 20, generator=g)
    truth = torch.zeros(20)
    truth[:3] = torch.tensor([2.0, -1.5, 1.0])
    y = x @ truth + 0.1 * torch.randn(200, generator=g)
    layer = nn.Linear(20, 1, bias=False)
    nn.init.normal_(layer.weight, generator=g)
    optimizer = optimizers.create(Recipe(name, lr=0.05), layer)
    for _ in range(300):
        optimizer.zero_grad()
        (layer(x).squeeze(-1) - y).square().mean().backward()
        optimizers.add_l2(optimizer, l2)
        optimizer.step()
        optimizers.shrink(optimizer, l1)
    return layer.weight.detach().squeeze(0)


@pytest.mark.covers("regular/sparsity-through-l1", "claim/w17")
@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw", "schedule_free"])
def test_l1_makes_weights_exactly_zero_and_l2_only_shrinks_them(name):
    free, with_l1, with_l2 = lasso(name, 0, 0), lasso(name, 0.2, 0), lasso(name, 0, 0.2)
    assert (with_l1[3:] == 0).float().mean() >= 0.7 and (with_l1[:3] != 0).all()
    assert (with_l2 != 0).all() and (free != 0).all()
    assert with_l2.norm() < free.norm()


def test_shrinking_moves_towards_zero_and_stops_there():
    w = torch.tensor([0.3, -0.3, 0.05, -0.05, 0.0])
    optimizers.shrink([w], 0.1)
    torch.testing.assert_close(w, torch.tensor([0.2, -0.2, 0.0, 0.0, 0.0]))
    assert (w[2:] == 0).all()


def test_the_l2_gradient_is_the_weight():
    layer = nn.Linear(2, 2)
    optimizer = optimizers.create(Recipe("sgd"), layer)
    layer(torch.zeros(1, 2)).sum().backward()
    bias = layer.bias.grad.clone()
    optimizers.add_l2(optimizer, 0.3)
    torch.testing.assert_close(layer.weight.grad, 0.3 * layer.weight)
    assert torch.equal(layer.bias.grad, bias)


def test_wrong_names_options_and_values_are_refused():
    layer = nn.Linear(2, 2)
    with pytest.raises(UnknownName, match=r"No optimizer is called 'adamx'. Did you mean 'adam"):
        optimizers.create(Recipe("adamx"), layer)
    with pytest.raises(SettingError, match=r"optimizer 'momentum' takes momentum=0.9, dampening=0.0. It has no 'mu'"):
        optimizers.create(Recipe("momentum", options={"mu": 0.9}), layer)
    for name in ("adam", "muon", "schedule_free"):
        with pytest.raises(SettingError, match=f"optimizer '{name}'.*1.5"):
            optimizers.create(Recipe(name, options={"betas": [1.5, 0.9]}), layer)
    with pytest.raises(SettingError, match=r"betas are two numbers, e.g. \[0.9, 0.999\], but came as \[0.9\]"):
        optimizers.create(Recipe("adam", options={"betas": [0.9]}), layer)
    with pytest.raises(SettingError, match=r"lr is a number of at least 0, but came as -1"):
        optimizers.create(Recipe(lr=-1.0), layer)
    layer.requires_grad_(False)
    with pytest.raises(SettingError, match="nothing to train"):
        optimizers.create(Recipe(), layer)


@pytest.mark.covers(
    "optimizer/mini-batch-gradient-descent", "optimizer/gradient-descent", "optimizer/stochastic-gradient-descent"
)
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_descent_on_samples_mini_batches_or_all_of_them_finds_the_least_squares(batch):
    """64 rows without noise: whatever the size of the batch, the normal equations' solution is reached."""
    g = torch.Generator().manual_seed(2)
    x = torch.randn(64, 3, generator=g, dtype=torch.float64)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    layer = nn.Linear(3, 1, bias=False).double()
    optimizer = optimizers.create(Recipe("gd" if batch == 64 else "sgd", lr=0.05), layer)
    for _ in range(1200 * batch // 64 + 300):
        rows = torch.randperm(64, generator=g)[:batch]
        optimizer.zero_grad()
        (layer(x[rows]) - y[rows]).square().mean().backward()
        optimizer.step()
    expected = torch.linalg.lstsq(x, y).solution.mT
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=0, atol=1e-3)
