"""Steering a sweep from the command line, while it runs on whatever machine or afterwards.

- `targets`: the sweep or trial that is named, and the launch that runs it.
- `asking`: how a running launch is asked for something, and what it answers.
- `stopping`, `cloning`, `noting`, `renaming`: `dualpt stop`, `clone`, `note` and `rename`.
- `removing`, `removing_trial`: `dualpt remove`, of a sweep and of a trial.
- `study_places`: where Optuna's part of a sweep is.
"""
