"""From recorded cells to tables with methods as rows; one kind of object, whatever the columns.

- `table`: entries, their notes, and rows of others put before them
- `by_dataset`: values, and differences to a method
- `averages`: by number of shots; base, new and H
- `cross_dataset`: trained on one dataset, tested on others

Input is a frame of cells (`comparison.frames`); a method that lacks a dataset has no average.
"""
