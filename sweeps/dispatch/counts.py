"""What became of the cells and candidates of a launch, counted."""

from dataclasses import dataclass, field


@dataclass
class Counts:
    """Cells of this launch, and the candidates that its race has given up."""

    trained: int = 0
    reused: int = 0
    """Copied from another sweep or trial of the store."""
    kept: int = 0
    """Finished by earlier launches of this sweep."""
    failed: int = 0
    unreached: int = 0
    """Cells whose turn never comes: those after a failed candidate's failure."""
    _given_up: dict[str, frozenset[str]] = field(default_factory=dict)
    """Keys of the finished cells of given-up candidates, by the candidate's name."""
    _tried: int = 0
    """Finished cells of given-up candidates."""

    @property
    def finished(self) -> int:
        return self.trained + self.reused + self.kept

    @property
    def pruned(self) -> int:
        """Candidates (not cells) that the race has given up."""
        return len(self._given_up)

    def give_up(self, name: str, finished: frozenset[str]) -> None:
        """Count a candidate as given up; `finished` are the keys of the cells it has done."""
        self._given_up[name] = finished
        self._tried += len(finished)

    def take_up(self, name: str) -> frozenset[str]:
        """Count a trial as in the race again if it was given up; returns the keys of the cells it had done."""
        finished = self._given_up.pop(name, frozenset())
        self._tried -= len(finished)
        return finished

    def skipped(self, candidate_cells: int) -> int:
        """Cells that given-up and failed candidates leave untrained, where each candidate has `candidate_cells`."""
        return len(self._given_up) * candidate_cells - self._tried + self.unreached
