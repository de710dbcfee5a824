"""`python cli.py …` from a checkout is the same program as the installed `sake`."""

from sake_registry.commands import main

if __name__ == "__main__":
    main()
