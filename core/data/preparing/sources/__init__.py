"""What people have, recognised: folders, archives, and the split files beside them.

- `survey`, `archives`, `glances`: what lies in folders, in archives, and at an archive's beginning.
- `layouts`: the copies of each dataset that people have. `name_match`: images known by the names that a split lists.
- `found_splits`: split files, and whether they are the field's. `traps`: copies that look right and can't be used.
- `sorted_cars`: StanfordCars in class folders, taken if its numbers are the published ones.
"""
