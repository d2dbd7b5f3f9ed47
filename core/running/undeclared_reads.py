"""A user's method that reads what its `needs` don't declare: one line that names the place and the declaration."""

import ast
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import Reads
from dualpt.core.method_files import content_of
from dualpt.core.methods.interface import Images, Support

GIVEN = "an Images has directions and, where needs declare them, norms (and raw) and hidden; no local features"


@contextmanager
def naming_undeclared(path: str | None, support: Support, reads: Reads) -> Iterator[None]:
    """Turn an error that comes of a quantity which wasn't declared into one line.

    Args:
        path: of the method's file; None for what ships, whose errors stay what they are.
        support: what it was given.
        reads: what it declares.

    Raises:
        UserError: naming the line that reads it, and what `needs` should return.
    """
    try:
        yield
    except (TypeError, AttributeError, AssertionError) as error:
        if path is None or (fault := _fault(error, path, _lacking(support, reads))) is None:
            raise
        raise UserError(fault) from error


def _lacking(support: Support, reads: Reads) -> dict[str, str]:
    """What is None in `support` since it wasn't declared: attribute -> its declaration."""
    declarations = {
        "hidden": ("hidden=True", reads.hidden),
        "projection": ("hidden=True", reads.hidden),
        "norms": ("norms=True", reads.norms),
        "descriptions": ("descriptions=True", reads.descriptions),
        "description_mask": ("descriptions=True", reads.descriptions),
        "val": ("validation=True", reads.validation or support.val is not None),
    }
    return {name: declaration for name, (declaration, declared) in declarations.items() if not declared}


def _fault(error: Exception, path: str, lacking: Mapping[str, str]) -> str | None:
    """One line, or None where the error has another cause."""
    lines = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if not lines:
        return None
    if isinstance(error, AttributeError) and isinstance(error.obj, Images):
        return f"{path}:{lines[-1]}: Images has no {error.name}: {GIVEN}"
    if "NoneType" not in str(error) and not isinstance(error, AssertionError):
        return None
    tree = ast.parse(content_of(path))
    reading = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in lacking]
    there = [node for node in reading for line in lines if node.lineno <= line <= (node.end_lineno or node.lineno)]
    if not there and not isinstance(error, AssertionError):
        there = [node for node in reading if _stands_before(tree, node, lines)]
    if not there:
        return None
    found = there[-1]
    return (
        f"{path}:{found.lineno}: reads {found.attr}, which needs doesn't declare; let it return "
        f"Needs({lacking[found.attr]})"
    )


def _stands_before(tree: ast.Module, node: ast.Attribute, lines: list[int]) -> bool:
    """Whether a function that took part in the error reads it above the line that failed."""
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    return any(one.lineno <= node.lineno <= line <= (one.end_lineno or 0) for one in functions for line in lines)
