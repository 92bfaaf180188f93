"""`python -m tallystick` is the `tally` command."""

from tallystick.cli.main import run

if __name__ == "__main__":
    run()
