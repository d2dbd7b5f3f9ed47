"""What a GPU makes of training: `python -m benchmarks.gpu`.

- `steps`: matrix rate, steps with either kernels, CoOp's own step, gradients, the grid; `stopwatch`: device time
- `cells`: cells of all eleven shapes from start to record; `shaped_data`: a data root of the real class lists for them
- `kernels`: registers and spills of the project's kernels, compiled without a GPU (`python -m benchmarks.gpu.kernels`)
"""
