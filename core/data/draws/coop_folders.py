"""What the folders of CoOp's scripts say of a run, where its files don't.

`output/eurosat/CoOp/rn50_ep50_16shots/nctx16_cscFalse_ctpend/seed1` (CoOp's), and
`output/base2new/train_base/eurosat/shots_16/CoCoOp/vit_b16_c4_ep10_batch1_ctxv1/seed1` (CoCoOp's and later ones').
"""

import re

SHOTS = re.compile(r"(?<![-\d])(\d+)[-_]?shots?(?![a-z])|(?<![a-z])shots?[-_]?(\d+)")
SEED = re.compile(r"(?<![a-z])seed[-_]?(\d+)")


def shots_in(path: str) -> int | None:
    """Training images per class; None where no folder says it, or all were used (`-1shots`)."""
    return _last_number(SHOTS, path)


def seed_in(path: str) -> int | None:
    """The seed; None where no folder says it."""
    return _last_number(SEED, path)


def _last_number(pattern: re.Pattern[str], path: str) -> int | None:
    found = [number for match in pattern.finditer(path) for number in match.groups() if number]
    return int(found[-1]) if found else None
