"""What may run at the same time, or begin in a time, and who waits for it in which order."""
