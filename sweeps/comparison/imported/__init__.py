"""Results of other tools as rows beside ours, labelled as imported.

- `imported_result`: what one result is. `dassl_logs`, `csv_results`: where they are read from.
- `import_beside`: which of them may stand beside the selected cells, and the rows that they make.
"""
