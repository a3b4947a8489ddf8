# SPDX-License-Identifier: MIT
"""The card of card.ts as a program: a PCI function that adds up bytes, and whose every answer is late.

Its state counts what it was asked: an access that is lost or comes twice shows there, though the guest finds nothing of it.
"""

import asyncio
import random
import struct

from retrap_device import Device, DmaError, Region, serve

# Registers of BAR 0. A write of BELL begins; the sum is behind the buffer when COUNT has gone up.
ADDRESS, BYTES, BELL, COUNT = 0, 1, 2, 3
LATENCY_NS = 20_000
# In seconds of the host, which a guest must not see.
DELAYS = (0, 0, 0.0005, 0.002)
STATE = struct.Struct('<B4IIQQ')  # version, registers, sum, requests, deadline or 0


class Adder(Device):
    name = 'adder'

    def __init__(self) -> None:
        self.function = self.pci(0x1234, 0xADD0, class_code=0x120000, slot=27)
        self.function.bar(0, 4096, minimum=4)
        self.ended = self.timer(self.on_ended)
        self.registers = [0, 0, 0, 0]
        self.sum = 0
        self.requests = 0
        # Held by what goes on: a reset and a save come behind it.
        self.work = asyncio.Lock()

    async def read(self, region: Region, offset: int, size: int) -> int:
        self.requests += 1
        value = self.registers[offset // 4] if offset in (0, 4, 8, 12) else 0
        await self.dawdle()
        return value

    async def write(self, region: Region, offset: int, size: int, value: int) -> None:
        self.requests += 1
        if offset in (0, 4):
            self.registers[offset // 4] = value
        async with self.work:
            await self.dawdle()
            if offset == 4 * BELL:
                await self.ring()

    async def ring(self) -> None:
        try:
            data = await self.dma_read(self.registers[ADDRESS], self.registers[BYTES] & 0xFFFF)
        except DmaError:
            return
        self.sum = sum(data) & 0xFFFF_FFFF
        self.ended.after(LATENCY_NS)

    async def on_ended(self) -> None:
        async with self.work:
            await self.dawdle()
            try:
                target = self.registers[ADDRESS] + (self.registers[BYTES] & 0xFFFF)
                await self.dma_write(target, struct.pack('<I', self.sum))
            except DmaError:
                pass
            self.registers[COUNT] = (self.registers[COUNT] + 1) & 0xFFFF_FFFF
            self.interrupt(0, self.registers[COUNT] & 1 != 0)

    async def dawdle(self) -> None:
        await asyncio.sleep(random.choice(DELAYS))

    async def quiesce(self, deadline_ms: int) -> None:
        async with self.work:
            pass

    async def reset(self) -> None:
        async with self.work:
            self.registers = [0, 0, 0, 0]
            self.sum = self.requests = 0
            self.ended.cancel()

    async def save(self) -> bytes:
        await self.dawdle()
        return STATE.pack(1, *self.registers, self.sum, self.requests, self.ended.deadline or 0)

    async def restore(self, state: bytes) -> None:
        await self.dawdle()
        version, *self.registers, self.sum, self.requests, deadline = STATE.unpack(state)
        assert version == 1, f'a state of version {version}'
        if deadline:
            self.ended.arm(deadline)


serve(Adder)
