# SPDX-License-Identifier: MIT
"""A thermometer at 0xfed90000: a read of register 0 returns degrees, of register 4 the number of reads before it."""

import asyncio

from retrap_device import Device, Region, serve

DEGREES = 0
READS = 4


class Thermometer(Device):
    name = 'thermometer'
    stateless = True

    def __init__(self) -> None:
        self.reads = 0
        self.mmio(0xFED9_0000, 0x1000)

    async def read(self, region: Region, offset: int, size: int) -> int:
        if offset == READS:
            return self.reads
        if offset != DEGREES:
            return 0  # A guest may read wherever it likes.
        self.reads += 1
        # However long the sensor takes: the guest's clock stands still meanwhile.
        await asyncio.sleep(0.001)
        return 21


serve(Thermometer)
