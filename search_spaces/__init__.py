"""What may vary: sweep files and ablation files, and every check that needs no data. Loads no torch.

- `sweep_file`, `ablation`: read and check a file; `sweep` is what they give.
- `documents`: files that extend others, keys that the command line fixes, a checked sweep written out.
- `search_section`, `samplers`, `parameters`, `constraints`, `start_points`: what a search may say.
- `search_checks`, `space_checks`: faults of a search and of its space as a whole.
- `points`, `listed_points`: points of a space, drawn, or listed by a sampler.
- `designs`: combinations of factor levels. `overrides`: `key=value` words. `shipped`: the files that ship.

May use `core`, and neither Ray, Optuna nor MLflow.
"""
