"""Methods on frozen features: one file each.

- `interface`: what a method declares and implements, and what it is given.

Takes tensors and the method's own options; knows no cell, no dataset and no file.
"""
