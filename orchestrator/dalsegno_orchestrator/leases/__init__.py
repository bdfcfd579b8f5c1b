"""Which orchestrator works on which partitions: shared out, claimed, given up, taken over."""
