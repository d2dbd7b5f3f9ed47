"""Whether encoded features have a direction: NaN and zero vectors give predictions too, but meaningless ones."""

from torch import Tensor

from dualpt.core.errors import UserError


def check_directions(features: Tensor, whose: str) -> None:
    """Refuse L2-normalised features (..., D) if any of them is not finite or was a zero vector.

    Raises:
        UserError: `whose` begins the line.
    """
    lengths = features.norm(dim=-1)
    if not (lengths > 0.5).all():  # false for NaN too, and normalising turned inf into NaN
        raise UserError(
            f"{whose} are not finite, or zero; check the weights (backbone.pretrained), or use another "
            "backbone.precision"
        )
