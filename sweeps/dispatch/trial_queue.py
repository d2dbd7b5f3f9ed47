"""Which trial comes next: baselines and variants, candidates, and, when all are judged, the selected setting.

Knows no ledger: whether a trial has anything left to train, the dealer finds out.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from dualpt.core.cell import pack_of
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.interfaces import CandidateSource
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, grid_cells, judged_cells
from dualpt.sweeps.racing import Race
from dualpt.sweeps.search import Proposal

Following = tuple[TrialPlan, Proposal | None]
"""A trial, and what the search proposed where it is a candidate."""


class TrialQueue:
    """The trials of a sweep that have not begun."""

    def __init__(
        self,
        sweep: LoadedSweep,
        plan: SweepPlan,
        candidates: CandidateSource | None,
        race: Race | None,
        on_selection: Callable[[Sequence[TrialPlan]], None] | None = None,
    ) -> None:
        """
        Args:
            on_selection: called once with the selected trials, before the first of them is given.
        """
        self._on_selection = on_selection
        self.selects_nothing = False
        """Whether the search is over and no candidate can be selected: all have failed."""
        self._sweep, self._candidates, self._race = sweep, candidates, race
        self._fixed = deque(plan.baselines)
        self._all_asked = candidates is None
        self._final: deque[TrialPlan] | None = None

    def following(self, *, searching: bool) -> Following | None:
        """The next trial; None when there is none, or when the selection waits for candidates in training.

        Args:
            searching: whether a candidate is in training.
        """
        if self._fixed:
            return self._fixed.popleft(), None
        if self._candidates is not None and self._final is None:
            proposal = self._ask(self._candidates)
            if proposal is not None:
                cells = judged_cells(self._sweep, proposal.setting, proposal.shots)
                return TrialPlan(proposal.name, "search", proposal.setting, cells), proposal
        if searching:
            return None
        if self._final is None:
            self._final = deque(self._final_plans())
            self.selects_nothing = self._candidates is not None and not self._final
            if self._on_selection is not None:
                self._on_selection(self._final)
        return (self._final.popleft(), None) if self._final else None

    def partner(self, plan: TrialPlan, *, searching: bool) -> Following | None:
        """A trial to begin beside one that begins, since both may train in the same steps.

        Variants are all declared, so that those of another shape wait; a candidate is whatever the search proposes
        next, and may turn out to have another shape. None where there is none.
        """
        if self._candidates is not None:
            return None if self._fixed else self.following(searching=searching)
        shape = pack_of(plan.cells[0])
        alike = next((other for other in self._fixed if pack_of(other.cells[0]) == shape), None)
        if alike is None:
            return None
        self._fixed.remove(alike)
        return alike, None

    def _ask(self, candidates: CandidateSource) -> Proposal | None:
        while self._race is not None and (name := self._race.take_up()) is not None:
            candidates.take_up(name)
            self._all_asked = False
        proposal = None if self._all_asked else candidates.ask()
        self._all_asked = proposal is None
        return proposal

    def _final_plans(self) -> Iterator[TrialPlan]:
        """The selected setting over the whole grid; with searched shots, each of the Pareto front at its shots."""
        for proposal in [] if self._candidates is None else self._candidates.selected():
            name = "best" if proposal.shots is None else f"best-{proposal.shots}-shot"
            yield TrialPlan(name, "best", proposal.setting, grid_cells(self._sweep, proposal.setting, proposal.shots))
