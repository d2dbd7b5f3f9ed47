"""Few-shot draws: of unbalanced classes, and as others write them.

- `draw_files`: draws as the field's own files, written and read without running anything.
- `imbalanced`: how many images of each class are drawn.
- `coop_folders`: what the names of output folders say of a run's draw.
"""
