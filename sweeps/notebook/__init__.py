"""What `import dualpt` offers: sweeps, tables and classifiers as Python objects, for notebooks and scripts.

- `recorded`: a sweep from its store as data frames. `side_by_side`: sweeps compared.
- `calls`: training and sweeping by a call. `classifying`: learned prompts on arrays and images.
- `arguments`: faults name arguments, where the command line's name options.

Faults are `UserError`s; nothing here prints, writes files or ends the process unless it is asked to. May use every room
but the command line.
"""
