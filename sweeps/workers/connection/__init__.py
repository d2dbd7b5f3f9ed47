"""The launch's side of Ray: found, started or joined, and noticed when it is gone.

- `ray_address`: where Ray runs, and whether anything answers there
- `ray_session`: Ray started on this machine, or joined, quietly
- `ray_watch`: the control service knocked at, since Ray's client says nothing for a minute
"""
