"""Banks by other authors: read in their layouts, matched with a dataset's classes, never guessed.

- `foreign`: entries of a name and its sentences, from JSON, JSON Lines, CSV and TSV
- `texts`: the sentences in one entry
- `matching`: which entry is which class, and which are only similar
- `screening`: list marks, links and non-answers in place of descriptions
"""
