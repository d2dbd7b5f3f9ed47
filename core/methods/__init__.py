"""Methods on frozen features: one file each.

- `interface`: what a method declares and implements, and what it is given.
- `training_free/`: closed forms.

Takes tensors and the method's own options; knows no cell, no dataset and no file.
"""
