"""The use cases and the delivery engine. Imports the domain only."""
