"""Which trial comes next: baselines and variants, candidates, and, when all are judged, the selected setting.

Knows no ledger: whether a trial has anything left to train is found out when it begins.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from dualpt.core.cell import pack_of
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.search_feedback import NO_FEEDBACK, CandidateFeedback, SearchLoop, TrialFeedback
from dualpt.sweeps.planning.plan import TrialPlan, grid_cells, judged_cells
from dualpt.sweeps.records import Identity

Following = tuple[TrialPlan, TrialFeedback]
"""A trial, and who hears how it does."""


class TrialQueue:
    """The trials of a sweep that have not begun."""

    def __init__(
        self,
        sweep: LoadedSweep,
        fixed: Sequence[TrialPlan],
        search: SearchLoop,
        on_selection: Callable[[Sequence[TrialPlan]], None],
        stopped: Collection[Identity] = (),
    ) -> None:
        """
        Args:
            fixed: baselines and variants, which run whatever a search finds.
            search: proposes candidates.
            on_selection: called once with the selected trials, before the first of them is given.
            stopped: trials that users have stopped, which a selection may name again.
        """
        self.selects_nothing = False
        """Whether the search is over and no candidate can be selected: all have failed, or there was none."""
        self._sweep, self._search, self._on_selection = sweep, search, on_selection
        self._fixed = deque(fixed)
        self._stopped = stopped
        self._final: deque[TrialPlan] | None = None
        """The selected trials, once they are known."""

    def following(self, *, searching: bool) -> Following | None:
        """The next trial; None when there is none, or when the selection waits for candidates in training.

        Args:
            searching: whether a candidate is in training.
        """
        if self._fixed:
            return self._fixed.popleft(), NO_FEEDBACK
        if self._final is None:
            proposal = self._search.ask()
            if proposal is not None:
                cells = judged_cells(self._sweep, proposal.setting, proposal.shots)
                plan = TrialPlan(proposal.name, "search", proposal.setting, cells, proposal.number)
                return plan, CandidateFeedback(proposal, self._search)
        if searching:
            return None
        if self._final is None:
            self._final = deque(self._selected())
            self._on_selection(self._final)
            self._final = deque(plan for plan in self._final if plan.identity not in self._stopped)
            self.selects_nothing = not self._final
        return (self._final.popleft(), NO_FEEDBACK) if self._final else None

    def remove(self, name: str) -> TrialPlan | None:
        """Take a trial out that has not begun; None where no such one waits."""
        for waiting in filter(None, (self._fixed, self._final)):
            for plan in waiting:
                if plan.name == name:
                    waiting.remove(plan)
                    return plan
        return None

    @property
    def searches(self) -> bool:
        """Whether candidates may still be proposed; False once a setting has been selected."""
        return self._final is None

    def partner(self, plan: TrialPlan, *, searching: bool) -> Following | None:
        """A trial to begin beside `plan`, which begins, since both may train in the same steps; None if there is none.

        Variants are all declared, so those of another shape wait. A candidate is whatever the search proposes next, and
        may turn out to have another shape.
        """
        if plan.kind == "search":
            return None if self._fixed else self.following(searching=searching)
        shape = pack_of(plan.cells[0])
        alike = next((other for other in self._fixed if pack_of(other.cells[0]) == shape), None)
        if alike is None:
            return None
        self._fixed.remove(alike)
        return alike, NO_FEEDBACK

    def _selected(self) -> Iterator[TrialPlan]:
        """The selected setting over the grid; with searched shots, each setting of the Pareto front at its shots."""
        for proposal in self._search.candidates.selected():
            name = "best" if proposal.shots is None else f"best-{proposal.shots}-shot"
            yield TrialPlan(name, "best", proposal.setting, grid_cells(self._sweep, proposal.setting, proposal.shots))
