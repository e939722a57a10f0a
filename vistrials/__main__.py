"""`python -m vistrials` is the `vistrials` command."""

from vistrials.cli import main

if __name__ == "__main__":
    main()
