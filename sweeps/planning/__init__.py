"""What a sweep will run, before anything runs.

- `plan`: trials and cells in their order, packs, and counts against the ledger
- `durations`: how long cells will take, from what cells of their shape took
- `declared`: what a launch declares on the sweep's run, so cells that never began are known to be missing
- `data_notes`: what a reader of the results must know of the data
- `search_record`: how launches searched, which decides what can be claimed of the best candidate

Reads no store, and loads neither torch, Ray nor MLflow. May use `search_spaces`, `core` and `records`.
"""
