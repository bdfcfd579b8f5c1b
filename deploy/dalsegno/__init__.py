"""Puts the services together: the command line, the local stack, the demo."""
