"""`python -m benchmarks.gpu`: see `benchmarks.gpu.steps`."""

from benchmarks.gpu.steps import main

if __name__ == "__main__":
    main()
