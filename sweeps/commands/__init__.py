"""The command line, a module per group of commands. Heavy imports stay inside the commands, so `--help` is quick.

- `running`, `steer`, `ablate`, `results`, `report`, `inspect`, `predict`: sweeps, and what comes of them.
- `data`, `features`, `describe`: what a sweep reads. `moving`, `cluster`: other stores, other machines.
- `help`: settings, shipped files, the doctor. `options`: the console, and options that mean the same everywhere.
- `completing`: what a shell completes.

May use every room of `sweeps`.
"""
