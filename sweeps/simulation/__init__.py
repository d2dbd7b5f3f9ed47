"""What a sweep would take: the real dispatcher and race, with a clock instead of training.

- `prediction`: `dualpt sweep --simulate`, for several numbers of GPUs and candidates
- `replay`: lets time pass until the dispatcher has nothing left; `memory`: a ledger and a search that write nothing
- `estimates`: seconds of cells and scores of candidates, drawn from what is recorded

May use dispatch, planning and racing; touches neither stores nor Ray.
"""
