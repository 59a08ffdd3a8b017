"""What to change in a network that does not train, tried on a copy and measured again."""
