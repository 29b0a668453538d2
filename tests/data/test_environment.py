"""Environments side by side: seeds, ends of episodes, and going on bit for bit."""

import json
import sys
import time

import numpy as np
import pytest

from lamina.core.errors import DataError, MissingExtra, SettingError, UnknownName
from lamina.data import environment
from lamina.data.environment import Environments

pytest.importorskip("gymnasium")


def play(envs, steps, seed=0):
    """Random actions from a seed; everything that came back."""
    source, seen = np.random.default_rng(seed), [envs.observe()]
    for _ in range(steps):
        if envs.action.kind == "category":
            seen += envs.step(source.integers(envs.action.size, size=len(envs)))
        else:
            seen += envs.step(source.uniform(-1, 1, (len(envs), envs.action.size)))
    return seen


@pytest.mark.covers("rl/environment-interaction")
def test_it_steps_as_gymnasium_does_and_resets_by_itself():
    """Against one environment stepped by hand from the same reset seed, over the end of an episode."""
    import gymnasium

    from lamina.core.seeds import mix

    envs, by_hand = Environments("CartPole-v1", 2, seed=3), gymnasium.make("CartPole-v1")
    start, _ = by_hand.reset(seed=mix(3, "reset", 1, 0) >> 31)
    np.testing.assert_array_equal(envs.observe()[1], start)
    for _ in range(200):
        seen, reward, terminated, truncated, _ = by_hand.step(1)
        following, got, done, cut, final = envs.step([0, 1])
        np.testing.assert_array_equal(final[1], seen)
        assert (got[1], done[1], cut[1]) == (reward, terminated, truncated)
        if terminated:
            break
    start, _ = by_hand.reset(seed=mix(3, "reset", 1, 1) >> 31)
    assert terminated and envs.episodes[1] == 1
    np.testing.assert_array_equal(following[1], start)
    np.testing.assert_array_equal(envs.observe(), following)


def test_an_episode_that_is_cut_off_is_truncated_not_terminated():
    envs = Environments("CartPole-v1", 1, seed=0, max_episode_steps=3)
    ends = [envs.step([i % 2])[2:4] for i in range(3)]
    assert [bool(t[0]) for t, _ in ends] == [False] * 3 and [bool(c[0]) for _, c in ends] == [False, False, True]


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1"])
def test_it_goes_on_bit_for_bit_from_the_middle_of_an_episode(name):
    envs = Environments(name, 3, seed=5)
    play(envs, 57)
    saved = json.loads(json.dumps(envs.state()))
    assert any(saved["actions"])
    other = Environments(name, 3, seed=5)
    play(other, 10, seed=9)
    other.restore(saved)
    for a, b in zip(play(envs, 120, seed=1), play(other, 120, seed=1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert envs.state() == other.state()


def test_environments_and_seeds_start_apart():
    starts = np.concatenate([Environments("CartPole-v1", 3, seed=s).observe() for s in (0, 1)])
    assert len(np.unique(starts, axis=0)) == 6


def test_a_state_of_other_environments_is_refused():
    envs = Environments("CartPole-v1", 2, seed=0)
    with pytest.raises(DataError, match=r"2 x CartPole-v1 with seed 0, but here are 2 x CartPole-v1 with seed 1"):
        Environments("CartPole-v1", 2, seed=1).restore(envs.state())


def test_spaces_are_told_in_the_words_of_fields():
    cart, pendulum = environment.open("gym:CartPole-v1"), environment.open("gym:Pendulum-v1")
    assert (cart.observation.kind, cart.action.kind, cart.sizes()) == (
        "numbers",
        "category",
        {"columns": 4, "actions": 2},
    )
    assert (cart.longest, cart.solved) == (500, 475.0)
    assert (pendulum.action.kind, pendulum.action.low, pendulum.action.high) == ("numbers", (-2.0,), (2.0,))
    assert cart.make(2, seed=1).observe().shape == (2, 4) and cart.fingerprint != pendulum.fingerprint
    assert any("one of 2 categories" in note for note in cart.notes)


def test_categories_are_seen_one_hot():
    pytest.importorskip("gymnasium.envs.toy_text")
    envs = environment.open("gym:Taxi-v4" if "Taxi-v4" in __import__("gymnasium").registry else "gym:Taxi-v3").make(
        2, 0
    )
    seen = envs.observe()
    assert seen.shape == (2, 500) and (seen.sum(1) == 1).all()


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(UnknownName, match=r"No environment is called 'gym:CartPol-v1'. Did you mean 'CartPole-v1'\?"):
        environment.open("gym:CartPol-v1")


def test_a_missing_gymnasium_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lamina\[rl\]'"):
        environment.open("gym:CartPole-v1")


def test_settings_and_actions_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="gravitation"):
        environment.open("gym:CartPole-v1", gravitation=1)
    with pytest.raises(SettingError, match="2 environments of CartPole-v1 need 2 actions, but 3 came"):
        Environments("CartPole-v1", 2, 0).step([0, 1, 1])


def test_eight_carts_make_20_000_steps_a_second():
    envs, actions = Environments("CartPole-v1", 8, seed=0), np.arange(8) % 2
    start = time.process_time()
    for _ in range(500):
        envs.step(actions)
    assert 8 * 500 / (time.process_time() - start) > 20_000
