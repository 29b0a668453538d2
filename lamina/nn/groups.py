"""What each parameter is for, so that an optimizer treats it right: who decays, who is hidden, whose rate is scaled.

A parameter *decays* when it has at least two axes and is no table of embeddings, no part of a norm, and not named as
a bias, position, token, embedding, scale or gain: pulling those towards zero hurts and saves nothing
(Loshchilov & Hutter 2019, arXiv:1711.05101; Steiner et al. 2021, arXiv:2106.10270).
A parameter is *hidden* when it decays and belongs neither to the last such layer nor to one called `head`: Muon's.
Three attributes, set on the parameter itself, have the last word: `lr_scale` (float), `decay` and `hidden` (bool).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from lamina.core.errors import SettingError

__all__ = ["Role", "is_norm", "roles"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
_CONVOLUTIONS = (nn.modules.conv._ConvNd,)
_NEVER = ("bias", "position", "token", "embed", "scale", "gain")


@dataclass
class Role:
    """One parameter and what it is for.

    layer: the module that owns it; in a bare list each parameter stands alone, under its index.
    stack: its leading axes count matrices (experts), where those of a convolution's kernel count places.
    """

    layer: str
    name: str
    parameter: nn.Parameter
    decayed: bool
    hidden: bool
    stack: bool
    lr_scale: float


def is_norm(module: nn.Module) -> bool:
    """A normalisation layer: torch's own, or one whose class is called …Norm."""
    return isinstance(module, _NORMS) or type(module).__name__.lower().endswith("norm")


def roles(parameters: nn.Module | Iterable[nn.Parameter]) -> list[Role]:
    """The trainable parameters, each once, in their order. A bare list is judged by its axes and attributes alone."""
    found = list(_of_module(parameters) if isinstance(parameters, nn.Module) else _of_list(parameters))
    if not found:
        raise SettingError("There is nothing to train: no parameter is given that requires a gradient.")
    if isinstance(parameters, nn.Module):
        last = _last_layer(parameters)
    else:
        last = next((r.layer for r in reversed(found) if r.decayed), None)
    for role in found:
        hidden = role.decayed and role.layer != last and role.layer.rpartition(".")[2] != "head"
        role.hidden = bool(getattr(role.parameter, "hidden", hidden))
    return found


def _last_layer(module: nn.Module) -> str | None:
    """The last layer with a matrix, even where that is tied to a table of embeddings: the head."""
    names = [
        name
        for name, m in module.named_modules()
        if not (is_norm(m) or isinstance(m, _TABLES)) and any(map(_is_matrix, *_own(m)))
    ]
    return names[-1] if names else None


def _own(module: nn.Module) -> tuple[list[str], list[nn.Parameter]]:
    own = dict(module.named_parameters(recurse=False))
    return list(own), list(own.values())


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    last = name.rpartition(".")[2].lower()
    return parameter.ndim >= 2 and not any(n in last for n in _NEVER)


def _of_module(module: nn.Module) -> Iterator[Role]:
    exempt = {id(p) for m in module.modules() if is_norm(m) or isinstance(m, _TABLES) for p in _own(m)[1]}
    kernels = {id(p) for m in module.modules() if isinstance(m, _CONVOLUTIONS) for p in _own(m)[1]}
    for name, p in module.named_parameters():
        if p.requires_grad:
            layer, stack = name.rpartition(".")[0], p.ndim > 2 and id(p) not in kernels
            yield _role(layer, name, p, _is_matrix(name, p) and id(p) not in exempt, stack)


def _of_list(parameters: Iterable[nn.Parameter]) -> Iterator[Role]:
    seen: set[int] = set()
    for index, p in enumerate(parameters):
        if p.requires_grad and id(p) not in seen:
            seen.add(id(p))
            yield _role(str(index), str(index), p, p.ndim >= 2, stack=False)


def _role(layer: str, name: str, parameter: nn.Parameter, decayed: bool, stack: bool) -> Role:
    decayed = bool(getattr(parameter, "decay", decayed))
    return Role(layer, name, parameter, decayed, False, stack, float(getattr(parameter, "lr_scale", 1.0)))
