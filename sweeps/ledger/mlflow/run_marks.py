"""Tags that users leave on runs: what they ask of a launch, a tag each, and what they note."""

from collections.abc import Mapping

from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import noted_in
from dualpt.sweeps.ledger.launch_requests import Request, requests_in
from dualpt.sweeps.ledger.mlflow.client import StoreClient, patient


class RunMarks(StoreClient):
    """Keeps requests, notes, and the marks of trials that were stopped."""

    @patient
    def ask(self, sweep_run: str, request: Request) -> None:
        """Leave a request for the launch that runs the sweep, or for the next."""
        self._client.set_tag(sweep_run, request.tag, request.text())

    @patient
    def requests(self, sweep_run: str) -> tuple[Request, ...]:
        """All requests on a sweep's run, answered ones included."""
        return requests_in(self._client.get_run(sweep_run).data.tags)

    @patient
    def answer(self, sweep_run: str, request: Request, answer: str) -> None:
        """Say what comes of a request, unless whoever asked has withdrawn it."""
        if request.tag in self._client.get_run(sweep_run).data.tags:
            self._client.set_tag(sweep_run, request.tag, request.answered(answer).text())

    @patient
    def withdraw(self, sweep_run: str, request: Request) -> None:
        """Remove a request; removing it twice is harmless."""
        if request.tag in self._client.get_run(sweep_run).data.tags:
            self._client.delete_tag(sweep_run, request.tag)

    @patient
    def note(self, run_id: str, text: str | None, tags: Mapping[str, str]) -> str:
        """Write what a user notes of a run; an empty text or value removes what is there.

        Args:
            text: None leaves the text as it is.

        Returns:
            All that is noted of the run now.
        """
        wanted = {f"{records.USER_TAG}.{key}": value for key, value in tags.items()}
        if text is not None:
            wanted[records.NOTED_TAG] = text
        known = self._client.get_run(run_id).data.tags
        if text is not None and known.get(records.NOTE_TAG, "") == known.get(records.NOTED_TAG, ""):
            wanted[records.NOTE_TAG] = text  # what MLflow shows, unless it says something else
        for name, value in wanted.items():
            if value:
                self._client.set_tag(run_id, name, value)
            elif name in known:
                self._client.delete_tag(run_id, name)
        return noted_in(self._client.get_run(run_id).data.tags)

    @patient
    def restart_trial(self, run_id: str) -> None:
        """Take the mark from a trial that was stopped: the next launch goes on with it."""
        if records.STOPPED_TAG in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, records.STOPPED_TAG)
