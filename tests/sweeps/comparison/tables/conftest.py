"""Cells of two datasets."""

import pandas as pd
import pytest

from dualpt.sweeps.comparison.labels import BEST
from tests.sweeps.comparison.tables.recorded import DATASETS, SEEDS, cell


@pytest.fixture
def cells() -> pd.DataFrame:
    rows = [cell("coop", "mini-pets", seed, 60.0 + seed) for seed in SEEDS]
    rows += [cell("coop", "mini-cars", seed, 40.0 + 2 * seed) for seed in SEEDS]
    rows += [cell(BEST, "mini-pets", seed, 70.0 + seed, kind="best") for seed in SEEDS]
    rows += [cell(BEST, "mini-cars", seed, 50.0, kind="best") for seed in (1, 2)]
    rows += [cell(BEST, "mini-cars", 3, None, kind="best", status="FAILED")]
    rows += [cell("zero-shot", dataset, 0, 30.0, shots=0) for dataset in DATASETS]
    rows += [cell("trial-003", "mini-pets", 1, 99.0, kind="search")]
    return pd.DataFrame(rows)
