"""`python -m artifactstore`: the command line, where the console script is not on the path."""

from artifactstore.cli.main import command

if __name__ == "__main__":
    command()
