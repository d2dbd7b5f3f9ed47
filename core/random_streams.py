"""Independent random streams, each from a seed and a purpose, so that nothing depends on who drew before."""

import hashlib

import torch


def random_stream(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator for the `index`-th use of `purpose` under `seed`.

    Stateless: a run resumed at epoch e draws what an uninterrupted one draws there, on every device. The three are
    hashed because PyTorch's CPU generator keeps only 32 bits of its seed, so sums and shifts collide.
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}/{index}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
