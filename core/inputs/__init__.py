"""What a cell reads, found by name, and the key that says whether two cells are the same. Loads no torch.

- `reading`: `CellInputs` finds a cell's datasets once, at the door; splits, draws and banks follow from it.
- `drawn_images`: how many images a draw or its division gives, and what needs more; what a method chooses by.
- `import_limits`: what settings can read of features that somebody else computed.
- `templates`: which template classes are written in, and what contexts begin with.
- `key`: the hash of everything that determines a cell's numbers.

May use `descriptions`, `data`, `mini`, `clip.weights` and what lies below; knows no features and no training.
"""
