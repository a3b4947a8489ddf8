# SPDX-License-Identifier: MIT
"""A counter at ports 0x300-0x307: counts milliseconds of the guest's clock, and raises ISA interrupt 5 each time.

Port 0x300 reads the count, a write sets it and begins. Port 0x304 reads 1 while the line is high; a write lowers it.
"""

import struct

from retrap_device import Device, Region, serve

COUNT, STATUS, PERIOD_NS = 0, 4, 1_000_000
STATE = struct.Struct('<BI?Q')  # version, count, level, deadline or 0


class Counter(Device):
    name = 'counter'

    def __init__(self) -> None:
        self.ports(0x300, 8)
        self.irq = self.line(5)
        self.tick = self.timer(self.on_tick)
        self.count = 0
        self.raised = False

    def read(self, region: Region, offset: int, size: int) -> int:
        return self.count if offset == COUNT else int(self.raised)

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        if offset == COUNT:
            self.count = value
            self.tick.after(PERIOD_NS)
        else:
            self.drive(False)

    def on_tick(self) -> None:
        self.count += 1
        self.drive(True)
        self.tick.after(PERIOD_NS)

    def drive(self, level: bool) -> None:
        self.raised = level
        self.irq.set(level)

    def reset(self) -> None:
        self.count = 0
        self.drive(False)

    def save(self) -> bytes:
        return STATE.pack(1, self.count & 0xFFFF_FFFF, self.raised, self.tick.deadline or 0)

    def restore(self, state: bytes) -> None:
        version, self.count, raised, deadline = STATE.unpack(state)
        assert version == 1, f'a state of version {version}'
        self.drive(raised)
        if deadline:
            self.tick.arm(deadline)


serve(Counter)
