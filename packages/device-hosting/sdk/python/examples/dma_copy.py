# SPDX-License-Identifier: MIT
"""A PCI function that copies guest memory 10 microseconds after its start, and interrupts by MSI or INTx."""

import struct

from retrap_device import Device, DmaError, Region, serve

# Registers of BAR 0. A write of 1 to CONTROL starts; STATUS is 1 when it is done, 2 on an error, and a write clears it.
SOURCE, TARGET, LENGTH, CONTROL, STATUS = 0x00, 0x08, 0x10, 0x14, 0x18
DONE, ERROR = 1, 2
DELAY_NS = 10_000


class DmaCopy(Device):
    name = 'dma-copy'

    def __init__(self) -> None:
        function = self.pci(0x1234, 0x0D3A, class_code=0x088000)
        function.bar(0, 4096, maximum=8)
        function.msi()
        self.registers = bytearray(0x20)
        self.engine = self.timer(self.copy)

    def read(self, region: Region, offset: int, size: int) -> int:
        return int.from_bytes(self.registers[offset : offset + size], 'little')

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        if offset == CONTROL and value & 1:
            self.engine.after(DELAY_NS)
        elif offset == STATUS:
            self.registers[STATUS] = 0
            self.interrupt(0, False)
        elif offset + size <= CONTROL:
            self.registers[offset : offset + size] = value.to_bytes(size, 'little')

    async def copy(self) -> None:
        source, target, length = struct.unpack_from('<QQI', self.registers)
        try:
            await self.dma_write(target, await self.dma_read(source, length))
            self.registers[STATUS] = DONE
        except DmaError:
            self.registers[STATUS] = ERROR
        self.interrupt(0, True)

    def save(self) -> bytes:
        return struct.pack('<BQ', 1, self.engine.deadline or 0) + self.registers

    def restore(self, state: bytes) -> None:
        version, deadline = struct.unpack_from('<BQ', state)
        assert version == 1, f'a state of version {version}'
        self.registers[:] = state[9:]
        if deadline:
            self.engine.arm(deadline)

    def reset(self) -> None:
        self.registers[:] = bytes(len(self.registers))


serve(DmaCopy)
