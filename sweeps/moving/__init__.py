"""A sweep from one tracking store to another, as one file and without a server."""
