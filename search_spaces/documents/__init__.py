"""Sweep files as documents, before they are checked and after.

- `extending`: a file that gives only what differs from another.
- `dropping`: baselines that a change takes away go with their options.
- `fixing`: searched keys that the command line fixes.
- `resolving`: a checked sweep written out, every key with its value.
"""
