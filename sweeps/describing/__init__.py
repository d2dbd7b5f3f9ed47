"""What `dualpt describe` does: write, import and judge banks of class descriptions."""
