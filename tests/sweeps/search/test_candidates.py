"""Candidates: conditions, reproducible proposals, repeats, and going on with an earlier study."""

import json
import math
import warnings
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.search import Candidates, Proposal, StudyChange, parameter_importances, study_change
from dualpt.sweeps.search.importance import Importances
from dualpt.sweeps.search.studies import open_storage
from tests.sweeps.small_sweep import Declare

JUDGED = ["mini-pets 4 1"]


def candidates(sweep: LoadedSweep, judged: list[str] = JUDGED) -> Candidates:
    assert sweep.file.search is not None
    return Candidates(sweep, sweep.file.search, judged)


def value_of(proposal: Proposal) -> float:
    return 90 - abs(proposal.setting.alignment.llm_weight - 4)


def judge_all(search: Candidates) -> list[Proposal]:
    proposals = []
    while (proposal := search.ask()) is not None:
        search.tell(proposal, value_of(proposal))
        proposals.append(proposal)
    return proposals


def study(sweep: LoadedSweep) -> optuna.Study:
    return optuna.load_study(study_name=sweep.file.name, storage=sweep.file.run.study_storage)


def test_the_first_candidate_is_where_the_sweep_set_out_from(declare: Declare) -> None:
    sweep = declare()
    first = candidates(sweep).ask()
    assert first is not None
    assert (first.name, first.setting) == ("trial-001", sweep.reference)


def test_a_reference_outside_the_space_is_not_proposed(declare: Declare) -> None:
    sweep = declare(**{"search.space": {"alignment.llm_weight": {"float": [2, 10]}}})
    first = candidates(sweep).ask()
    assert first is not None
    assert first.setting.alignment.llm_weight >= 2


def test_parameters_exist_only_where_their_condition_holds(declare: Declare) -> None:
    sweep = declare(**{"search.trials": 12})
    judge_all(candidates(sweep))
    for trial in study(sweep).trials:
        assert ("alignment.topk" in trial.params) == (trial.params["alignment.local_form"] == "topk")


def test_the_same_history_gives_the_same_proposals(declare: Declare) -> None:
    first = judge_all(candidates(declare(**{"search.trials": 6})))
    again = judge_all(candidates(declare(**{"search.trials": 6, "name": "other"})))
    assert [p.setting for p in first] == [p.setting for p in again]
    seeded = judge_all(candidates(declare(**{"search.trials": 2, "name": "third", "search.seed": 1})))
    assert seeded[1].setting != first[1].setting


def test_a_space_smaller_than_the_budget_is_exhausted_without_repeats(declare: Declare) -> None:
    space = {"alignment.local_form": {"choice": ["topk", "attention", "uniform"]}}
    search = candidates(declare(**{"search.trials": 20, "search.space": space}))
    proposals = judge_all(search)
    assert len({p.setting for p in proposals}) == len(proposals) == 3
    assert search.total == 3


def test_settings_that_differ_in_switched_off_keys_are_repeats(declare: Declare) -> None:
    space = {"alignment.local_form": {"choice": ["attention", "topk"]}, "alignment.topk": {"int": [1, 2]}}
    proposals = judge_all(candidates(declare(**{"search.trials": 20, "search.space": space})))
    assert len(proposals) == 3, "attention at any k, and topk at 1 and 2"


def test_killed_candidates_are_proposed_again_under_their_names(declare: Declare) -> None:
    sweep = declare()
    search = candidates(sweep)
    finished, killed = search.ask(), search.ask()
    assert finished is not None
    assert killed is not None
    search.tell(finished, 80.0)
    again = candidates(sweep).ask()
    assert again is not None
    assert (again.name, again.setting) == (killed.name, killed.setting)
    assert again.number != killed.number
    assert len(judge_all(candidates(sweep))) == 3
    assert candidates(sweep).ask() is None


def test_failed_candidates_count_and_are_tried_again_at_the_next_launch(declare: Declare) -> None:
    sweep = declare()
    search = candidates(sweep)
    names = []
    while (proposal := search.ask()) is not None:
        names.append(proposal.name)
        search.tell(proposal, None if len(names) % 2 else math.nan)
    assert names == ["trial-001", "trial-002", "trial-003", "trial-004"]
    assert search.selected() == []
    assert all(trial.state == optuna.trial.TrialState.FAIL for trial in study(sweep).trials)
    assert [proposal.name for proposal in judge_all(candidates(sweep))] == names


def test_a_larger_budget_extends_a_finished_search(declare: Declare) -> None:
    first = judge_all(candidates(declare()))
    more = judge_all(candidates(declare(**{"search.trials": 6})))
    assert [p.name for p in more] == ["trial-005", "trial-006"]
    assert not {p.setting for p in first} & {p.setting for p in more}


def test_candidates_are_judged_again_when_the_grid_grows(declare: Declare) -> None:
    sweep = declare()
    first = judge_all(candidates(sweep))
    again = judge_all(candidates(sweep, [*JUDGED, "mini-pets 4 2"]))
    assert {(p.name, p.setting) for p in first} == {(p.name, p.setting) for p in again}
    assert "small (before 1)" in optuna.get_all_study_names(sweep.file.run.study_storage)


def test_another_space_starts_a_new_study(declare: Declare) -> None:
    judge_all(candidates(declare()))
    space = {"alignment.llm_weight": {"choice": [1.0, 2.0, 3.0]}}
    other = declare(**{"search.space": space, "search.trials": 3})
    assert study_change(other, JUDGED) == StudyChange(4, same_space=False, kept="small (before 1)")
    proposals = judge_all(candidates(other))
    assert {p.setting.alignment.llm_weight for p in proposals} == {1.0, 2.0, 3.0}
    assert study_change(other, JUDGED) is None
    assert study_change(declare(), JUDGED) == StudyChange(3, same_space=False, kept="small (before 2)")
    assert study_change(other, []) == StudyChange(3, same_space=True, kept="small (before 2)")


def test_the_best_candidate_is_selected(declare: Declare) -> None:
    search = candidates(declare(**{"search.trials": 8}))
    proposals = judge_all(search)
    best = max(proposals, key=value_of)
    (selected,) = search.selected()
    assert (selected.name, selected.setting) == (best.name, best.setting)
    assert search.judged()[best.name] == pytest.approx(value_of(best))


def test_searched_shots_have_two_objectives_and_a_front(declare: Declare) -> None:
    space = {"data.shots": {"choice": [1, 2, 4]}, "alignment.llm_weight": {"choice": [1.0, 4.0]}}
    search = candidates(declare(**{"grid.shots": [1, 2, 4], "search.space": space, "search.trials": 6}))
    while (proposal := search.ask()) is not None:
        assert proposal.shots is not None
        # Two shots are as good as four: four of them are not on the front.
        search.tell(proposal, value_of(proposal) + 5 * min(proposal.shots, 2))
    front = search.selected()
    assert [(p.shots, p.setting.alignment.llm_weight) for p in front] == [(1, 4.0), (2, 4.0)]


NUMBERS = {
    "alignment.llm_weight": {"float": [0.1, 10]},
    "optim.learning_rate": {"float": [0.001, 0.1], "log": True},
    "prompt.n_prompts": {"int": [1, 4]},
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_reproducible_and_goes_on_after_a_kill(declare: Declare, sampler: str) -> None:
    """The candidates of a search that was killed in the middle are those of one that was not.

    Not so for cmaes and nsga2, whose generations are made of Optuna's trials: they go on with others.
    """
    space: dict[str, object] = NUMBERS
    if sampler == "grid":
        space = {"alignment.llm_weight": {"float": [1, 4], "step": 1}, "prompt.n_prompts": {"int": [1, 2]}}
    changes = {"search.space": space, "search.sampler": sampler, "search.trials": 8}
    whole = [p.setting for p in judge_all(candidates(declare(**changes)))]
    assert len(set(whole)) == 8
    killed = declare(**changes, name="killed")
    search = candidates(killed)
    first = []
    for _ in range(5):
        proposal = search.ask()
        assert proposal is not None
        first.append(proposal.setting)
        if len(first) < 5:
            search.tell(proposal, value_of(proposal))
    assert first == whole[:5]
    rest = [p.setting for p in judge_all(candidates(killed))]
    assert rest[0] == first[-1], "the one that was cut off"
    assert len({*first, *rest}) == 8
    assert sampler in ("cmaes", "nsga2") or rest == whole[4:]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "qmc", "grid"])
def test_stepped_values_are_spelled_alike_by_every_sampler(declare: Declare, sampler: str) -> None:
    """Optuna proposes 0.30000000000000004 for 0.3: two settings, and the cells of the one would be trained twice."""
    space = {"alignment.llm_weight": {"float": [0, 1], "step": 0.1}}
    search = candidates(declare(**{"search.space": space, "search.sampler": sampler, "search.trials": 11}))
    proposals = judge_all(search)
    assert sorted(p.setting.alignment.llm_weight for p in proposals) == [n / 10 for n in range(11)]
    (selected,) = search.selected()
    assert selected.setting.alignment.llm_weight == 1.0


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2", "qmc"])
def test_samplers_search_conditional_spaces(declare: Declare, sampler: str) -> None:
    sweep = declare(**{"search.trials": 8, "search.sampler": sampler})
    assert len(judge_all(candidates(sweep))) == 8
    for trial in study(sweep).trials:
        assert ("alignment.topk" in trial.params) == (trial.params["alignment.local_form"] == "topk")


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2", "qmc", "grid"])
def test_samplers_search_accuracy_against_shots(declare: Declare, sampler: str) -> None:
    space = {"data.shots": {"choice": [1, 2, 4]}, "alignment.llm_weight": {"float": [1, 4], "step": 0.5}}
    changes = {"grid.shots": [1, 2, 4], "search.space": space, "search.trials": 7, "search.sampler": sampler}
    search = candidates(declare(**changes))
    while (proposal := search.ask()) is not None:
        search.report(proposal, 1, 50.0)
        search.tell(proposal, value_of(proposal) + (proposal.shots or 0))
    front = search.selected()
    assert [p.shots for p in front] == sorted({p.shots for p in front if p.shots})


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "qmc"])
def test_no_candidate_violates_a_constraint(declare: Declare, sampler: str) -> None:
    constraint = "alignment.llm_weight * prompt.n_prompts <= 4"
    sweep = declare(
        **{
            "search.space": NUMBERS,
            "search.trials": 6,
            "search.sampler": sampler,
            "search.constraints": [constraint],
        }
    )
    proposals = judge_all(candidates(sweep))
    assert len(proposals) == 6
    assert all(p.setting.alignment.llm_weight * p.setting.prompt.n_prompts <= 4 for p in proposals)
    forbidden = [t for t in study(sweep).trials if t.user_attrs.get("violates") == constraint]
    assert all(t.state == optuna.trial.TrialState.FAIL and "name" not in t.user_attrs for t in forbidden)


def test_a_search_begins_with_its_start_points_once(declare: Declare) -> None:
    space = {"alignment.llm_weight": {"float": [0, 10]}}
    start = [{"alignment.llm_weight": 7.0}, {"alignment.llm_weight": 0.0}]
    sweep = declare(**{"search.space": space, "search.start_from": start})
    assert sweep.file.search is not None
    search = Candidates(sweep, sweep.file.search, JUDGED, sweep.start_points)
    first = [search.ask() for _ in range(3)]
    weights = [proposal.setting.alignment.llm_weight for proposal in first if proposal is not None]
    assert weights == [sweep.reference.alignment.llm_weight, 7.0, 0.0]
    more = declare(**{"search.space": space, "search.start_from": [*start, {"alignment.llm_weight": 3.0}]})
    assert more.file.search is not None
    again = Candidates(more, more.file.search, JUDGED, more.start_points)
    following = [again.ask() for _ in range(4)]
    weights = [proposal.setting.alignment.llm_weight for proposal in following if proposal is not None]
    assert weights == [4.0, 7.0, 0.0, 3.0], "those that were cut off, and the new one"


def importances_of(sweep: LoadedSweep) -> Importances:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return parameter_importances(sweep.file.name, sweep.file.run.study_storage)


def test_importances_say_which_of_them_few_candidates_bear(declare: Declare) -> None:
    """One of three lacks `alignment.topk`: Optuna would warn of it on the terminal."""
    start = [
        {"alignment.llm_weight": 1.0, "alignment.local_form": "topk"},
        {"alignment.llm_weight": 2.0, "alignment.local_form": "attention"},
    ]
    sweep = declare(**{"search.trials": 2, "search.start_from": start})
    assert sweep.file.search is not None
    judge_all(Candidates(sweep, sweep.file.search, JUDGED, sweep.start_points))
    found = importances_of(sweep)
    assert (found.judged, found.doubtful) == (3, ("alignment.topk",))
    assert sum(found.shares.values()) == pytest.approx(1)


def test_candidates_of_one_accuracy_have_no_importances(declare: Declare) -> None:
    sweep = declare(**{"search.trials": 3})
    search = candidates(sweep)
    while (proposal := search.ask()) is not None:
        search.tell(proposal, 80.0)
    with pytest.raises(UserError, match="its 3 judged candidates are equally accurate"):
        importances_of(sweep)


def test_a_journal_holds_a_study(declare: Declare, tmp_path: Path) -> None:
    sweep = declare(**{"run.study_storage": f"journal:///{tmp_path / 'study' / 'journal.log'}"})
    proposals = judge_all(candidates(sweep))
    assert (tmp_path / "study" / "journal.log").is_file()
    assert candidates(sweep).ask() is None
    assert len(candidates(sweep).judged()) == len(proposals) == 4
    broken = tmp_path / "broken.log"
    broken.write_text("no journal")
    with pytest.raises(UserError, match=r"run\.study_storage") as caught:
        candidates(declare(**{"run.study_storage": f"journal:///{broken}"}))
    assert "\n" not in str(caught.value)


def test_the_dashboard_shows_the_study(declare: Declare) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    sweep = declare()
    search = candidates(sweep)
    proposal = search.ask()
    assert proposal is not None
    search.report(proposal, 1, 70.0)
    search.prune(proposal)
    judge_all(search)
    app = dashboard.wsgi(open_storage(sweep.file.run.study_storage))

    def get(path: str) -> Any:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        status: list[str] = []
        body = app({**environ, "PATH_INFO": path}, lambda line, *_: status.append(line))
        assert status == ["200 OK"]
        return json.loads(b"".join(body))

    (summary,) = get("/api/studies")["study_summaries"]
    assert summary["study_name"] == "small"
    trials = get(f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["state"] for trial in trials[:2]] == ["Pruned", "Complete"]
    assert trials[0]["intermediate_values"] == [{"step": 1, "value": 70.0}]


def test_a_storage_that_cannot_be_written_is_one_line(declare: Declare) -> None:
    with pytest.raises(UserError, match=r"run\.study_storage") as caught:
        candidates(declare(**{"run.study_storage": "sqlite:////dev/null/optuna.db"}))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"run\.study_storage"):
        candidates(declare(**{"run.study_storage": "nonsense"}))


def test_values_of_studies_are_named(declare: Declare) -> None:
    from dualpt.sweeps.search.studies import open_study

    def names(sweep: LoadedSweep) -> list[str]:
        assert sweep.file.search is not None
        return open_study(sweep, sweep.file.search, "judged").study.metric_names or []

    assert names(declare()) == ["val/accuracy"]
    space = {"data.shots": {"choice": [1, 4]}, "alignment.llm_weight": {"float": [1, 2]}}
    assert names(declare(name="both", **{"grid.shots": [1, 4], "search.space": space})) == [
        "val/accuracy",
        "data.shots",
    ]
