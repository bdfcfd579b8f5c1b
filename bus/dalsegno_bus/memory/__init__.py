"""The bus in memory: the same contract as NATS, in one process."""

from dalsegno_bus.memory.broker import Clock, Faults, MemoryBroker, WallClock
from dalsegno_bus.memory.bus import MemoryBus

__all__ = ["Clock", "Faults", "MemoryBroker", "MemoryBus", "WallClock"]
