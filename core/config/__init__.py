"""Every knob of one method *setting*, and when it matters. Loads no torch.

- `sections`: the knobs, with unit, default and range
- `setting`: one complete setting, and the same with other values
- `activity`: which keys can change the result
- `faults`: nested mappings by dotted key; what is wrong in one line

May use `method_catalog`, `recipes` and `errors`.
"""
