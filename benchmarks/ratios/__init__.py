"""What `python -m benchmarks` measures side by side, besides start-up and launches (`benchmarks.machinery`).

- `text_steps`, `training_steps`: a step's parts, and the step against CoOp's
- `packs`: methods on frozen features, together against one at a time; `recording`: dealing and recording a cell
- `reporting`: a worker that reports while it trains; `preparing`: a data root by links against copies
"""
