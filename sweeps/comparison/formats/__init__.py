"""Tables as others read them.

- `documents`: Markdown, CSV and JSON.
- `latex`: booktabs.
- `terminal`: rich tables.
"""
