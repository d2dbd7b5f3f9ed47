"""One HTML page about a sweep.

- `report`: collects the parts and writes the page. `sections`: its tables and figures.
- `facts`: settings, cost, provenance.

May use `comparison` and `ledger`.
"""
