"""`python -m dualpt`: the command line, where `dualpt` isn't on the path or is another environment's."""

from dualpt.sweeps.cli import main

if __name__ == "__main__":
    main()
