"""The ways in: API, consumer, inbox, supervisor, command line, settings, logging."""
