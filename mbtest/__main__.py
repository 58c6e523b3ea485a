"""`python -m mbtest`: the command line."""

from mbtest.cli import main

main()
