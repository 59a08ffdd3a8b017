"""`python -m dynsys` is the command line."""

from dynsys.cli import main

main()
