"""Methods on frozen features: one file each.

- `interface`: what a method declares and implements, and what it is given.
- `choosing`: options chosen on validation images, and checks of the training images.
- `descent`: gradient descent on R replicas at once.
- `lbfgs`: L-BFGS on many problems of one shape at once.
- `memory_lines`: batches laid out so that a problem is rounded as alone.
- `projection`: a linear map into the joint space, trained near its start.
- `training_free/`: closed forms.
- `adapters/`: small heads trained on features.

Takes tensors and the method's own options; knows no cell, no dataset and no file.
"""
