"""Closed forms on frozen features: nothing is trained by gradients.

- `nearest_mean`: each class by the mean of its images' features.
"""
