"""One HTML page about a sweep.

- `report`: collects the parts and writes the page. `sections`: its tables and figures.
- `facts`: settings, cost, provenance.
- `launch_table`: how it was launched.

May use `comparison` and `ledger`.
"""
