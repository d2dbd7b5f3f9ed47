"""Learnable prompts, encoded by the frozen text tower with nothing computed twice.

- `encoder`: where contexts and class names stand, and how contexts begin.
- `init_path`, `contexts_file`: contexts read from a file to begin with.
- `trie`, `grouping`: prompts with common beginnings stored once, and which of them are encoded together.
- `trie_transformer`, `attention`, `parts`: the text transformer on a trie, a part of the classes at a time.
- `spread_rows`: context rows at all places that hold them.
- `fused_transformer`: the same with GPU kernels of the project's own.

May import `kernels`, `clip`, `files` and what lies below; knows no datasets and no loss.
"""
