"""Who should own which partition: pure, so that every orchestrator comes to the same answer.

Owns the rule; never looks at a clock, a bucket, or at who it is asked by.
"""

from collections.abc import Collection, Mapping


def share(
    partitions: int, members: Collection[str], owners: Mapping[int, str]
) -> Mapping[int, str]:
    """Share the partitions 0 … `partitions`-1 out among the members, with the fewest moves.

    Every partition has one member, and no member has two more than another. Who owns most keeps
    most; what is over is taken by the others.

    Args:
        partitions: How many there are.
        members: Who is there; without any, nothing is shared out.
        owners: Who owns what now; owners that are no members count as nobody.
    """
    owned: dict[str, list[int]] = {member: [] for member in sorted(members)}
    if not owned:
        return {}
    for partition in range(partitions):
        owner = owners.get(partition)
        if owner in owned:
            owned[owner].append(partition)
    least, over = divmod(partitions, len(owned))
    by_size = sorted(owned, key=lambda member: (-len(owned[member]), member))
    room = {member: least + (place < over) for place, member in enumerate(by_size)}
    shared: dict[int, str] = {}
    for member, theirs in owned.items():
        for partition in theirs[: room[member]]:
            shared[partition] = member
    takers = (member for member in by_size for _ in range(room[member] - len(owned[member])))
    for partition in range(partitions):
        if partition not in shared:
            shared[partition] = next(takers)
    return shared
