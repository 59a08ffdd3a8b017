"""The bodies of commands, and what several of them share."""
