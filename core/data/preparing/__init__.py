"""`dualpt data prepare`: what people have on disk, recognised and assembled into CoOp's layout; nothing is downloaded.

- `sources`: what lies in the folders and archives that a user names.
- `drawn_split`: a split of our own where the field's can't be had, labelled so.
- `imagenet_family`: datasets divided by folders; `imagenet_parts`: where their images lie. `validation_order`: what
  sorts ImageNet's flat validation images.
- `archive_targets`: where a member of ImageNet's archives goes.
- `standing`: what a data root holds already. `planner`: what will be done, as `steps`; `links`: by how few links.
- `execution`: doing it. `assembly`: files on their way into a dataset's folder. `manifest`: the record that stays.

May use the rest of `data`.
"""
