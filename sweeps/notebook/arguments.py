"""Faults that Python raises name a call's arguments, where the command line's name its options."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from dualpt.core.errors import UserError

OPTION = re.compile(r"(?<![\w`-])--([a-z]+(?:-[a-z]+)*)(:?)")

P = ParamSpec("P")
T = TypeVar("T")


def naming_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, whose faults name what it was called with: `store=…` for `--store`, `common=True` for a flag.

    Options that aren't among its arguments stay as they are: they belong to a command that the fault advises.
    """
    parameters = inspect.signature(function).parameters

    def argument(found: re.Match[str]) -> str:
        name, colon = found[1].replace("-", "_"), found[2]
        if name not in parameters:
            return found[0]
        value = "" if colon else "=True" if parameters[name].default is False else "=…"
        return f"{name}{value}{colon}"

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise UserError(OPTION.sub(argument, str(error))) from error.__cause__

    return called
