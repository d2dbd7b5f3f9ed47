"""The trie's text transformer with kernels of its own for CUDA devices, written in Triton; off unless asked for.

A step of torch's operations spends most of its time in copies, casts and attention. Two kernels, each with its
gradient, replace them; sizes of the class list are arguments, so one compilation serves all lists.

- `trie_attention`: attention that reads the trunk's keys where they are.
- `residual_norm`: a residual sum and the layer norm of it.
- `fused_transformer`: the transformer that uses both.
- `kernel_choice`: which transformer a process uses, and why.

May import what `prompts` may; only `kernel_choice` is imported without Triton.
"""
