"""Banks of class descriptions: their format, and how they are written by a language model, imported and judged."""
