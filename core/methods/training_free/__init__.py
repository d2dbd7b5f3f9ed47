"""Closed forms on frozen features: nothing is trained by gradients.

- `gda`: Gaussian discriminant analysis added to zero-shot logits, for few-shot and new classes.
- `gda_image`: its image part alone.
- `least_squares`: ridge regression on standardised features.
- `nearest_mean`: each class by the mean of its images' features.
- `proker`: kernel ridge regression of what zero-shot logits leave over.
- `ss_text`: class sums of image features pulled towards the text features.
- `tip_adapter`: a cache of training images added to zero-shot logits.
"""
