"""Published checkpoints: another library's names for the same tensors, as a table, read and written."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from lamina.core.errors import ShapeError

__all__ = ["Layout"]

State = Mapping[str, Tensor]


def _as_it_is(state: State) -> dict[str, Tensor]:
    return dict(state)


@dataclass(frozen=True)
class Layout:
    """How a library stores a network that we have too.

    Args:
        of: whose, for messages.
        marks: a regular expression that their names begin with, and ours do not.
        names: (ours, theirs), a regular expression that a name of ours begins with, and what stands there instead.
        prefix: of their names, which some files leave out.
        shared: our name -> ours of the tensor that it is, where files hold it once.
        ignored: their names that hold nothing learnt, or nothing of this network.
        enter, leave: from their tensors, under their names, to ours under their names, and back.
    """

    of: str
    marks: str
    names: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
    prefix: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)
    ignored: str = "(?!)"
    enter: Callable[[State], dict[str, Tensor]] = _as_it_is
    leave: Callable[[State], dict[str, Tensor]] = _as_it_is

    def meets(self, state: State) -> bool:
        """Whether most of these names are of this layout."""
        return 2 * sum(map(self._knows, self._whole(state))) > len(state)

    def write(self, state: State) -> dict[str, Tensor]:
        """A state dict of ours as one of theirs. Raises: ShapeError for a part that they do not have."""
        made = {}
        for name, tensor in state.items():
            theirs = self._theirs(name)
            if theirs is None:
                raise ShapeError(f"{self.of} has nothing like {name!r}, so this network has no place in that layout.")
            made[theirs] = tensor
        return self.leave(made)

    def read(self, model: nn.Module, state: State) -> dict[str, Tensor]:
        """A state dict of theirs as one that `model.load_state_dict` takes.

        Raises: ShapeError naming the first entry that is missing, of another shape, or of no use to the network.
        """
        own = model.state_dict()
        held = self.enter({k: v for k, v in self._whole(state).items() if not re.search(self.ignored, k)})
        made, used = {}, set()
        for name, tensor in own.items():
            theirs = self._theirs(name)
            if theirs not in held and name in self.shared:
                theirs = self._theirs(self.shared[name])
            if theirs is None or theirs not in held:
                raise ShapeError(
                    f"These weights of {self.of} have no {theirs!r} for this network's {name!r}. "
                    "Create it with the depth and settings that they were saved from."
                )
            if held[theirs].shape != tensor.shape:
                raise ShapeError(
                    f"{theirs!r} is {tuple(held[theirs].shape)} in these weights, but {tuple(tensor.shape)} in this "
                    "network. Create it with the sizes that the weights were saved from."
                )
            made[name] = held[theirs]
            used.add(theirs)
        if surplus := sorted(held.keys() - used):
            raise ShapeError(
                f"These weights of {self.of} also hold {surplus[0]!r}, and {len(surplus)} in all that this network has "
                "no place for. Create it with the depth and settings that they were saved from."
            )
        return made

    def _theirs(self, name: str) -> str | None:
        for ours, theirs in self.names:
            made, found = re.subn(f"^{ours}", theirs, name)
            if found:
                return made
        return None

    def _knows(self, name: str) -> bool:
        return re.match(self.marks, name) is not None

    def _whole(self, state: State) -> dict[str, Tensor]:
        """The same with the prefix that some files leave out."""
        return {
            name if self._knows(name) or not self._knows(self.prefix + name) else self.prefix + name: tensor
            for name, tensor in state.items()
        }
