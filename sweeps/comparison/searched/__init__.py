"""The candidates of a search, and what the search does to the claims about its best one.

- `candidate_ranks`: rank, validation accuracy, searched values and state. `candidate_table`: these as a table.
- `candidate_cells`: the candidates as recorded. `correction`: which correction for the search holds.
- `reselection`: a p-value that repeats the selection. `oracle`: what selection on test would have given.
"""
