"""Trains one setting, and knows no Ray, Optuna or MLflow. docs/architecture.md has the order of its rooms.

- `cell`, `config`, `presets`, `recipes`, `results`: what a cell is, every knob, published methods, metric names.
- `arrays`: the tensors that cross rooms. `random_streams`: one stream per seed and purpose.
- `provenance`: what numbers were computed with. `errors`: the one error that users see.
"""
