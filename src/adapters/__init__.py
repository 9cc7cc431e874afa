"""One technology a file, each implementing ports."""
