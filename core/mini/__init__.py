"""The embedded mini grid: eleven drawn datasets, and the tiny CLIP that half knows them.

- `datasets`, `attributes`, `world`, `language`: what there is, what it is called, and what is said about it
- `rendering` with `canvas`, `objects`, `surfaces`: how a thing becomes an image
- `drawing`, `drawing_pool`, `grid`: the datasets on disk, in the field's layout
- `clip`: the tiny CLIP and its weights file
- `pretrain`, `pretraining_set`, `judge`: how it was trained, run by hand

It may import `files` and `errors` alone. What changes a pixel changes every stored result: raise the grid's version.
"""
