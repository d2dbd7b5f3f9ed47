"""What is on record of sweeps: written while they run, and read by tables, reports and the next launch.

Writing:

- `attempts`: one attempt at a cell as plain values, which can be written later, elsewhere, and again.
- `contents`: what runs hold (tags, parameters, metrics, files), written and read back; knows no MLflow.
- `mlflow`: the ledger itself, the only room (with `moving.runs`) that speaks to MLflow.
- `outbox`: results kept as files while they cannot be recorded.
- `launch_requests`: what users ask of a launch, as tags of the sweep's run.
- `heartbeat`: signs of life of the launch that runs a sweep, on the sweep's run.
- `fixed_setting`: what all launches of one sweep must share. `launch_record`: how each was launched.
- `trials_page`: how MLflow's own page is to show a sweep.

Reading:

- `reading`: what tables ask of any store; `opening` chooses how a given store is read.
- `notes`: what users have noted of a sweep, its trials and cells.
- `readable`: damaged runs are left out, and named.
- `sql`: runs of a store that is a database, in four queries and without MLflow.
- `cell_names`: the recorded cell that a user names, its setting and its prompts. `trial_settings`: a trial's setting.
"""
