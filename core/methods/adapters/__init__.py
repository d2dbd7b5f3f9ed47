"""Adapters: small heads trained on frozen features by their authors' recipes.

- `cosine_head`: logits by cosine, for the heads below.
- `linear_probe`: logistic regression on image features.
- `zs_lp`: linear probe that begins at the class names (ZS-LP).
- `clap`: ZS-LP held near the class names, class by class (CLAP).
- `lp_plus_plus`: linear probe blended with the class names (LP++).
- `clip_adapter`: residual bottleneck on image features (CLIP-Adapter).
- `task_res`: residual on text features (TaskRes).
- `tip_adapter_f`: cache of training images whose keys are trained (Tip-Adapter-F).
- `rla`: square matrix on image features, near the identity (RLA).
- `prolip`: projection of the image tower, near CLIP's (ProLIP).
"""
