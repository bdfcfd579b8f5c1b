"""What stops whoever acts without a lease."""

from collections.abc import Sequence


class LeaseLost(Exception):
    """These partitions are not ours, or not for certain: what was begun with them is let go."""

    def __init__(self, partitions: Sequence[int]) -> None:
        super().__init__(f"partitions {', '.join(map(str, partitions))} may have another owner")
        self.partitions = tuple(partitions)
