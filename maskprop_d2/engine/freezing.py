"""Parts of a model, as the config names them: to be frozen, or to learn at a rate of their own."""

import logging
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from ..errors import InputError


def names_of_part(model: nn.Module, part: str, key: str) -> set[str]:
    """The names of the parameters in a part of a model.

    Args:
        model: any.
        part: the name of a module, with all that is in it, or of a parameter, as in the model's
            ``state_dict``. It may have the wildcards of file names; ``*`` matches dots too.
        key: the config key that names it, for the message.

    Raises:
        InputError: if there is none; the message lists parts that there are.
    """
    if not isinstance(part, str):
        raise InputError(f"{key}: {part!r} is no name of a part")
    names = [name for name, _ in model.named_parameters()]
    found = {x for x in names if fnmatchcase(x, part) or fnmatchcase(x, f"{part}.*")}
    if not found:
        # The smallest part that it is said to be in.
        whole = part
        while whole and not any(x.startswith(f"{whole}.") for x in names):
            whole = whole.rpartition(".")[0]
        prefix = f"{whole}." if whole else ""
        inner = {x.removeprefix(prefix).split(".")[0] for x in names if x.startswith(prefix)}
        there = ", ".join(f"{prefix}{x}" for x in sorted(inner))
        raise InputError(f"{key}: the model has no part '{part}'; it has {there}")
    return found


def freeze(model: nn.Module, parts: Iterable[str]) -> None:
    """Let parts of a model stay as they are: no gradient, so that no optimizer takes them.

    Norms without anything to learn keep their statistics too: see ``MaskProp.train``.

    Args:
        model: any.
        parts: ``SOLVER.FROZEN``; see ``names_of_part``.

    Raises:
        InputError: if the model lacks one of them.
    """
    names = {name for part in parts for name in names_of_part(model, part, "SOLVER.FROZEN")}
    if names:
        parameters = dict(model.named_parameters())
        for name in names:
            parameters[name].requires_grad_(False)
        logging.getLogger(__name__).info(
            "Frozen are %s: %d of %d weights",
            ", ".join(parts),
            sum(parameters[name].numel() for name in names),
            sum(x.numel() for x in parameters.values()),
        )
