"""Whether the statistics under tables keep what they promise, by simulation with the spread of real cells.

- `false_claims`: searches and pages of tables on which nothing is true
- `interval_coverage`: how often the interval holds the true difference
"""
