"""The commands of the command line, one file each; `dynsys.cli` joins them."""
