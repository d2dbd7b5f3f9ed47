"""Decides what is trained next: which cells are missing, which worker trains them, and when a trial is over.

- `dispatcher`: hands work units to workers and takes their outcomes in; what the rest of the sweep talks to
- `trial_book`: the state: which trials are open, and which of their cells are missing, out or done
- `trial_lifecycle`: a trial from its first stage to its end, in the book and in the ledger
- `ledger_actions`: what a launch does in the ledger: open, reuse, record a failure, close
- `open_trial`, `work_units`, `shared_packs`: a trial in training; what a worker gets; packs that several trials share
- `trial_queue`, `search_feedback`: which trial comes next; what the study and the race hear of candidates
- `finished_cells`, `counts`, `progress`: what is known already; what became of cells; what the terminal shows
- `worker_reports`: what workers say of the packs in training
- `interfaces`: what all of this asks of a ledger and of a search

Knows neither Ray nor MLflow nor Optuna: ledgers and searches are handed in (real, or a simulation's in memory). It may
use planning, racing, search's proposals and the modules at the root of `sweeps`.
"""
