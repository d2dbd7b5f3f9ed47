"""Shots and seeds as folders of CoOp's scripts and their successors say them."""

import pytest

from dualpt.core.data.draws.coop_folders import seed_in, shots_in

FOLDERS = {
    "output/eurosat/CoOp/rn50_ep50_16shots/nctx16_cscFalse_ctpend/seed1": (16, 1),
    "output/base2new/train_base/eurosat/shots_4/CoCoOp/vit_b16_c4_ep10_batch1_ctxv1/seed2": (4, 2),
    "output_1108/4-shot/16shot/seed-3": (16, 3),
    "output/eurosat/CoOp/rn50_-1shots/seed1": (None, 1),
    "output/snapshots16/reseed4": (None, None),
    "output": (None, None),
}


@pytest.mark.parametrize(("folder", "said"), FOLDERS.items(), ids=FOLDERS)
def test_what_a_folder_says(folder: str, said: tuple[int | None, int | None]) -> None:
    assert (shots_in(folder), seed_in(folder)) == said
