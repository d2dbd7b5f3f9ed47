"""Few-shot draws as others write them.

- `draw_files`: draws as the field's own files, written and read without running anything.
- `coop_folders`: what the names of output folders say of a run's draw.
"""
