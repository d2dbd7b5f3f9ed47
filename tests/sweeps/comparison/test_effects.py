"""Effects of factors against a published factorial experiment and against paired t-tests."""

import numpy as np
import pytest
from scipy import stats

from dualpt.search_spaces.designs import Factor, aliases, factorial, one_at_a_time, resolution
from dualpt.sweeps.comparison.effects import Effect, corrected_together, effects_of, effects_table
from dualpt.sweeps.comparison.statistics import Interval

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
    table = effects_table(list(effects.values()), title="t", n_datasets=6, n_seeds=3, generators={}, corrected=6)
    assert "T: + against -: an effect of" not in "\n".join(table.notes())  # six effects: no p of six datasets suffices
    assert "T: + against -: no claim, since Holm's p = 0.188, though the interval leaves out 0" in table.notes()


def test_equal_counts_of_correct_images_have_no_effect() -> None:
    """100 * k / 37 of the same three draws in another order: means differ in their last bits."""
    counts = np.random.default_rng(0).integers(10, 30, size=(6, 3))
    draws = {"-": 100 * counts / 37, "+": 100 * counts[:, ::-1] / 37}
    assert np.ptp(draws["+"].mean(axis=1) - draws["-"].mean(axis=1)) > 0, "the noise is there"
    runs = [({"T": level}, np.round(values.mean(axis=1, keepdims=True), 15)) for level, values in draws.items()]
    (effect,) = effects_of(runs, (T,), {})
    assert (effect.estimate, effect.interval, effect.higher, effect.lower) == (0.0, Interval(0.0, 0.0), 0, 0)
    assert (effect.p, effect.f, effect.f_p) == (1.0, None, None)
    table = effects_table([effect], title="t", n_datasets=6, n_seeds=3, generators={}, corrected=1)
    assert table.notes()[1:] == [
        "T: + against -: no effect is shown; anything from +0.0 to +0.0 points fits the results"
    ]


def test_effects_at_several_numbers_of_shots_are_corrected_together() -> None:
    """Nine of which one alone is below 0.05 after correction for three."""
    ps = ((0.001, 0.4, 0.5), (0.012, 0.6, 0.7), (0.02, 0.8, 0.9))
    families = [[Effect("e", 1.0, Interval(0.1, 2.0), 9, 2, p, p, None, None) for p in family] for family in ps]
    together = corrected_together(families)
    assert [effect.holm for effect in together[0]] == pytest.approx([0.009, 1.0, 1.0])
    assert [family[0].holm for family in together[1:]] == pytest.approx([0.096, 0.14])
    table = effects_table(together[1], title="t", n_datasets=11, n_seeds=3, generators={}, corrected=9)
    assert "corrected by Holm for 9 effects over all numbers of shots; F" in table.notes()[0]


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
    notes = effects_table(effects, title="t", n_datasets=2, n_seeds=1, generators=generators, corrected=3).notes()
    assert any("resolution III" in note for note in notes)
    assert "T: + against -: mixed with C × K" in notes


def test_one_at_a_time_moves_one_factor() -> None:
    assert one_at_a_time((T, C)) == [{"T": "+", "C": "+"}, {"T": "-", "C": "+"}, {"T": "+", "C": "-"}]


def test_a_full_factorial_has_no_resolution() -> None:
    assert resolution({}) is None
    assert len(factorial((T, C, K), {})) == 8


def test_what_it_stands_on_where_seeds_share_a_draw() -> None:
    effects = effects_of(pilot_plant(), (T, C, K), {})
    how = {"title": "t", "n_datasets": 2, "n_seeds": 3, "generators": {}, "corrected": 6}
    every = effects_table(effects, one_draw=("mini-pets", "mini-cars"), **how).notes()  # type: ignore[arg-type]
    assert every[0].startswith("n = 2 datasets × 1 draw, which all 3 seeds share; effects")
    some = effects_table(effects, one_draw=("OxfordPets",), **how).notes()  # type: ignore[arg-type]
    assert some[0].startswith("n = 2 datasets × 3 seeds; effects")
    assert "one draw serves all seeds (Pets): how much another draw would change is not measured" in some[1]
