"""`python -m ichclient`: the command `ichclient` of this very interpreter."""

from ichclient.cli import main

if __name__ == "__main__":
    main(prog_name="ichclient")
