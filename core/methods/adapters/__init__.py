"""Small parts trained by gradients on frozen features.

- `prolip`: the projection of the image tower into the joint space.
- `rla`: a square matrix on image features.
- `tip_adapter_f`: the keys of Tip-Adapter's cache.
"""
