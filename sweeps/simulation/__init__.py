"""What a sweep would take: the real dealer and race, with a clock instead of training."""
