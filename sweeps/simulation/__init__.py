"""What a sweep would take: the real dispatcher and race, with a clock instead of training."""
