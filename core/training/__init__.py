"""Prompt training: R replicas in the same steps, from the alignments to the evaluated result.

- `trainer`: the entry point. `arguments`: its data, prompts and weights.
- `fit`, `step`, `optim`: epochs, one step, and SGD with the field's schedule.
- `objective`: logits and the loss. `alignment`, `transport`: both alignments, and the plans they may use.
- `plan_errors`: whether those plans have converged. `conflict`: one gradient without what conflicts with another.
- `evaluate`, `calibration`, `replica_results`: accuracy, calibration and likelihood, and what became of each replica.
- `progress`: what a training reports while it runs.
- `checkpoint`: the state from which a killed run continues.

Takes typed arguments and options: no configuration class, no dataset, no file but the checkpoint.
"""
