"""`dualpt cluster`: cluster files checked offline, sweeps submitted as Ray jobs.

- `check`: a file against Ray's schema and our rules. `launcher_rules`, `kuberay_rules`: the rules.
- `ray_versions`: versions that a file names. `faults`: what was found. `submit`: a sweep as a job, its log followed.

May use `workers.placement` and `stores`.
"""
