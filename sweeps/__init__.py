"""Runs many settings: plans, searches, trains on a cluster, records, compares. docs/architecture.md has the rooms.

- `cli`: `dualpt`. `console`: progress bars and durations. `word_table`: tables that break no word.
- `records`: the vocabulary of the ledger. `stores`: store addresses. `outputs`: files that a command was asked for.
"""
