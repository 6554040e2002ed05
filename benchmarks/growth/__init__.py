"""What streams cost when there are many of them, what breaks first, and whether any of 10,000 is wronged."""
