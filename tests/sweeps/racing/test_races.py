"""Races: who goes on, who is given up, what the stores say of it, and that all of it survives a resume."""

import io
import shutil
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from rich.console import Console

from dualpt.search_spaces.search_section import Racing, Search
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.racing import Asha, Race, StatisticalRace
from dualpt.sweeps.racing.races import NoRace, race_of
from dualpt.sweeps.racing.standings import Standings, paired_t
from tests.sweeps.fake_runner import FATAL_WEIGHT, fake_key, no_notes
from tests.sweeps.running import open_dispatcher, shown, train_here, trained
from tests.sweeps.small_sweep import Declare, changed, declaration

WEIGHT = "alignment.llm_weight"
SPACE = {WEIGHT: {"choice": [4.0, 1.0, 9.0, 3.0, 8.0, 7.0, 6.0, 5.0, 2.0]}}
DATASETS = ["mini-pets", "mini-cars", "mini-dishes"]
ASHA = {
    "search.space": SPACE,
    "search.trials": 9,
    "search.racing": "asha",
    "search.race_reduction": 2,
    "baselines": [],
}


@pytest.fixture(scope="module")
def raced_once(tmp_path_factory: pytest.TempPathFactory, fresh_stores: Path) -> Path:
    """A folder with the stores and the log of a race by ASHA, done; to be read only."""
    folder = tmp_path_factory.mktemp("raced")
    shutil.copytree(fresh_stores, folder, dirs_exist_ok=True)
    train_here(check_sweep(changed(declaration(folder), ASHA), "test"), folder / "trained.log")
    return folder


@pytest.fixture
def raced(declare: Declare, log: Path, tmp_path: Path, raced_once: Path) -> LoadedSweep:
    """`declare(**ASHA)`, trained to its end."""
    shutil.copytree(raced_once, tmp_path, dirs_exist_ok=True)
    return declare(**ASHA)


def test_every_race_of_the_search_section_has_its_class() -> None:
    defaults: dict[str, Any] = {"race_datasets": None, "race_reduction": None, "race_confidence": None}
    races = {name: race_of(Search.model_construct(racing=name, **defaults), 5) for name in get_args(Racing)}
    assert {name: type(race) for name, race in races.items()} == {
        "none": NoRace,
        "asha": Asha,
        "statistical": StatisticalRace,
    }
    with pytest.raises(AssertionError, match="half"):
        race_of(Search.model_construct(racing="half", **defaults), 5)  # type: ignore[arg-type]


def run(race: Race, name: str, scores: list[float], n_datasets: int) -> int:
    """Give a candidate its scores dataset by dataset; returns how many it was trained on."""
    for done in range(1, n_datasets + 1):
        race.standings.note(name, scores[:done])
        if done in race.decisions and not race.goes_on(name):
            race.give_up(name)
            return done
    return n_datasets


def test_standings_compare_the_same_first_datasets() -> None:
    standings = Standings()
    standings.note("a", [80, 20])
    standings.note("b", [70])
    standings.note("c", [60, 70, 10])
    assert [standings.rank(name, 1) for name in "abc"] == [0, 1, 2]
    assert [standings.rank(name, 2) for name in "ac"] == [1, 0]
    assert standings.leader() == "c", "the only one that has done three"
    standings.note("a", [80, 20])
    assert standings.reached(2) == 2
    standings.drop("c")
    assert standings.leader() == "a"


def test_asha_lets_one_in_three_go_on_at_datasets_that_triple() -> None:
    race = Asha(11, reduction=3)
    assert race.decisions == (1, 3, 9)
    done = {f"t{n}": run(race, f"t{n}", [float(60 - n)] * 11, 11) for n in range(9)}
    assert list(done.values()) == [11, *[1] * 8], "each that comes is the worst so far"
    assert [race.take_up() for _ in range(3)] == ["t1", "t2", None], "a third of nine"


def test_asha_takes_up_the_best_when_more_candidates_come() -> None:
    race = Asha(3, reduction=2)
    assert race.decisions == (1, 2)
    run(race, "first", [60.0] * 3, 3)
    assert run(race, "second", [50.0] * 3, 3) == 1
    assert race.take_up() is None
    assert run(race, "third", [40.0] * 3, 3) == 1
    assert race.take_up() is None
    assert run(race, "fourth", [30.0] * 3, 3) == 1
    assert race.take_up() == "second", "two of four go on"
    assert race.take_up() is None


def test_a_statistical_race_stops_what_is_surely_worse() -> None:
    race = StatisticalRace(11, first=3)
    leader = [70.0, 50, 60, 80, 40, 66, 71, 52, 63, 58, 75]
    assert run(race, "leader", leader, 11) == 11
    assert run(race, "worse", [score - 5 - n % 2 for n, score in enumerate(leader)], 11) == 3
    assert run(race, "as good", [score + (-1) ** n for n, score in enumerate(leader)], 11) == 11


def test_the_paired_statistic_is_scipys() -> None:
    from scipy.stats import ttest_rel

    a, b = [70.0, 50.0, 62.0, 81.0], [68.0, 51.0, 57.0, 80.5]
    assert paired_t(a, b) == pytest.approx(ttest_rel(a, b).statistic)
    assert paired_t([2.0, 2.0], [1.0, 1.0]) == float("inf")
    assert paired_t([1.0, 2.0], [1.0, 2.0]) == 0


def states(declare: Declare) -> dict[str, str]:
    """The state of each candidate's last trial in Optuna."""
    study = optuna.load_study(study_name="small", storage=declare().file.run.study_storage)
    return {t.user_attrs["name"]: t.state.name for t in study.trials if "name" in t.user_attrs}


def test_a_race_trains_less_and_finds_the_same_best(declare: Declare, log: Path) -> None:
    sweep = declare(**ASHA)
    dispatcher = train_here(sweep, log)
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}
    searched = shown(sweep, lambda row: row.kind == "search")
    assert len(searched) < 0.7 * 9 * 3
    assert dispatcher.total == dispatcher.counts.finished == len(shown(sweep))
    assert dispatcher.counts.failed == 0
    assert dispatcher.counts.pruned == list(states(declare).values()).count("PRUNED") > 0
    assert set(trained(log).values()) == {1}
    datasets = {name: [row.dataset for row in searched if row.trial == name] for name in states(declare)}
    assert all(DATASETS[: len(own)] == own for own in datasets.values()), "every candidate in the same order"


def test_pruned_trials_read_well_in_both_stores(raced: LoadedSweep, declare: Declare) -> None:
    ledger = Ledger(raced.file.run.tracking_uri)
    experiment = ledger.find_experiment("small")
    assert experiment is not None
    by_name = {row.ref.name: row for row in ledger.trials(experiment)}
    for name, state in states(declare).items():
        assert by_name[name].pruned == (state == "PRUNED")
        assert by_name[name].status == ("KILLED" if state == "PRUNED" else "FINISHED")
    study = optuna.load_study(study_name="small", storage=raced.file.run.study_storage)
    pruned = next(trial for trial in study.trials if trial.state == optuna.trial.TrialState.PRUNED)
    whole = next(trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE)
    assert sorted(pruned.intermediate_values) == [1]
    assert sorted(whole.intermediate_values) == [1, 2, 3]
    assert whole.intermediate_values[3] == pytest.approx(whole.values[0])


def test_the_same_race_again_has_no_work(raced: LoadedSweep, declare: Declare, log: Path) -> None:
    before, given_up = trained(log), states(declare)
    again = open_dispatcher(raced)
    assert not again.has_work()
    assert again.counts.kept == again.total == len(before) + 2 * 3 - 3, "the best has a second seed"
    assert again.counts.pruned == list(given_up.values()).count("PRUNED")
    assert trained(log) == before
    assert states(declare) == given_up


def test_a_plan_does_not_count_what_is_given_up(raced: LoadedSweep, declare: Declare) -> None:
    text = io.StringIO()
    dry_run(raced, console=Console(file=text, width=100), key=fake_key, notes=no_notes)
    assert ", 0 to train" in text.getvalue()
    text = io.StringIO()
    dry_run(
        declare(**{**ASHA, "search.racing": "none", "search.race_reduction": None}),
        console=Console(file=text),
        key=fake_key,
        notes=no_notes,
    )
    assert ", 0 to train" not in text.getvalue()


@pytest.mark.slow
def test_a_killed_race_goes_on_as_if_it_had_not_been(declare: Declare, log: Path) -> None:
    whole = train_here(declare(**ASHA, name="whole"), log)
    weights = {row.trial: row.params[WEIGHT] for row in shown(declare(name="whole"))}
    for packs in (2, 9):
        log.write_text("")
        store = declare().file.run.tracking_uri.replace("mlflow.db", f"mlflow-{packs}.db")
        killed = declare(**ASHA, name=f"killed-{packs}", **{"run.tracking_uri": store})
        train_here(killed, log, stop_after=packs)
        resumed = train_here(killed, log)
        assert set(trained(log).values()) == {1}
        assert {row.trial: row.params[WEIGHT] for row in shown(killed)} == weights
        assert resumed.best == whole.best
        assert resumed.counts.pruned == whole.counts.pruned


def test_racing_none_finishes_what_was_given_up(raced: LoadedSweep, declare: Declare, log: Path) -> None:
    before = trained(log)
    sweep = declare(**{**ASHA, "search.racing": "none", "search.race_reduction": None})
    dispatcher = train_here(sweep, log)
    assert set(trained(log).values()) == {1}, "only missing cells"
    assert len(trained(log)) > len(before)
    assert set(states(declare).values()) == {"COMPLETE"}
    assert dispatcher.counts.pruned == 0
    assert len(shown(sweep, lambda row: row.kind == "search")) == 9 * 3
    ledger = Ledger(sweep.file.run.tracking_uri)
    assert not any(row.pruned for row in ledger.trials(ledger.find_experiment("small") or ""))


def test_a_larger_budget_takes_up_those_that_now_go_on(declare: Declare, log: Path) -> None:
    train_here(declare(**{**ASHA, "search.trials": 4}), log)
    few = states(declare)
    train_here(declare(**ASHA), log)
    assert set(trained(log).values()) == {1}
    assert len(states(declare)) == 9
    revived = [name for name, state in few.items() if state == "PRUNED" and states(declare)[name] != "PRUNED"]
    study = optuna.load_study(study_name="small", storage=declare().file.run.study_storage)
    assert len(study.trials) >= 9 + len(revived)


def test_a_failing_candidate_fails_and_is_not_pruned(declare: Declare, log: Path) -> None:
    space = {WEIGHT: {"choice": [4.0, 1.0, FATAL_WEIGHT, 9.0]}}
    sweep = declare(**{**ASHA, "search.space": space, "search.trials": 4})
    train_here(sweep, log)
    failed = {row.trial for row in shown(sweep) if not row.finished}
    assert [states(declare)[name] for name in failed] == ["FAIL"]
    study = optuna.load_study(study_name="small", storage=sweep.file.run.study_storage)
    assert "RuntimeError: no such weight" in [trial.user_attrs.get("failure") for trial in study.trials]


def test_a_statistical_race_over_the_grid(declare: Declare, log: Path) -> None:
    race = {"search.racing": "statistical", "search.race_datasets": 2, "search.race_confidence": 0.9}
    sweep = declare(baselines=[], **{"search.space": SPACE, "search.trials": 9, **race})
    dispatcher = train_here(sweep, log)
    assert dispatcher.counts.pruned > 0
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}
    assert all(len(shown(sweep, lambda row, name=name: row.trial == name)) >= 2 for name in states(declare))
