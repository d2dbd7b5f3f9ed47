"""Commands that need no sweep, each a module: `dualpt data`, `features`, `train`, `predict`, `evaluate`, `doctor`.

- `data`, `draws`, `words`: datasets checked, shown and registered; few-shot draws; the words of those commands.
- `prepare`, `data_doctor`: a data root filled from what lies elsewhere; why one doesn't work.
- `features`: stored features estimated and computed; `stored_features`: listed, verified and cleaned up.
- `feature_imports`: features computed elsewhere.
- `train`: one setting on one dataset. `predict`: learned prompts on any images.
- `evaluate`: metrics that finished cells lack. `doctor`: is this machine ready? `settings`: every knob, listed.
- `coop_prompts`: learned prompts from and for the code of CoOp, KgCoOp and PLOT.
- `leftovers`: what killed processes left on this machine (`dualpt doctor --clean`).

May use `core`, `planning`, `ledger` and `comparison`.
"""
