"""Whether encoded features have a direction: NaN and zero vectors classify too, and mean nothing."""

from torch import Tensor

from dualpt.core.errors import UserError


def check_directions(features: Tensor, whose: str) -> None:
    """Refuse L2-normalised features (..., D) of which one is not finite or was a zero vector.

    Raises:
        UserError: naming whose features they are.
    """
    lengths = features.norm(dim=-1)
    if not (lengths > 0.5).all():  # false for NaN too; inf became NaN when it was normalised
        raise UserError(
            f"{whose} are not finite, or zero; check the weights (backbone.pretrained), or use another "
            "backbone.precision"
        )
