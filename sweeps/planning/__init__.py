"""What a sweep will run, before anything runs.

- `plan`: trials and cells in their order, packs, counts against the ledger, and estimated time
- `declared`: what a launch declares on the sweep's run, so cells that never began are known to be missing

Pure: reads no store, and loads neither torch, Ray nor MLflow. May use `search_spaces`, `core` and `records`.
"""
