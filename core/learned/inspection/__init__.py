"""What a cell has learned, each question in a module.

- `vocabulary`: the words that prompts are near. `similarity`: the descriptions they resemble.
- `patches`: where in an image they look.
- `confusion`: which classes any classifier confuses. `by_class`: how well it does on each, beside another one.
"""
