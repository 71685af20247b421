"""`python -m gateway`: the command line without its console script."""

from gateway.cli.main import main

if __name__ == "__main__":
    main()
