"""Effects of factors against a published factorial experiment and against paired t-tests."""

import numpy as np
import pytest
from scipy import stats

from dualpt.search_spaces.designs import Factor, aliases, factorial, one_at_a_time, resolution
from dualpt.sweeps.comparison.effects import effects_of, effects_table

ON_OFF: dict[str, dict[str, float]] = {"-": {}, "+": {}}
T, C, K = (Factor(name, ON_OFF, "+") for name in ("T", "C", "K"))
# Box, Hunter and Hunter, Statistics for Experimenters (1978), section 10.2: a pilot plant's yield at two temperatures,
# concentrations and catalysts, in standard order (T fastest); effects as printed there.
YIELDS = (60, 72, 54, 68, 52, 83, 45, 80)
PRINTED = {"T": 23.0, "C": -5.0, "K": 1.5, "T × C": 1.5, "T × K": 10.0, "C × K": 0.0}


def pilot_plant(n_datasets: int = 2) -> list[tuple[dict[str, str], np.ndarray]]:
    runs = []
    for number, value in enumerate(YIELDS):
        levels = {name: "-+"[number >> place & 1] for place, name in enumerate("TCK")}
        runs.append((levels, np.full((n_datasets, 1), float(value))))
    return runs


def test_effects_of_a_published_experiment() -> None:
    runs = [(levels, values + np.array([[0.0], [7.0]])) for levels, values in pilot_plant()]  # datasets cancel
    found = {effect.name.partition(":")[0]: effect.estimate for effect in effects_of(runs, (T, C, K), {})}
    assert found == pytest.approx(PRINTED)


def test_f_of_a_two_level_factor_is_the_square_of_the_paired_t() -> None:
    generator = np.random.default_rng(0)
    runs = [(levels, values + generator.normal(0, 5, size=(6, 3))) for levels, values in pilot_plant(6)]
    effects = {effect.name.partition(":")[0]: effect for effect in effects_of(runs, (T, C, K), {})}
    high, low = (np.mean([v.mean(axis=1) for levels, v in runs if levels["T"] == level], axis=0) for level in "+-")
    t = stats.ttest_rel(high, low)
    assert (effects["T"].f, effects["T"].f_p) == (pytest.approx(t.statistic**2), pytest.approx(t.pvalue))
    assert effects["T"].estimate == pytest.approx((high - low).mean())
    table = effects_table(list(effects.values()), title="t", n_datasets=6, n_seeds=3, generators={})
    assert "T: + against -: an effect of" not in "\n".join(table.notes())  # six effects: no p of six datasets suffices
    assert any("T: + against -: perhaps an effect, but Holm's p" in note for note in table.notes())


def test_a_factor_of_three_levels_has_an_effect_a_level() -> None:
    three = Factor("L", {"4": {}, "8": {}, "16": {}}, "16")
    runs = [({"L": level}, np.full((4, 2), value)) for level, value in (("4", 1.0), ("8", 2.0), ("16", 4.0))]
    runs = [(levels, values + np.random.default_rng(i).normal(size=(4, 2))) for i, (levels, values) in enumerate(runs)]
    effects = effects_of(runs, (three,), {})
    assert [effect.name for effect in effects] == ["L: 8 against 4", "L: 16 against 4"]
    assert effects[0].f == effects[1].f is not None


def test_a_half_fraction_keeps_main_effects_apart_and_says_what_they_are_mixed_with() -> None:
    generators = {"K": ("T", "C")}
    runs = factorial((T, C, K), generators)
    assert runs[0] == {"T": "+", "C": "+", "K": "+"}
    assert len(runs) == 4
    assert resolution(generators) == 3
    assert aliases("T", generators) == ["C × K"]
    full = {tuple(levels.values()): values for levels, values in pilot_plant()}
    effects = effects_of([(run, full[tuple(run.values())]) for run in runs], (T, C, K), generators)
    assert {e.name.partition(":")[0]: e.estimate for e in effects} == pytest.approx(
        {"T": 23 + 0.0, "C": -5 + 10.0, "K": 1.5 + 1.5}  # each with the interaction it is mixed with
    )
    assert all(effect.f is None for effect in effects)
    notes = effects_table(effects, title="t", n_datasets=2, n_seeds=1, generators=generators).notes()
    assert any("resolution III" in note for note in notes)
    assert "T: + against -: mixed with C × K" in notes


def test_one_at_a_time_moves_one_factor() -> None:
    assert one_at_a_time((T, C)) == [{"T": "+", "C": "+"}, {"T": "-", "C": "+"}, {"T": "+", "C": "-"}]


def test_a_full_factorial_has_no_resolution() -> None:
    assert resolution({}) is None
    assert len(factorial((T, C, K), {})) == 8
