"""How sweeps were launched, in the ledger: tags that every reader finds, and the files of each launch as artifacts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Param, RunTag

from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import text_tags
from dualpt.sweeps.ledger.launch_record import LaunchRecord
from dualpt.sweeps.ledger.mlflow.client import StoreClient, patient

TAGS_PER_CALL = PARAMS_PER_CALL = 100
"""Most that MLflow takes."""
FOLDER = "launches"
"""Among the artifacts of a sweep's run: one folder per launch, named by its time."""


class LaunchLedger(StoreClient):
    """Writes on the runs of sweeps."""

    @patient
    def record_launch(self, sweep_run: str, record: LaunchRecord, fixed: Mapping[str, object]) -> None:
        """Write how a sweep is launched on its run. Written twice, it is there once.

        Args:
            fixed: the setting that all launches of the sweep share, by dotted key: MLflow lets no parameter change.
        """
        run = self._client.get_run(sweep_run)
        tags = text_tags(records.LAUNCHED_TAG, record.as_text(), run.data.tags)
        tags |= {
            "mlflow.user": record.user,
            "mlflow.source.name": record.file or record.command,
            "mlflow.source.git.commit": record.commit,
        }
        self._write_tags(sweep_run, {name: value for name, value in tags.items() if value or name in run.data.tags})
        params = [Param(key, str(value)) for key, value in fixed.items() if key not in run.data.params]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self._client.log_batch(sweep_run, params=params[start : start + PARAMS_PER_CALL])
        with tempfile.TemporaryDirectory(prefix="dualpt-") as temporary:
            for name, content in record.files().items():
                (Path(temporary) / name).write_text(content, encoding="utf-8")
            self.attach(sweep_run, Path(temporary), f"{FOLDER}/{record.started.replace(':', '')}")

    @patient
    def tag_experiment(self, experiment_id: str, tags: Mapping[str, str]) -> None:
        """Write tags of a sweep's experiment; those that are there already cost no call."""
        known = self._client.get_experiment(experiment_id).tags
        for name, value in tags.items():
            if known.get(name) != value:
                self._client.set_experiment_tag(experiment_id, name, value)

    def _write_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        written = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, len(written), TAGS_PER_CALL):
            self._client.log_batch(run_id, tags=written[start : start + TAGS_PER_CALL])
