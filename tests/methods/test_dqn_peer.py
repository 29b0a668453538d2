"""DQN's update against Stable-Baselines3's own, from the same transitions."""

from types import SimpleNamespace

import pytest
import torch

from lamina.methods.dqn import DQN
from lamina.models import mlp
from tests import peers

PUBLISHED = mlp.LAYOUTS["stable_baselines3"]


def phase_of(method, model):
    """The one phase that the method hands over, without training."""
    held = []

    def train(stage):
        held.append(stage)
        return iter(())

    environments = SimpleNamespace(observe=None, step=None, state=dict, restore=None)
    problem = SimpleNamespace(
        model=model, seed=0, device=torch.device("cpu"),
        data=SimpleNamespace(kinds=lambda: ["numbers"], environments=lambda count, seed: environments),
        task=SimpleNamespace(sizes=lambda: {"outputs": 2}),
    )  # fmt: skip
    list(method.learn(problem, train))
    return held[0]


@pytest.mark.peer
def test_an_update_moves_the_weights_as_stable_baselines3_does():
    """Plain Q-learning, a target that differs, ends among the transitions: five updates of Adam, clipped."""
    peer = peers.peer("stable_baselines3")
    theirs = peer.DQN(
        "MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [16, 16]}, learning_rate=1e-3, device="cpu"
    )
    theirs.policy.load_state_dict(peers.shaken(theirs.policy, torch.float32).state_dict())
    held = theirs.policy.state_dict()
    model = mlp.MLP(columns=4, outputs=2, hidden=[16, 16])
    model.load_state_dict(PUBLISHED.read(model, held))
    method = DQN(double=False, gamma=0.9)
    theirs.gamma = 0.9
    stage = phase_of(method, model)
    target = {name.replace("q_net_target", "q_net"): p for name, p in held.items() if name.startswith("q_net_target")}
    stage.modules["target"].load_state_dict(PUBLISHED.read(model, target))
    rng = torch.Generator().manual_seed(0)
    count = 64
    seen, after = 100 * torch.randn(2, count, 4, generator=rng)  # large: the clipping must act
    action = torch.randint(0, 2, (count,), generator=rng)
    reward = torch.randn(count, generator=rng)
    over = (torch.rand(count, generator=rng) < 0.3).float()
    assert 0 < over.sum() < count
    data = peer.common.type_aliases.ReplayBufferSamples(
        seen, action[:, None], after, over[:, None], reward[:, None], None
    )
    theirs.replay_buffer = SimpleNamespace(sample=lambda *a, **k: data)
    theirs._logger = SimpleNamespace(record=lambda *a, **k: None)
    theirs._current_progress_remaining = 1.0
    batch = {"numbers": seen, "action": action, "reward": reward, "after": after, "over": over, "frames": torch.ones(1)}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    (phase,) = stage.phases
    assert phase.recipe.optimizer == "adam" and phase.recipe.clip == theirs.max_grad_norm == 10
    for _ in range(5):
        optimizer.zero_grad()
        phase.loss(batch)["temporal_difference"].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), phase.recipe.clip)
        assert norm > 10
        optimizer.step()
    theirs.train(gradient_steps=5, batch_size=count)
    peers.agree(model(seen), theirs.q_net(seen))
    written = PUBLISHED.write(model.state_dict())
    assert written.keys() == theirs.policy.state_dict().keys()
    for name, tensor in model.state_dict().items():
        moved = theirs.policy.state_dict()[name.replace("layers.", "q_net.q_net.")]
        torch.testing.assert_close(tensor, moved, rtol=1e-5, atol=1e-6)


@pytest.mark.peer
@peers.DTYPES
def test_a_policy_of_stable_baselines3_gives_its_values_here(dtype):
    peer = peers.peer("stable_baselines3")
    policy = peer.DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [16, 8]}, device="cpu").policy
    theirs = peers.shaken(policy, dtype)
    ours = mlp.MLP(columns=4, outputs=2, hidden=[16, 8]).to(dtype).eval()
    ours.load_state_dict(PUBLISHED.read(ours, theirs.state_dict()))
    x = torch.randn(9, 4, dtype=dtype)
    peers.agree(ours(x), theirs.q_net.q_net(x))
    theirs.load_state_dict(PUBLISHED.write(ours.state_dict()), strict=True)
    peers.agree(ours(x), theirs.q_net.q_net(x))
