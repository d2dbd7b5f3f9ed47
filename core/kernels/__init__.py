"""Kernels of the project's own for CUDA devices, written in Triton, where torch's operations spend time on copies.

Sizes of class lists and batches are arguments, so one compilation serves all of them. Sums run in a fixed order,
without atomic additions: the same inputs give the same bits.

- `trie_attention`: attention that reads the trunk's keys where they are.
- `residual_norm`: a residual sum and the layer norm of it.
- `sigmoid_gelu`: OpenAI's approximation of GELU.
- `sinkhorn`: transport plans, iterated on the chip.
- `kernel_choice`: whether a process uses them, and why not.

May import `clip` and what lies below; only `kernel_choice` is imported without Triton.
"""
