"""Environments of gymnasium, `gym:CartPole-v1`: several side by side, stepped from Python, restored by replay.

Episode e of environment i starts from the reset seed mix(seed, "reset", i, e), so that a run is a function of its seed
and its actions. What must be saved is each environment's episode number and the actions taken since its reset: the
same episode is gone through again, and everything after it is equal bit for bit. Environments whose steps draw on
other randomness than their own generator (`nondeterministic` in gymnasium) are not restored so, and `notes` say it.
"""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamina.core.errors import DataError, Interrupted, MissingExtra, SettingError, UnknownName, did_you_mean
from lamina.core.seeds import mix

__all__ = ["LONGEST", "Environment", "Environments", "Space", "open"]

LONGEST = 10_000  # steps of an episode that an environment would never end


@dataclass(frozen=True)
class Space:
    """What is observed or done, in the words of fields.

    kind: numbers (a row of `size`), image (`shape` is channels, height, width) or category (one of `size`).
    low, high: bounds of numbers, one for each; first: the number that gymnasium gives the first category.
    """

    kind: str
    size: int
    shape: tuple[int, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    first: int = 0


@dataclass
class Environment:
    """An environment as a source: what it is called, what is observed and what can be done.

    longest: steps after which an episode is cut off. solved: the return that counts as solved.
    """

    name: str
    source: str
    observation: Space
    action: Space
    longest: int
    solved: float | None
    fingerprint: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def sizes(self) -> dict[str, Any]:
        """columns, or channels and size, of what is observed; actions: how many to choose from, or how many numbers."""
        seen: dict[str, Any] = {"columns": self.observation.size}
        if self.observation.kind == "image":
            seen = {"channels": self.observation.shape[0], "size": self.observation.shape[1]}
        return {**seen, "actions": self.action.size}

    def make(self, count: int, seed: int) -> "Environments":
        """`count` of them, side by side."""
        return Environments(self.name, count, seed, longest=self.longest, **self.settings)


class Environments:
    """A vector of equal environments, reset by themselves when an episode ends.

    Args:
        name: as gymnasium calls it. count: how many side by side. seed: of all resets.
        longest: steps after which an episode is cut off, whatever the environment says.
        settings: keywords of gymnasium's `make`, for instance g=9.8.

    Observations are (count, columns) float32, or (count, channels, height, width) uint8 for pictures.
    """

    def __init__(self, name: str, count: int, seed: int, *, longest: int = LONGEST, **settings: Any):
        if count < 1:
            raise SettingError(f"{count} environments of {name} were asked for; take 1 or more.")
        self.name, self.seed, self.longest = name, seed, longest
        self._envs = [_make(name, settings) for _ in range(count)]
        self.observation = _space(self._envs[0].observation_space, name, "observation")
        self.action = _space(self._envs[0].action_space, name, "action")
        self.episodes = [-1] * count
        self._actions: list[list[Any]] = [[] for _ in range(count)]
        dtype = np.uint8 if self.observation.kind == "image" else np.float32
        self._now = np.zeros((count, *self.observation.shape), dtype)
        for i in range(count):
            self._reset(i)

    def __len__(self) -> int:
        return len(self._envs)

    def observe(self) -> np.ndarray:
        """What is seen now; a copy."""
        return self._now.copy()

    def picture(self) -> np.ndarray | None:
        """The first as it looks now, (height, width, 3) uint8; None where its `render_mode` draws none."""
        frame = self._envs[0].render()
        return np.asarray(frame, np.uint8) if np.ndim(frame) == 3 else None

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One step in each: (next, reward, terminated, truncated, final).

        actions: (count,) categories counted from 0, or (count, size) numbers. next: what to act on from here, after
        an end the new episode's start. final: what this step led to, equal to next but where an episode ended.
        """
        actions = np.asarray(actions)
        count = len(self._envs)
        if len(actions) != count:
            raise SettingError(f"{count} environments of {self.name} need {count} actions, but {len(actions)} came.")
        plain = self.action.kind == "category"
        chosen = (actions + self.action.first).tolist() if plain else actions.astype(np.float32)
        reward = np.zeros(count, np.float32)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        final = np.empty_like(self._now)
        for i, env in enumerate(self._envs):
            self._actions[i].append(chosen[i])
            try:
                seen, reward[i], terminated[i], truncated[i], _ = env.step(chosen[i])
            except Exception as error:
                where = f"step {len(self._actions[i])} of episode {self.episodes[i]} (environment {i})"
                raise Interrupted(f"gym:{self.name} failed in {where}: {type(error).__name__}: {error}") from error
            final[i] = self._shown(seen, i)
            if not np.isfinite(reward[i]):
                raise DataError(self._told(i, f"gives a reward of {reward[i]}"))
            truncated[i] |= len(self._actions[i]) >= self.longest
            if terminated[i] or truncated[i]:
                self._reset(i)
            else:
                self._now[i] = final[i]
        return self._now.copy(), reward, terminated, truncated, final

    def state(self) -> dict[str, Any]:
        """Episode number and actions since its start, for each; plain lists, ready for JSON."""
        actions = [[a if isinstance(a, int) else a.tolist() for a in taken] for taken in self._actions]
        return {"name": self.name, "seed": self.seed, "episodes": list(self.episodes), "actions": actions}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to where `state` was taken, by going through each episode again from its reset seed."""
        came = (state["name"], state["seed"], len(state["episodes"]))
        if came != (self.name, self.seed, len(self)):
            raise DataError(
                f"The saved state is of {came[2]} x {came[0]} with seed {came[1]}, but here are {len(self)} x "
                f"{self.name} with seed {self.seed}. Resume with the run's own settings."
            )
        for i, (episode, taken) in enumerate(zip(state["episodes"], state["actions"], strict=True)):
            self.episodes[i] = episode - 1
            self._reset(i)
            for made in taken:
                action = made if self.action.kind == "category" else np.asarray(made, np.float32)
                self._actions[i].append(action)
                seen, _, terminated, truncated, _ = self._envs[i].step(action)
                self._now[i] = self._shown(seen, i)
                if terminated or truncated:
                    raise DataError(
                        f"Replaying episode {episode} of environment {i} of {self.name} ended after "
                        f"{len(self._actions[i])} of {len(taken)} actions: it does not repeat itself from its seed, "
                        "or another version of it is installed."
                    )

    def close(self) -> None:
        for env in self._envs:
            env.close()

    def _reset(self, i: int) -> None:
        self.episodes[i] += 1
        self._actions[i] = []
        seed = mix(self.seed, "reset", i, self.episodes[i]) >> 31  # gymnasium's older environments take 32 bits
        self._now[i] = self._shown(self._envs[i].reset(seed=seed)[0], i)

    def _shown(self, seen: Any, i: int) -> Any:
        if self.observation.kind == "image":
            return np.moveaxis(seen.reshape(*seen.shape[:2], -1), 2, 0)
        if self.observation.kind == "category":
            return np.eye(self.observation.size, dtype=np.float32)[seen - self.observation.first]
        seen = np.reshape(seen, -1)
        if not np.isfinite(seen).all():
            wrong = int(np.flatnonzero(~np.isfinite(seen))[0])
            raise DataError(self._told(i, f"shows {seen[wrong]} as number {wrong + 1} of {len(seen)}"))
        return seen

    def _told(self, i: int, what: str) -> str:
        return (
            f"gym:{self.name} {what} after {len(self._actions[i])} steps of episode {self.episodes[i]} "
            f"(environment {i}, seed {self.seed}), where finite numbers were expected. Mend it, or wrap it so that it "
            "ends the episode instead."
        )


def open(source: str, *, longest: int | None = None, **settings: Any) -> Environment:
    """`gym:ID` as an Environment.

    longest: steps after which an episode is cut off; None is what the environment says, or 10,000 where it never ends.
    Raises: MissingExtra without gymnasium; UnknownName with the nearest id; DataError for spaces that are not read.
    """
    if longest is not None and longest < 1:
        raise SettingError(f"data.longest counts the steps of an episode, 1 or more; {longest} came.")
    name = source.removeprefix("gym:")
    env = _make(name, settings)
    spec = env.spec
    seen, done = _space(env.observation_space, name, "observation"), _space(env.action_space, name, "action")
    env.close()
    version = importlib.metadata.version("gymnasium")
    print_ = hashlib.blake2b(
        repr((name, longest, sorted(settings.items()), version)).encode(), digest_size=16
    ).hexdigest()
    notes = [f"observes {_told(seen)}, acts by {_told(done)}"]
    if spec.nondeterministic:
        notes.append(f"{name} does not repeat itself from a seed: a stopped run goes on, but not bit for bit")
    if longest is None and spec.max_episode_steps is None:
        notes.append(f"{name} sets no end: episodes are cut off after {LONGEST:,} steps (--set data.longest=N)")
    most = longest or spec.max_episode_steps or LONGEST
    return Environment(name, source, seen, done, most, spec.reward_threshold, print_, settings, notes)


def _make(name: str, settings: Mapping[str, Any]) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtra("gymnasium", "rl", f"The environment gym:{name}") from error
    if name.count(":") > 1:
        raise UnknownName(f"No environment is called 'gym:{name}'. It is gym:ID, or gym:MODULE:ID for one of your own.")
    try:
        return gymnasium.make(name, disable_env_checker=True, **settings)
    except ModuleNotFoundError as error:
        raise UnknownName(f"gym:{name} names the module {error.name!r} to import first, and there is none.") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise DataError(f"gym:{name} needs more than is installed: {error}") from error
    except gymnasium.error.Error as error:
        known = list(gymnasium.registry)
        near = did_you_mean(name, known) or " Known ones: gym:CartPole-v1, gym:Acrobot-v1, gym:Pendulum-v1 …"
        raise UnknownName(f"No environment is called 'gym:{name}'.{near} (gymnasium says: {error})") from error
    except TypeError as error:
        raise SettingError(f"gym:{name} does not take {dict(settings)}: {error}") from error


def _space(space: Any, name: str, what: str) -> Space:
    kind = type(space).__name__
    if kind == "Discrete":
        shape = (int(space.n),) if what == "observation" else ()
        return Space("category", int(space.n), shape, first=int(space.start))
    if kind == "Box":
        if what == "observation" and space.dtype == np.uint8 and len(space.shape) in (2, 3):
            height, width, *rest = space.shape
            return Space("image", int(np.prod(space.shape)), (rest[0] if rest else 1, height, width))
        size = int(np.prod(space.shape))
        low, high = (tuple(map(float, np.reshape(x, -1))) for x in (space.low, space.high))
        return Space("numbers", size, (size,), low, high)
    raise DataError(
        f"The {what} of gym:{name} is a {kind}; expected Discrete (a category) or Box (numbers, a picture). "
        "Wrap it first, by gymnasium.wrappers.FlattenObservation for instance, and register it under a name."
    )


def _told(space: Space) -> str:
    if space.kind == "category":
        return f"one of {space.size} categories"
    return f"{space.size} numbers" if space.kind == "numbers" else "a picture of {}x{}x{}".format(*space.shape)
