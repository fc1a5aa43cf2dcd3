"""Frozen parts of a model, and the names by which the config selects parts."""

import logging
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from ..errors import InputError
from ..modeling.meta_arch import DETECTOR

ALIASES = {"detector": DETECTOR}


def parameter_names(model: nn.Module, part: str, key: str) -> set[str]:
    """Find the names of the parameters in a part of a model.

    Args:
        model: any model.
        part: name of a module or parameter in the ``state_dict`` of the model, which may have the
            wildcards of file names (``*`` also matches dots); or one of ``ALIASES``.
        key: the config key that names the part, for the message.

    Raises:
        InputError: if there is no such part; the message lists existing ones.
    """
    if not isinstance(part, str):
        raise InputError(f"{key}: {part!r} is not a name of a part")
    names = [name for name, _ in model.named_parameters()]
    patterns = [x for pattern in ALIASES.get(part, (part,)) for x in (pattern, f"{pattern}.*")]
    found = {name for name in names if any(fnmatchcase(name, x) for x in patterns)}
    if not found:
        # List what is in the innermost module of the name that exists.
        parent = part
        while parent and not any(x.startswith(f"{parent}.") for x in names):
            parent = parent.rpartition(".")[0]
        prefix = f"{parent}." if parent else ""
        children = {x.removeprefix(prefix).split(".")[0] for x in names if x.startswith(prefix)}
        existing = ", ".join(f"{prefix}{x}" for x in sorted(children))
        raise InputError(f"{key}: the model has no part '{part}'; it has {existing}")
    return found


def freeze(model: nn.Module, parts: Iterable[str]) -> None:
    """Freeze parts of a model: their parameters require no gradient.

    ``MaskProp.train`` keeps their norms in eval mode, and a frozen detector computes no losses.

    Args:
        model: any model.
        parts: ``SOLVER.FROZEN``, names as in :func:`parameter_names`.

    Raises:
        InputError: if the model lacks one of the parts.
    """
    names = {name for part in parts for name in parameter_names(model, part, "SOLVER.FROZEN")}
    if names:
        parameters = dict(model.named_parameters())
        for name in names:
            parameters[name].requires_grad_(False)
        logging.getLogger(__name__).info(
            "Frozen: %s (%d of %d weights)",
            ", ".join(parts),
            sum(parameters[name].numel() for name in names),
            sum(x.numel() for x in parameters.values()),
        )
