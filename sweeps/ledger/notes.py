"""What users have noted of a sweep, its trials and its cells, as every listing shows it."""

from collections.abc import Mapping, Sequence

from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.records import CellRow, SweepRow


def notes_on(
    reader: SweepReader, experiment: str, sweep: SweepRow | None, rows: Sequence[CellRow]
) -> Mapping[str, str]:
    """Notes by what they are on: the sweep's name, a trial's, or a cell's place `trial/dataset/shots/seed`.

    Args:
        experiment: the sweep's.
        sweep: its run.
        rows: its shown cells.
    """
    found = {} if sweep is None else {sweep.name: sweep.noted}
    found |= {trial.shown_name: trial.noted for trial in reader.trials(experiment)}
    found |= {f"{row.trial}/{row.dataset}/{row.shots}/{row.seed}": row.noted for row in rows}
    return {place: noted for place, noted in found.items() if noted}
