"""From cells to results: the door at which configuration ends.

- `cell_runner`: trains and evaluates packs of cells.
- `feature_fits`: packs of cells of methods on frozen features.
- `undeclared_reads`: what a user's method reads without having declared it.
- `fitted_checks`: what a method left, checked against the interface.
- `pack_check`: a user's method fits a cell of a pack as it does alone.
- `within_support`: cells that are judged within their support set.
- `train_options`: from settings to the options that training takes.
- `frozen_parts`: what cells share in one process: frozen CLIPs, text features of classes, the feature store.

May import every room of `core`.
"""
