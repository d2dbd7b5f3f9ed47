"""What learned prompts look like: the words they are near, what they resemble, where they look, what they confuse."""
