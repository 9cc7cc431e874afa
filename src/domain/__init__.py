"""What a message, a delivery and an outcome are, and the ports. Standard library only."""
