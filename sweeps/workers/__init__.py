"""Trains on Ray: what a worker process does, and Tune as the pool of such workers.

- `pool`, `supply`, `losses`: workers kept busy with work units; what lost ones leave is taken back; why one is gone
- `worker`, `worker_config`: the actor that trains packs and records cells; what each is told once
- `connection`: Ray found, started or joined, and noticed when it is gone
- `reporting`, `listening`, `gpu_state`: what a worker trains, said while it does, and how the driver hears of it
- `access`: whether workers can record cells, proved before the first
- `interrupts`: Ctrl-C and the signals of batch systems
- `placement`, `gpu_shares`: how many workers fit where; the share of a GPU that one takes
- `versions`: what must be equal on every machine

May use dispatch, the ledger and `core`; the only room, with `cluster`, that imports Ray. What is private to Ray is in
`dualpt.sweeps.ray_private`.
"""

from dualpt.sweeps.ray_private import outlive_raylet

outlive_raylet()  # before any module of this room imports Ray
