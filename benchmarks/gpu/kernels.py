"""The project's GPU kernels compiled for a GPU that need not be there: registers, spills and shared memory of each.

    python -m benchmarks.gpu.kernels                  for compute capability 9.0 (H100, H200)
    python -m benchmarks.gpu.kernels --capability 80  for 8.0 (A100)

Sizes are those of ViT-B/16's text tower in bf16, with 64 and 128 keys in a group.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dualpt.core.kernels import residual_norm, sigmoid_gelu, sinkhorn, trie_attention

FLOATS = ("eps", "scale", "inverse", "exponent")
TYPES = dict.fromkeys(FLOATS, "fp32") | {"attends": "*i8"} | dict.fromkeys(("shares", "similarity", "plan"), "*fp32")
"""Of arguments by name; other pointers are bf16, sizes 32 bits."""
SIZES = frozenset({"row_context", "row_query", "row_own", "G", "T", "P", "F", "t", "n", "B1", "B2", "N", "sweeps"})
STRIDES = frozenset({"s0", "s1", "s2", "sn", "sp", "t0", "t1", "t2", "tn", "tp"})
ALIGNED = frozenset({"row_context", "row_query", "row_own", "n"})
"""Sizes that a launch finds to be multiples of 16, as all pointers are."""
ATTENTION = {"W": 512, "H": 8, "D": 64, "BQ": trie_attention.QUERIES}
SHARES = {"W2": 1024, "BG": trie_attention.SUMMED, "BW": trie_attention.COLUMNS}
PLAN = {"ROWS": 4, "COLUMNS": 256, "RELAXED": False}
NORM = {"W": 512, "BLOCK": 512, "ROWS": residual_norm.ROWS}


class Use(NamedTuple):
    """What a thread block takes of a multiprocessor."""

    registers: int
    """Of a thread, of 255 at most."""
    spilled: int
    """Bytes of a thread that did not fit there."""
    shared: int
    """Bytes of shared memory."""


def kernels() -> dict[str, tuple[Any, Mapping[str, int], int]]:
    """Each kernel as it is launched: its function, its constants and its warps."""
    found: dict[str, tuple[Any, Mapping[str, int], int]] = {
        "residual and norm, forward": (residual_norm._norm_forward, NORM, 4),
        "residual and norm, backward": (residual_norm._norm_backward, NORM, 4),
        "GELU, forward": (sigmoid_gelu._gelu_forward, {"BLOCK": sigmoid_gelu.BLOCK}, 4),
        "GELU, backward": (sigmoid_gelu._gelu_backward, {"BLOCK": sigmoid_gelu.BLOCK}, 4),
        "shares of the trunk's gradient": (trie_attention._sum_shares, SHARES, 4),
        "plan of 4 x 196": (sinkhorn._sinkhorn, PLAN, sinkhorn.warps_of(4, 196)),
    }
    for keys in (64, trie_attention.MOST_KEYS):
        sizes, warps = ATTENTION | {"BK": keys}, trie_attention.warps_of(keys)
        found[f"attention of {keys} keys, forward"] = (trie_attention._attention_forward, sizes, warps)
        found[f"attention of {keys} keys, backward"] = (trie_attention._attention_backward, sizes, warps)
    return found


def compiled(kernel: Any, constants: Mapping[str, int], capability: int, warps: int) -> Use:
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else _type(name) for name in names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(names)
        if signature[name].startswith("*") or name in ALIGNED
    }
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()}, aligned)
    binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(binary.asm["cubin"])
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    used = {name: int(value) for name, value in re.findall(r"(REG|STACK):(\d+)", said)}
    return Use(used["REG"], used["STACK"], binary.metadata.shared)


def _type(name: str) -> str:
    return TYPES.get(name) or ("i32" if name in SIZES | STRIDES else "*bf16")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90)
    capability = parser.parse_args(arguments).capability
    print(f"triton {triton.__version__}, compute capability {capability / 10}\n")
    print("| kernel | registers | bytes spilled | bytes of shared memory |\n|---|---|---|---|")
    for title, (kernel, constants, warps) in kernels().items():
        use = compiled(kernel, constants, capability, warps)
        print(f"| {title} | {use.registers} | {use.spilled} | {use.shared} |", flush=True)


if __name__ == "__main__":
    main()
