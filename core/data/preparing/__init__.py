"""`dualpt data prepare`: what people have on disk, recognised and assembled into CoOp's layout; nothing is downloaded.

- `survey`, `archives`, `glances`: what lies in folders, in archives, and at an archive's beginning.
- `layouts`: the copies of each dataset that people have. `found_splits`: split files, and whether they are the field's.
- `drawn_split`: a split of our own where the field's can't be had, labelled so.
- `name_match`: images recognised by the names that a split lists. `imagenet_family`: those divided by folders.
- `traps`: copies that look right and can't be used.
- `standing`: what a data root holds already. `planner`: what will be done, as `steps`.
- `execution`: doing it. `assembly`: files on their way into a dataset's folder. `manifest`: the record that stays.

May use the rest of `data`.
"""
