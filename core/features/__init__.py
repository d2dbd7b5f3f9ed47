"""Frozen image features: encoded once by a CLIP, kept on disk, and shared by every trial that reads them.

- `store`: what the rest of the project asks for features; encodes what is missing.
- `train_images`: training batches, from stored features or encoded at every step.
- `needs`: which features cells read, how many of them are missing, and what computing them costs.
- `encoding`: from image files to stored features; decoding, encoding and writing overlap.
- `folder`: the files of one backbone, dataset and view, whichever version wrote them.
- `segment`: one immutable file of features, with its index and checksums.
- `former`: the growing files of the former layout, which are read and no longer written.
- `upkeep`: what the store holds, whether it is sound, and what may be deleted.
- `pace`: how fast this machine encoded before.
- `imported`: features that somebody else computed, in place of the store's.

The room reads images and frozen CLIPs, and writes to the store's folder alone. It knows datasets, classes and settings
only through `needs`.
"""
