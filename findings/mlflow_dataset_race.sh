#!/usr/bin/env bash
# One would guess: several workers may log the same data set (name and digest) to their own runs at the same time; the
#   store knows data sets by digest, so the first creates it and the others refer to it.
# What happens: the store looks the digest up and inserts it if it is missing, without a retry. Workers that log a
#   digest for the first time together all find it missing, one inserts it, and most others get an exception
#   "IntegrityError: UNIQUE constraint failed" and keep NO data set, although all of them logged valid input and
#   SQLite serialises writers. Once the digest is known to the experiment, the same calls succeed for all.
# Why it matters: it is how every sweep begins: workers start together on the first data set of the grid. Either a
#   trial dies at its first line, or (where logging errors are swallowed) most runs lack their data's provenance. The
#   driver has to log each digest once before the workers start, or the workers have to try again.
# Versions: mlflow-skinny 3.17.2, SQLAlchemy 2.1.9, alembic 1.20.1 (Python 3.11).
# Seen: four workers at a time, five new digests: in every round 1 or 2 of 4 succeed; with the digest known: 4 of 4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 SQLAlchemy==2.1.9 alembic==1.20.1
cat > "$work/check.py" <<'PY'
import logging
import multiprocessing
import sys

import mlflow
from mlflow.entities import Dataset, DatasetInput

logging.disable(logging.INFO)
WORKERS = 4


def log_dataset(uri, run, digest, barrier, answers):
    client = mlflow.MlflowClient(tracking_uri=uri)
    client.get_run(run)  # the connection is open before the race begins
    dataset = DatasetInput(Dataset(name="EuroSAT", digest=digest, source_type="local", source="eurosat"), [])
    barrier.wait()
    try:
        client.log_inputs(run, datasets=[dataset])
        answers.put("logged")
    except Exception as error:
        answers.put("IntegrityError" if "IntegrityError" in str(error) else repr(error))


def together(uri, client, experiment, digest):
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(WORKERS), context.Queue()
    runs = [client.create_run(experiment).info.run_id for _ in range(WORKERS)]
    workers = [context.Process(target=log_dataset, args=(uri, run, digest, barrier, answers)) for run in runs]
    for worker in workers:
        worker.start()
    outcomes = sorted(answers.get() for _ in workers)
    for worker in workers:
        worker.join()
    kept = sum(len(client.get_run(run).inputs.dataset_inputs) for run in runs)
    print(f"digest {digest}: {outcomes}, {kept} of {WORKERS} runs have their data set", flush=True)
    return outcomes, kept


if __name__ == "__main__":
    uri = f"sqlite:///{sys.argv[1]}/mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("sweep")
    rounds = [together(uri, client, experiment, f"new{i}") for i in range(5)]
    assert any("IntegrityError" in outcomes and kept < WORKERS for outcomes, kept in rounds)
    assert {outcome for outcomes, _ in rounds for outcome in outcomes} <= {"logged", "IntegrityError"}
    assert together(uri, client, experiment, "new0") == (["logged"] * WORKERS, WORKERS), "known digests are no trouble"
PY
"$work/venv/bin/python" "$work/check.py" "$work"
