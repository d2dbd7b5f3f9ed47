"""What a search does to the claims about its best candidate.

- `candidate_cells`: the candidates as recorded. `correction`: which correction for the search holds.
- `reselection`: a p-value that repeats the selection.
"""
