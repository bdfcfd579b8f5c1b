"""What can be written into a definition: its shape, its words, and the ranges they have."""
