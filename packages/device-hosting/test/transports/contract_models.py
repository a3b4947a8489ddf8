"""The models of the transports' contract tests, as in models.ts, by retrap_device.py."""

import asyncio
import json
import os
from typing import List, Union

from retrap_device import Device, Region, serve

BYTES = bytearray(64)
LOG: List[str] = []


def load(offset: int, size: int) -> int:
    if size == 8:
        return load(offset, 4) | load(offset + 4, 4) << 32
    LOG.append(f'r{size}@{offset}')
    return int.from_bytes(BYTES[offset : offset + size], 'little')


def store(offset: int, size: int, value: int) -> None:
    if size == 8:
        store(offset, 4, value & 0xFFFF_FFFF)
        return store(offset + 4, 4, value >> 32)
    LOG.append(f'w{size}@{offset}={value:x}')
    BYTES[offset : offset + size] = value.to_bytes(size, 'little')


class Registers(Device):
    name = 'registers'

    def __init__(self) -> None:
        self.ports(0x100, 64)
        self.mmio(0x18000, 64)

    async def read(self, region: Region, offset: int, size: int) -> int:
        await asyncio.sleep(0)
        return load(offset, size)

    async def write(self, region: Region, offset: int, size: int, value: int) -> None:
        await asyncio.sleep(0)
        store(offset, size, value)

    def reset(self) -> None:
        BYTES[:] = bytes(64)

    def save(self) -> bytes:
        state = json.dumps({'bytes': BYTES.hex(), 'log': LOG})
        LOG.clear()
        return state.encode()

    def restore(self, state: bytes) -> None:
        BYTES[:] = bytes.fromhex(json.loads(state)['bytes'])


class Wide(Device):
    name = 'wide'
    stateless = True

    def __init__(self) -> None:
        self.mmio(0x19000, 64, maximum=8, minimum=4)

    def read(self, region: Region, offset: int, size: int) -> int:
        return load(offset, size)

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        store(offset, size, value)


class Buffered(Device):
    name = 'buffered'
    stateless = True

    def __init__(self) -> None:
        self.mmio(0xA_0000, 0x100, buffered=True)

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        LOG.append(f'b{size}@{offset}={value:x}')


class Function(Device):
    name = 'function'
    stateless = True

    def __init__(self) -> None:
        self.pci(0x1234, 0x4321, class_code=0xFF_0000, slot=4).msi().bar(0, 16)

    def read(self, region: Region, offset: int, size: int) -> int:
        return offset

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        self.interrupt()


class Control(Device):
    name = 'control'
    stateless = True

    def __init__(self, function: Function) -> None:
        self.function = function
        self.count = self.ports(0x200, 1)
        self.clock = self.ports(0x204, 4)
        self.ports(0x208, 8)
        self.irq = self.line(5)
        self.alarm = self.timer(self.on_alarm)
        self.fired = self.due = self.reached = 0

    def read(self, region: Region, offset: int, size: int) -> int:
        return self.fired if region is self.count else self.now if region is self.clock else self.reached >> 8 * offset

    def write(self, region: Region, offset: int, size: int, value: int) -> None:
        acts = [
            lambda: self.irq.set(True), lambda: self.irq.set(False), self.pulse, self.message,
            lambda: self.arm(self.now + 1000), self.alarm.cancel, self.power_off, self.reset_machine, lambda: self.exit(3),
        ]  # fmt: skip
        acts[value - 1]()

    def pulse(self) -> None:
        self.irq.set(True)
        self.irq.set(False)

    def message(self) -> None:
        self.function.interrupt(0, True)
        self.function.interrupt(0, False)

    def arm(self, due: int) -> None:
        self.due = due
        self.alarm.arm(due)

    def on_alarm(self) -> None:
        self.fired += 1
        self.reached = self.due
        self.irq.set(True)
        # A second one follows, a nanosecond later.
        if self.fired % 2 == 1:
            self.arm(self.due + 1)

    def reset(self) -> None:
        self.fired = 0
        self.irq.set(False)


class Dma(Device):
    """The four bytes at an address come back behind them, inverted."""

    name = 'dma'
    stateless = True

    def __init__(self) -> None:
        self.ports(0x210, 4)

    async def write(self, region: Region, offset: int, size: int, value: int) -> None:
        data = await self.dma_read(value, 4)
        await self.dma_write(value + 4, bytes(~byte & 0xFF for byte in data))


class Owner(Device):
    name = 'owner'
    stateless = True

    def __init__(self) -> None:
        self.ports(0x230, 4)
        self.ram = self.memory('ram', 4 * 4096).window(0x6_0000)
        self.result = 0

    def read(self, region: Region, offset: int, size: int) -> int:
        return self.result

    async def write(self, region: Region, offset: int, size: int, value: int) -> None:
        if value == 1:
            await self.ram.write(0x1FFE, b'\1\2\3\4')
        elif value == 2:
            self.result = int.from_bytes(await self.ram.read(0x1FFE, 4), 'big')
            self.result = sum((self.result >> 8 * i & 15) << 4 * i for i in range(4))
        elif value == 5:
            self.result = (await self.ram.read(0x2000, 1))[0]


class Bad(Device):
    name = 'bad'
    stateless = True

    def __init__(self) -> None:
        self.ports(0x220, 8)
        self.alarm = self.timer(self.on_alarm)

    async def read(self, region: Region, offset: int, size: int) -> Union[int, str]:  # type: ignore[override]
        if offset == 0:
            raise RuntimeError('thrown in a handler')
        if offset == 1:
            await asyncio.Event().wait()
        if offset == 2:
            return 'text'
        if offset == 3:
            os._exit(7)
        if offset == 5:
            await asyncio.sleep(0.001)
            raise RuntimeError('thrown later')
        if offset == 6:
            # `done` for a read, which the library does not say.
            self._send('done', self.call.number, '', b'')
        self.alarm.arm(0)
        return 1

    def on_alarm(self) -> None:
        raise RuntimeError('thrown in a timer')


function = Function()
serve(Registers(), Wide(), Buffered(), Control(function), Dma(), Bad(), Owner(), function)
