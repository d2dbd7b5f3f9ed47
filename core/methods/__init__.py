"""Methods on frozen features: one file each.

- `interface`: what a method declares and implements, and what it is given.
- `descent`: gradient descent on R replicas at once.
- `training_free/`: closed forms.
- `adapters/`: small heads trained on features.

Takes tensors and the method's own options; knows no cell, no dataset and no file.
"""
