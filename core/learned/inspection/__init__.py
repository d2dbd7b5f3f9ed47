"""What learned prompts look like, each question in a module.

- `vocabulary`: the words they are near. `similarity`: the descriptions they resemble.
- `patches`: where in an image they look. `confusion`: which classes they confuse.
"""
