"""Closed forms on frozen features: nothing is trained by gradients.

- `gda`: Gaussian discriminant analysis added to zero-shot logits, for few-shot and new classes.
- `least_squares`: ridge regression on standardised features.
- `proker`: kernel ridge regression of the residual that zero-shot logits leave.
- `ss_text`: class sums of image features pulled towards the text features.
- `tip_adapter`: a cache of training images added to zero-shot logits.
"""
