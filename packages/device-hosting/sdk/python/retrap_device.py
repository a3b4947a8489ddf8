# SPDX-License-Identifier: MIT
# Copyright (c) the retrap authors
"""Device models in Python for retrap machines: the device protocol, version 5.

    from retrap_device import Device, serve

    class Thermometer(Device):
        name = 'thermometer'
        stateless = True

        def __init__(self):
            self.mmio(0xfed9_0000, 0x1000)

        async def read(self, region, offset, size):
            return 21

    serve(Thermometer())

Needs Python 3.9 and its standard library. README.md has the calls in a table, PROTOCOL.md the bytes.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import socket
import stat
import struct
import sys
import time
import traceback
from collections import deque
from functools import partial
from typing import Any, Awaitable, Callable, Coroutine, Deque, Dict, Iterator, List, Optional, Set, Tuple, Type
from typing import TypeVar, Union

__all__ = [
    'Call', 'Device', 'DmaError', 'Function', 'Line', 'Memory', 'ProtocolError', 'Region', 'Timer', 'serve',
    'serve_async',
]  # fmt: skip

VERSION = 5
MAX_FRAME = 1 << 20
MAX_TRANSFER = 1 << 19
_MOST_PIECES = 8
NEVER = (1 << 64) - 1
_MOST_NUMBER = (1 << 53) - 1
_HEADER = struct.Struct('<IHH')
_WORD = struct.Struct('<Q')

T = TypeVar('T')
_D = TypeVar('_D', bound='Device')
Data = Union[bytes, bytearray, memoryview]
Maybe = Union[T, Awaitable[T]]
Handler = Callable[[], Maybe[None]]


class ProtocolError(Exception):
    """The machine sent a frame that the protocol does not have. The session ends."""


class DmaError(Exception):
    """Some byte of a transfer is no RAM, or the device may not reach it."""


# ---- frames ----

# Code and fields of each kind: `name*` has 64 bits, `name$` is text, `name#` is bytes; any other is at most 2^53 - 1.
_FRAMES: Dict[str, Tuple[int, str]] = {
    'ack': (1, ''),
    'hello': (2, 'version flags session* received now*'),
    'read': (3, 'call region offset size vcpu now*'),
    'write': (4, 'call region offset size value* vcpu now*'),
    'cancel': (5, 'call'),
    'timer': (6, 'call timer deadline* now*'),
    'reset': (7, 'call device now*'),
    'plug': (8, 'call device now*'),
    'unplug': (9, 'call device now*'),
    'save': (10, 'call device'),
    'restore': (11, 'call device state# now*'),
    'quiesce': (12, 'call device deadline'),
    'resume': (13, 'call device now*'),
    'dmaDone': (14, 'call ok bytes#'),
    'bye': (15, 'why$'),
    'welcome': (32, 'version flags session* received name$'),
    'device': (33, 'device flags name$'),
    'range': (34, 'region device space base bytes maximum minimum flags'),
    'function': (35, 'function device address vendor id revision class subsystemVendor subsystem pin flags bus$'),
    'bar': (36, 'region function index type bytes maximum minimum flags memory'),
    'msi': (37, 'function vectors flags'),
    'msix': (38, 'function vectors bar offset pending'),
    'capability': (39, 'function id version body# writable#'),
    'memory': (40, 'memory device bytes flags name$'),
    'window': (41, 'memory base'),
    'line': (42, 'line device irq'),
    'ready': (43, ''),
    'answer': (44, 'call value*'),
    'done': (45, 'call error$ result#'),
    'fault': (46, 'device message$'),
    'interrupt': (47, 'function vector level'),
    'setLine': (48, 'line level'),
    'armTimer': (49, 'timer device deadline*'),
    'dmaRead': (50, 'call device address length'),
    'dmaWrite': (51, 'call device address bytes#'),
    'memoryRead': (52, 'call memory offset length'),
    'memoryWrite': (53, 'call memory offset bytes#'),
    'powerOff': (54, ''),
    'resetMachine': (55, ''),
    'exit': (56, 'status'),
    'log': (57, 'text$'),
}
# Frames that belong to a connection, not to the session: they are not counted.
_UNCOUNTED = frozenset(('ack', 'hello', 'welcome', 'bye'))
_FIRST_OF_SERVER = 32


class _Layout:
    """How a kind of frame lies on the wire."""

    __slots__ = ('kind', 'code', 'fields', 'fixed')

    def __init__(self, kind: str, code: int, text: str) -> None:
        self.kind = kind
        self.code = code
        self.fields: List[Tuple[str, str]] = [
            (name.rstrip('*$#'), name[-1] if name[-1] in '*$#' else '') for name in text.split()
        ]
        # One unpacking takes all fields where each is an integer.
        all_numbers = not any(type in ('$', '#') for _, type in self.fields)
        self.fixed = struct.Struct('<' + 'Q' * len(self.fields)) if all_numbers else None


_BY_KIND: Dict[str, _Layout] = {kind: _Layout(kind, code, text) for kind, (code, text) in _FRAMES.items()}
_BY_CODE: Dict[int, _Layout] = {layout.code: layout for layout in _BY_KIND.values()}


def _encode(kind: str, values: Tuple[Any, ...]) -> bytearray:
    """A frame's bytes; bytes 6 and 7 are set when it is sent."""
    layout = _BY_KIND[kind]
    frame = bytearray(_HEADER.size)
    if layout.fixed is not None:
        frame += layout.fixed.pack(*values)
    else:
        for value in values:
            if isinstance(value, int):
                frame += _WORD.pack(value)
            else:
                part = value.encode() if isinstance(value, str) else value
                frame += _WORD.pack(len(part))
                frame += part
                frame += bytes(-len(part) % 8)
    if len(frame) > MAX_FRAME:
        raise ValueError(f'a {kind} frame of {len(frame)} bytes: expected at most {MAX_FRAME}')
    _HEADER.pack_into(frame, 0, len(frame), layout.code, 0)
    return frame


def _length_at(buffer: bytearray, at: int) -> int:
    length: int = _HEADER.unpack_from(buffer, at)[0]
    if length < 8 or length > MAX_FRAME or length % 8 != 0:
        raise ProtocolError(f'a frame of {length} bytes: expected a multiple of 8, from 8 to {MAX_FRAME}')
    return length


def _decode(buffer: bytearray, at: int, length: int) -> Tuple[str, Tuple[Any, ...]]:
    """One whole frame. A ProtocolError says what is wrong with it."""
    code: int = _HEADER.unpack_from(buffer, at)[1]
    layout = _BY_CODE.get(code)
    if layout is None:
        raise ProtocolError(f'a frame of kind {code}, which there is not')
    kind = layout.kind
    if layout.fixed is not None:
        if length - _HEADER.size != layout.fixed.size:
            raise ProtocolError(f'a {kind} frame of {length} bytes: its fields take {layout.fixed.size + 8}')
        values = layout.fixed.unpack_from(buffer, at + _HEADER.size)
        for value, (name, type) in zip(values, layout.fields):
            if value > _MOST_NUMBER and type == '':
                raise ProtocolError(f'{name} of a {kind} frame is {value}: expected at most 2^53 - 1')
        return kind, values
    return kind, _decode_parts(layout, buffer, at + _HEADER.size, at + length)


def _decode_parts(layout: _Layout, buffer: bytearray, at: int, end: int) -> Tuple[Any, ...]:
    kind = layout.kind
    values: List[Any] = []
    for name, type in layout.fields:
        if at + 8 > end:
            raise ProtocolError(f'a {kind} frame ends within {name}')
        word: int = _WORD.unpack_from(buffer, at)[0]
        at += 8
        if type != '*' and word > _MOST_NUMBER:
            raise ProtocolError(f'{name} of a {kind} frame is {word}: expected at most 2^53 - 1')
        if type in ('', '*'):
            values.append(word)
            continue
        if word > end - at:
            raise ProtocolError(f'a {kind} frame ends within {name}')
        with memoryview(buffer) as view:
            part = bytes(view[at : at + word])
        if any(buffer[at + word : at + word + -word % 8]):
            raise ProtocolError(f'{name} of a {kind} frame: expected zeros up to a multiple of 8 behind it')
        at += word + -word % 8
        try:
            values.append(part.decode() if type == '$' else part)
        except UnicodeDecodeError:
            raise ProtocolError(f'{name} of a {kind} frame is no UTF-8') from None
    if at != end:
        raise ProtocolError(f'a {kind} frame has {end - at} bytes behind its fields')
    return tuple(values)


def _traced(arrow: str, kind: str, values: Tuple[Any, ...]) -> None:
    def shown(value: Any) -> str:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f'<{len(value)} bytes>'
        return hex(value) if isinstance(value, int) and value > 0xFFFF else repr(value)

    text = ' '.join(f'{name}={shown(value)}' for (name, _), value in zip(_BY_KIND[kind].fields, values))
    print(f'{arrow} {kind} {text}'.rstrip(), file=sys.stderr, flush=True)


# ---- what a device consists of ----


def _number(name: str, value: int, most: int = _MOST_NUMBER) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f'{name} is {value!r}: expected an integer from 0 to {most}')
    return value


class Region:
    """A part of the address space that the device answers: ports, memory, or a BAR."""

    def __init__(self, device: Device, bytes: int, declare: Callable[[_Session, Region], None]) -> None:
        self.device = device
        self.bytes = bytes
        self.id = 0
        self._declare = declare


class Line:
    """An input of the interrupt controllers."""

    def __init__(self, device: Device, irq: int) -> None:
        self.device = device
        self.irq = irq
        self.id = 0

    def set(self, level: bool) -> None:
        """Drives the line."""
        self.device._send('setLine', self.id, 1 if level else 0)


class Timer:
    """Calls a function when the guest's clock reaches a deadline."""

    def __init__(self, device: Device, callback: Handler) -> None:
        self.device = device
        self.callback = callback
        self.id = 0
        #: In nanoseconds; None: the timer is off.
        self.deadline: Optional[int] = None

    def arm(self, deadline: int) -> None:
        """Sets the deadline, in nanoseconds of the guest's clock, in place of an earlier one."""
        self.device._send('armTimer', self.id, self.device._id, _number('deadline', deadline, NEVER - 1))
        self.deadline = deadline

    def after(self, ns: int) -> None:
        """Sets a deadline so many nanoseconds from now."""
        self.arm(self.device.now + ns)

    def cancel(self) -> None:
        """Turns the timer off."""
        self.device._send('armTimer', self.id, self.device._id, NEVER)
        self.deadline = None

    def _reached(self, now: int) -> Maybe[None]:
        # The device may have moved or stopped it while the frame was on its way.
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = None
        return self.callback()


class Memory:
    """Memory of the device, which lives in the machine and which the guest reaches at RAM speed."""

    def __init__(self, device: Device, name: str, bytes: int, flags: int) -> None:
        self.device = device
        self.name = name
        self.bytes = bytes
        self.id = 0
        self._flags = flags
        self._windows: List[int] = []

    def window(self, base: int) -> Memory:
        """Shows the memory at a guest-physical address, a multiple of 4096."""
        self._windows.append(_number('base', base))
        return self

    def read(self, offset: int, length: int) -> Awaitable[bytes]:
        """Reads the memory."""
        return self.device._read('memoryRead', self.id, offset, length)

    def write(self, offset: int, data: Data) -> Awaitable[None]:
        """Writes the memory. Up to 512 KiB are sent at once; a longer write must be awaited."""
        return self.device._write('memoryWrite', self.id, offset, data)


class Function:
    """A PCI function. The machine keeps its configuration space."""

    BAR_TYPES = {'io': 0, 'mem32': 1, 'mem64': 2}

    def __init__(self, device: Device, fields: Tuple[Any, ...]) -> None:
        self.device = device
        self.id = 0
        self._fields = fields
        self._more: List[Tuple[Any, ...]] = []

    def bar(
        self, index: int, bytes: int, *, type: str = 'mem32', maximum: int = 0, minimum: int = 0,
        buffered: bool = False, prefetchable: bool = False, memory: Optional[Memory] = None,
    ) -> Region:  # fmt: skip
        """A base address register, of type 'io', 'mem32' or 'mem64', and a power of two in size."""
        if type not in self.BAR_TYPES:
            raise ValueError(f'type is {type!r}: expected one of {", ".join(self.BAR_TYPES)}')
        if bytes <= 0 or bytes & (bytes - 1):
            raise ValueError(f'bytes is {bytes}: expected a power of two')
        flags = (1 if buffered else 0) | (2 if prefetchable else 0)

        def declare(session: _Session, region: Region) -> None:
            shown = 0 if memory is None else memory.id
            session.send(
                'bar', region.id, self.id, index, self.BAR_TYPES[type], bytes, maximum, minimum, flags, shown
            )  # fmt: skip

        region = Region(self.device, bytes, declare)
        self.device._regions.append(region)
        return region

    def msi(self, vectors: int = 1, *, masking: bool = False) -> Function:
        """Gives the function MSI, of 1, 2, 4, 8, 16 or 32 vectors."""
        self._more.append(('msi', vectors, 1 if masking else 0))
        return self

    def msix(self, vectors: int, *, bar: int, offset: int = 0, pending: int = 0) -> Function:
        """Gives the function MSI-X, with its table in a BAR."""
        self._more.append(('msix', vectors, bar, offset, pending))
        return self

    def capability(self, id: int, body: bytes, *, writable: bytes = b'', version: int = 0) -> Function:
        """Gives the function another capability; `body` is behind ID and next pointer."""
        self._more.append(('capability', id, version, body, writable))
        return self

    def interrupt(self, vector: int = 0, level: bool = True) -> None:
        """Says that the cause behind a vector has come or gone. The machine sends a message, or drives INTx."""
        self.device._send('interrupt', self.id, _number('vector', vector), 1 if level else 0)


class Call:
    """A call of the machine's that a handler works on: `self.call` in the handler."""

    __slots__ = ('number', 'kind', 'device', 'size', 'vcpu', 'was_cancelled', '_event', '_task')

    def __init__(self, number: int, kind: str, device: Device, size: int = 0, vcpu: int = 0) -> None:
        self.number = number
        self.kind = kind
        self.device = device
        self.size = size
        #: The processor that waits, for a read or write.
        self.vcpu = vcpu
        #: Whether the processor waits no more.
        self.was_cancelled = False
        self._event: Optional[asyncio.Event] = None
        self._task: Optional[asyncio.Task[None]] = None

    @property
    def cancelled(self) -> asyncio.Event:
        """Is set when the processor waits no more."""
        if self._event is None:
            self._event = asyncio.Event()
            if self.was_cancelled:
                self._event.set()
        return self._event

    def _cancel(self) -> None:
        self.was_cancelled = True
        if self._event is not None:
            self._event.set()
        if self.device.cancellable and self._task is not None:
            self._task.cancel()


_current: contextvars.ContextVar[Optional[Call]] = contextvars.ContextVar('retrap_call', default=None)


class Device:
    """A device model. Handlers may be plain functions or coroutines; calls run at the same time as others do.

    A call is answered when its handler returns: all that the handler has sent comes before. A handler that throws
    ends the device with a fault.
    """

    #: Unique in its machine. Default: the name of the class.
    name: str = ''
    #: The device has no state: there is neither `save` nor `restore`.
    stateless: bool = False
    #: The device is not there before it is plugged in.
    offered: bool = False
    #: A read or write that nobody waits for any more is broken off by `asyncio.CancelledError`.
    cancellable: bool = False

    # Subclasses need not call __init__: the lists are made when the object is.
    def __new__(cls: Type[_D], *_: Any, **__: Any) -> _D:
        self = super().__new__(cls)
        self._id = 0
        self._session = None
        self._is_held = False
        self._queue = deque()
        self._failed = False
        self._regions = []
        self._functions = []
        self._memories = []
        self._lines = []
        self._timers = []
        return self

    _id: int
    _session: Optional[_Session]
    # Whether calls wait for one before them, and those calls.
    _is_held: bool
    _queue: Deque[Tuple[Call, Callable[..., Any], Tuple[Any, ...]]]
    _failed: bool
    _regions: List[Region]
    _functions: List[Function]
    _memories: List[Memory]
    _lines: List[Line]
    _timers: List[Timer]

    # ---- what it consists of: told in __init__ ----

    def ports(
        self, base: int, count: int, *, maximum: int = 0, minimum: int = 0, buffered: bool = False
    ) -> Region:  # fmt: skip
        """Answers at ports."""
        return self._range(0, base, count, maximum, minimum, buffered)

    def mmio(
        self, base: int, bytes: int, *, maximum: int = 0, minimum: int = 0, buffered: bool = False
    ) -> Region:  # fmt: skip
        """Answers at guest-physical addresses."""
        return self._range(1, base, bytes, maximum, minimum, buffered)

    def _range(self, space: int, base: int, bytes: int, maximum: int, minimum: int, buffered: bool) -> Region:
        _number('base', base)
        if _number('bytes', bytes) == 0:
            raise ValueError('bytes is 0: expected at least 1')

        def declare(session: _Session, region: Region) -> None:
            flags = 1 if buffered else 0
            session.send('range', region.id, self._id, space, base, bytes, maximum, minimum, flags)

        region = Region(self, bytes, declare)
        self._regions.append(region)
        return region

    def pci(
        self, vendor: int, id: int, *, class_code: int, revision: int = 0, subsystem_vendor: int = 0,
        subsystem: int = 0, pin: int = 1, slot: Optional[int] = None, function: int = 0, bus: str = '',
        extended: bool = False, multifunction: bool = False,
    ) -> Function:  # fmt: skip
        """A PCI function.

        `slot` is its device number; None: the machine chooses. `pin` is INTA to INTD as 1 to 4; 0: none.
        """
        address = 256 + function if slot is None else slot * 8 + function
        flags = (1 if extended else 0) | (2 if multifunction else 0)
        fields = (address, vendor, id, revision, class_code, subsystem_vendor, subsystem, pin, flags, bus)
        made = Function(self, fields)
        self._functions.append(made)
        return made

    def memory(
        self, name: str, bytes: int, *, readonly: bool = False, executable: bool = False, saved: bool = True
    ) -> Memory:  # fmt: skip
        """Memory of the device's own, a multiple of 4096 bytes, for a BAR or a window."""
        if bytes <= 0 or bytes % 4096:
            raise ValueError(f'bytes is {bytes}: expected a multiple of 4096')
        flags = (1 if readonly else 0) | (2 if executable else 0) | (0 if saved else 4)
        made = Memory(self, name, bytes, flags)
        self._memories.append(made)
        return made

    def line(self, irq: int) -> Line:
        """An interrupt line. On a PC ISA 0 to 15, or a GSI; on an Arm board 32 + the SPI."""
        made = Line(self, _number('irq', irq))
        self._lines.append(made)
        return made

    def timer(self, callback: Handler) -> Timer:
        """A timer on the guest's clock, which is off at first."""
        made = Timer(self, callback)
        self._timers.append(made)
        if self._session is not None:
            self._session.name_timer(made)
        return made

    # ---- what the machine asks: override these ----

    def start(self) -> Maybe[None]:
        """The machine is there, and all has been declared. Handlers of calls begin afterwards."""

    def read(self, region: Region, offset: int, size: int) -> Maybe[int]:
        """The guest reads. Without a handler it finds ones."""
        return -1

    def write(self, region: Region, offset: int, size: int, value: int) -> Maybe[None]:
        """The guest writes. Without a handler that does nothing."""

    def reset(self) -> Maybe[None]:
        """Returns to the state at power-on. Timers are off already; lines are the device's to lower."""

    def save(self) -> Maybe[bytes]:
        """Returns the state: begin it with a version."""
        raise NotImplementedError(f'{self.name} has no save(): write one, or set stateless = True')

    def restore(self, state: bytes) -> Maybe[None]:
        """Takes a state that `save` has returned, perhaps in another process. Timers are off, lines as they were."""
        raise NotImplementedError(f'{self.name} has no restore(): write one, or set stateless = True')

    def quiesce(self, deadline_ms: int) -> Maybe[None]:
        """Ends its work, or brings it to a state that `save` can hold, and begins none."""

    def resume(self) -> Maybe[None]:
        """Goes on after `quiesce` or `restore`."""

    def plug(self) -> Maybe[None]:
        """An offered device is in its slot, in its state at power-on. Default: resets it."""
        return self.reset()

    def unplug(self) -> Maybe[None]:
        """The device is out of its slot, and reaches nothing."""

    # ---- what it asks of the machine ----

    @property
    def now(self) -> int:
        """The guest's clock in nanoseconds, as of the last call."""
        return 0 if self._session is None else self._session.now

    @property
    def call(self) -> Optional[Call]:
        """The call that the running handler works on."""
        return _current.get()

    def interrupt(self, vector: int = 0, level: bool = True) -> None:
        """As `interrupt` of the device's first PCI function."""
        self._functions[0].interrupt(vector, level)

    def dma_read(self, address: int, length: int) -> Awaitable[bytes]:
        """Reads guest memory. Awaiting it throws a DmaError where that cannot be."""
        return self._read('dmaRead', self._id, address, length)

    def dma_write(self, address: int, data: Data) -> Awaitable[None]:
        """Writes guest memory. Awaiting it throws a DmaError where that cannot be.

        Up to 512 KiB are sent at once, before all that is sent later; a longer one must be awaited.
        """
        return self._write('dmaWrite', self._id, address, data)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Runs a coroutine beside the calls, until the session ends. The device fails where it throws."""
        return self._bound().run_beside(self, work)

    def log(self, text: str) -> None:
        """Prints lines for whoever runs the machine."""
        for line in text.splitlines():
            self._send('log', line[:4096])

    def fault(self, message: str) -> None:
        """Says that the device cannot go on."""
        if not self._failed:
            self._failed = True
            self._send('fault', self._id, message[:4096])

    def power_off(self) -> None:
        """Cuts the machine's power, as the guest has asked."""
        self._send('powerOff')

    def reset_machine(self) -> None:
        """Resets the machine, as the guest has asked."""
        self._send('resetMachine')

    def exit(self, status: int) -> None:
        """Ends the machine's process, as the guest has asked."""
        self._send('exit', _number('status', status, 0xFFFF_FFFF))

    def _bound(self) -> _Session:
        if self._session is None:
            raise RuntimeError(f'{self.name} acts before there is a machine: do that in start(), or in a handler')
        return self._session

    def _send(self, kind: str, *values: Any) -> None:
        self._bound().send(kind, *values)

    def _read(self, kind: str, of: int, at: int, length: int) -> Awaitable[bytes]:
        _number('address', at)
        _number('length', length)
        session = self._bound()
        if length <= MAX_TRANSFER:
            return session.transfer(kind, of, at, length)

        async def joined() -> bytes:
            pieces = await _in_pieces(length, lambda first, end: session.transfer(kind, of, at + first, end - first))
            return b''.join(pieces)

        return asyncio.ensure_future(joined())

    def _write(self, kind: str, of: int, at: int, data: Data) -> Awaitable[None]:
        _number('address', at)
        session = self._bound()
        if len(data) <= MAX_TRANSFER:
            return session.transfer(kind, of, at, data)
        view = memoryview(data).cast('B')

        async def all_done() -> None:
            await _in_pieces(len(view), lambda first, end: session.transfer(kind, of, at + first, view[first:end]))

        return asyncio.ensure_future(all_done())


async def _in_pieces(length: int, move: Callable[[int, int], asyncio.Future[Any]]) -> List[Any]:
    """Moves many bytes, some frames at a time, so that neither end holds more than those."""
    results: List[Any] = []
    moving: Deque[asyncio.Future[Any]] = deque()
    try:
        for first in range(0, length, MAX_TRANSFER):
            if len(moving) == _MOST_PIECES:
                results.append(await moving.popleft())
            moving.append(move(first, min(first + MAX_TRANSFER, length)))
        while moving:
            results.append(await moving.popleft())
    finally:
        for each in moving:
            each.cancel()
    return results


# ---- sessions ----

# Frames that may be on their way, half of what the count in a header tells apart.
_WINDOW = 32_767
_ACK_FRAMES = 64
_ACK_BYTES = 1 << 16
# Frames and bytes that a machine may leave waiting.
_MOST_WAITING_FRAMES = 1 << 18
_MOST_WAITING_BYTES = 1 << 26
# Calls whose failure is the machine's to handle: the device goes on.
_MAY_FAIL = frozenset(('save', 'restore', 'quiesce', 'resume'))


class _Session:
    """A machine's session with its devices. Connections carry it, one after another."""

    def __init__(self, server: _Server, id: int, devices: List[Device], again: bool, is_real_time: bool) -> None:
        self.server = server
        self.id = id
        self.devices = devices
        self._now = 0
        self._told_at = 0
        self._is_real_time = is_real_time
        self.over = False
        self.failure = ''
        self.received = 0
        self.connection: Optional[_Connection] = None
        # Frames that have gone out and are not acknowledged, and frames behind them; none where no session goes on.
        self._flying: Deque[bytearray] = deque()
        self._waiting: Deque[bytearray] = deque()
        self._kept_bytes = 0
        self._sent = 0
        self._unseen_frames = 0
        self._unseen_bytes = 0
        self._regions: Dict[int, Region] = {}
        self._devices: Dict[int, Device] = {}
        self._timers: Dict[int, Timer] = {}
        self._calls: Dict[int, Call] = {}
        self._transfers: Dict[int, Tuple[asyncio.Future[Any], bool]] = {}
        self._last_transfer = 0
        self._tasks: Set[asyncio.Task[Any]] = set()
        # Whether the frame at hand has begun a step of a task, which comes before the next frame.
        self.stepped = False
        self._takes: Dict[str, Callable[..., None]] = {
            'read': self._take_read, 'write': self._take_write, 'cancel': self._take_cancel, 'timer': self._take_timer,
            **{kind: partial(self._take_power_on, kind) for kind in ('reset', 'plug', 'unplug')}, 'save': self._take_save,
            'restore': self._take_restore, 'quiesce': self._take_quiesce, 'resume': self._take_resume,
            'dmaDone': self._take_dma_done,
        }  # fmt: skip
        self._number(devices)
        self._again = again

    # ---- the beginning ----

    def _number(self, devices: List[Device]) -> None:
        regions: List[Region] = [region for device in devices for region in device._regions]
        memories = [memory for device in devices for memory in device._memories]
        functions = [function for device in devices for function in device._functions]
        lines = [line for device in devices for line in device._lines]
        numbered: Tuple[List[Any], ...] = (regions, memories, functions, lines)
        for each in numbered:
            for id, item in enumerate(each, 1):
                item.id = id
        self._regions = {region.id: region for region in regions}
        for id, device in enumerate(devices, 1):
            device.name = device.name or type(device).__name__
            device._id = id
            device._session = self
            device._is_held = False
            device._queue.clear()
            device._failed = False
            self._devices[id] = device
            for timer in device._timers:
                self.name_timer(timer)

    @property
    def now(self) -> int:
        """The guest's clock, which runs on by itself where the machine has said so."""
        return self._now + (time.monotonic_ns() - self._told_at if self._is_real_time else 0)

    def tell(self, now: int) -> None:
        """Takes the time that a frame names."""
        self._now = now
        if self._is_real_time:
            self._told_at = time.monotonic_ns()

    def name_timer(self, timer: Timer) -> None:
        """Gives a timer its number."""
        timer.id = len(self._timers) + 1
        timer.deadline = None
        self._timers[timer.id] = timer

    def declare(self) -> None:
        """Tells all that there is, and lets the devices begin."""
        for device in self.devices:
            flags = (1 if device.stateless else 0) | (2 if device.offered else 0)
            self.send('device', device._id, flags, device.name)
            for memory in device._memories:
                self.send('memory', memory.id, device._id, memory.bytes, memory._flags, memory.name)
                for base in memory._windows:
                    self.send('window', memory.id, base)
            for function in device._functions:
                self.send('function', function.id, device._id, *function._fields)
            for region in device._regions:
                region._declare(self, region)
            for function in device._functions:
                for kind, *fields in function._more:
                    self.send(kind, function.id, *fields)
            for line in device._lines:
                self.send('line', line.id, device._id, line.irq)
        self.send('ready')
        for device in self.devices:
            # A device that has served another machine begins as at power-on.
            first = [device.reset, device.start] if self._again else [device.start]
            self._hold_up(device, self.run_beside(device, self._in_turn(first)))

    async def _in_turn(self, functions: List[Handler]) -> None:
        for function in functions:
            result = function()
            if inspect.isawaitable(result):
                await result

    # ---- frames out ----

    def send(self, kind: str, *values: Any) -> None:
        """Sends a frame after all before, over this connection or the next."""
        if self.over:
            return
        frame = _encode(kind, values)
        if self.server.trace:
            _traced('  ->', kind, values)
        if not self.server.resumable:
            self._put(frame)
            if self.connection is not None and self.connection.waiting > _MOST_WAITING_BYTES:
                self.fail(f'the machine has not taken the last {self.connection.waiting} bytes', at_once=True)
            return
        self._waiting.append(frame)
        self._kept_bytes += len(frame)
        if len(self._waiting) > _MOST_WAITING_FRAMES or self._kept_bytes > _MOST_WAITING_BYTES:
            frames = len(self._waiting) + len(self._flying)
            self.fail(f'the machine has not taken the last {frames} frames', at_once=True)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and len(self._flying) < _WINDOW and self.connection is not None:
            frame = self._waiting.popleft()
            self._flying.append(frame)
            self._sent += 1
            self._put(frame)

    def _put(self, frame: bytearray) -> None:
        if self.connection is not None:
            _HEADER.pack_into(frame, 0, len(frame), _HEADER.unpack_from(frame)[1], self.received & 0xFFFF)
            self._unseen_frames = self._unseen_bytes = 0
            self.connection.put(frame)

    def _drop(self, count: int) -> None:
        """The machine has so many frames more."""
        if not 0 <= count <= len(self._flying):
            raise ProtocolError(f'the machine has got {count} frames more, and {len(self._flying)} were on their way')
        for _ in range(count):
            self._kept_bytes -= len(self._flying.popleft())

    def connect(self, connection: _Connection, received: int) -> None:
        """Goes on over a connection, the first or another one. The machine has so many frames."""
        self._drop(received - (self._sent - len(self._flying)))
        if self.connection is not None:
            self.connection.abort()
        again = self._sent > 0 or self.received > 0
        self.connection = connection
        flags = 1 if self.server.resumable else 0
        connection.send('welcome', VERSION, flags, self.id if again else 0, self.received, self.server.name)
        for frame in self._flying:
            self._put(frame)
        self._flush()

    # ---- frames in ----

    def take(self, kind: str, values: Tuple[Any, ...], seen: int) -> None:
        """Takes a frame of the machine's."""
        self.stepped = False
        if self.server.resumable:
            self._drop((seen - (self._sent - len(self._flying))) & 0xFFFF)
            self._flush()
        if kind == 'ack':
            return
        if kind == 'bye':
            return self.end()
        if kind not in self._takes:
            raise ProtocolError(f'a {kind} frame, which a machine does not send here')
        self.received += 1
        self._unseen_frames += 1
        self._takes[kind](*values)

    def acknowledge(self) -> None:
        """Says how many frames have arrived, where nothing else has said it."""
        if not self.server.resumable:
            return
        if self._unseen_frames >= _ACK_FRAMES or self._unseen_bytes >= _ACK_BYTES:
            self._put(_encode('ack', ()))

    def _region_of(self, kind: str, region: int, offset: int, size: int) -> Region:
        found = self._regions.get(region)
        if found is None:
            raise ProtocolError(f'a {kind} of region {region}, which there is not')
        if size not in (1, 2, 4, 8):
            raise ProtocolError(f'a {kind} of {size} bytes: expected 1, 2, 4 or 8')
        if offset + size > found.bytes:
            raise ProtocolError(f'a {kind} of {size} bytes at {offset} of region {region}, which has {found.bytes}')
        return found

    def _take_read(self, call: int, region: int, offset: int, size: int, vcpu: int, now: int) -> None:
        found = self._region_of('read', region, offset, size)
        if call == 0:
            raise ProtocolError('a read with call 0')
        self.tell(now)
        device = found.device
        self._run(Call(call, 'read', device, size, vcpu), device.read, found, offset, size)

    def _take_write(self, call: int, region: int, offset: int, size: int, value: int, vcpu: int, now: int) -> None:
        found = self._region_of('write', region, offset, size)
        self.tell(now)
        device = found.device
        self._run(Call(call, 'write', device, size, vcpu), device.write, found, offset, size, value)

    def _take_cancel(self, call: int) -> None:
        # The answer may be on its way.
        found = self._calls.get(call)
        if found is not None:
            self.stepped = True
            found._cancel()

    def _take_timer(self, call: int, timer: int, deadline: int, now: int) -> None:
        found = self._timers.get(timer)
        if found is None:
            raise ProtocolError(f'timer {timer}, which there is not')
        self.tell(now)
        self._run(Call(call, 'timer', found.device), found._reached, max(deadline, now))

    def _of_device(self, call: int, kind: str, device: int, now: Optional[int] = None) -> Tuple[Call, Device]:
        found = self._devices.get(device)
        if found is None:
            raise ProtocolError(f'a {kind} of device {device}, which there is not')
        if now is not None:
            self.tell(now)
        return Call(call, kind, found), found

    def _take_power_on(self, kind: str, call: int, device: int, now: int) -> None:
        made, found = self._of_device(call, kind, device, now)
        self._run(made, _with_timers_off, found, getattr(found, kind))

    def _take_save(self, call: int, device: int) -> None:
        made, found = self._of_device(call, 'save', device)
        self._run(made, found.save)

    def _take_restore(self, call: int, device: int, state: bytes, now: int) -> None:
        made, found = self._of_device(call, 'restore', device, now)
        self._run(made, _with_timers_off, found, found.restore, state)

    def _take_quiesce(self, call: int, device: int, deadline: int) -> None:
        made, found = self._of_device(call, 'quiesce', device)
        self._run(made, found.quiesce, deadline)

    def _take_resume(self, call: int, device: int, now: int) -> None:
        made, found = self._of_device(call, 'resume', device, now)
        self._run(made, found.resume)

    def _take_dma_done(self, call: int, ok: int, data: bytes) -> None:
        if call not in self._transfers:
            raise ProtocolError(f'a dmaDone of call {call}, which is not open')
        self._unseen_bytes += len(data)
        future, is_read = self._transfers.pop(call)
        self.stepped = True
        if future.done():
            return
        if ok:
            future.set_result(data if is_read else None)
        else:
            future.set_exception(DmaError('some byte is no RAM, or the device may not reach it'))

    # ---- calls ----

    def _run(self, call: Call, function: Callable[..., Any], *args: Any) -> None:
        """Calls a handler. Writes that nobody waits for come one after another, and before all calls behind them."""
        device = call.device
        if call.number != 0:
            if call.number in self._calls:
                raise ProtocolError(f'call {call.number}, which is open already')
            self._calls[call.number] = call
        if device._is_held:
            device._queue.append((call, function, args))
        else:
            self._start(call, function, args)

    def _start(self, call: Call, function: Callable[..., Any], args: Tuple[Any, ...]) -> None:
        device = call.device
        if device._failed:
            return self._failed(call, '')
        token = _current.set(call)
        try:
            result: Any = function(*args)
            # Most handlers of short calls return a number.
            if type(result) is not int and inspect.isawaitable(result):
                self.stepped = True
                call._task = self._begin(self._finish(call, result), result)
                if call.number == 0:
                    self._hold_up(device, call._task)
                return
        except Exception as error:
            return self._threw(call, error)
        finally:
            _current.reset(token)
        self._complete(call, result)

    def _hold_up(self, device: Device, task: asyncio.Task[None]) -> None:
        """Lets the device's calls wait for a task."""
        device._is_held = True
        task.add_done_callback(lambda _: self._go_on(device))

    def _go_on(self, device: Device) -> None:
        """Begins the calls that have waited, in order: each after the first step of the one before."""
        if self.over:
            return
        device._is_held = False
        while device._queue and not device._is_held:
            self.stepped = False
            self._start(*device._queue.popleft())
            if self.stepped and not device._is_held:
                device._is_held = True
                asyncio.get_running_loop().call_soon(self._go_on, device)

    def _begin(self, work: Coroutine[Any, Any, None], inner: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)

        def ended(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            # A task that is cancelled before its first step leaves what it was to run.
            if inspect.iscoroutine(inner):
                inner.close()

        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    async def _finish(self, call: Call, result: Awaitable[Any]) -> None:
        try:
            value = await result
        except asyncio.CancelledError as error:
            if self.over:
                raise
            if not call.was_cancelled:
                return self._threw(call, error)
            value = b'' if call.kind == 'save' else 0
        except Exception as error:
            return self._threw(call, error)
        self._complete(call, value)

    def _complete(self, call: Call, value: Any) -> None:
        if self.over:
            return
        if call.kind == 'read':
            if not isinstance(value, int):
                return self._threw(call, TypeError(f'read() returned {value!r}: expected an integer'))
            self._answer(call, value & NEVER)
        elif call.kind == 'write':
            self._answer(call, 0)
        elif call.kind == 'save':
            if not isinstance(value, (bytes, bytearray)):
                return self._threw(call, TypeError(f'save() returned {type(value).__name__}: expected bytes'))
            if len(value) > MAX_FRAME - 64:
                return self._threw(call, ValueError(f'save() returned {len(value)} bytes: expected below 1 MiB'))
            self._done(call, '', bytes(value))
        else:
            self._done(call, '')

    def _answer(self, call: Call, value: int) -> None:
        if self._calls.pop(call.number, None) is not None:
            self.send('answer', call.number, value)

    def _done(self, call: Call, error: str, result: bytes = b'') -> None:
        if self._calls.pop(call.number, None) is not None:
            self.send('done', call.number, error, result)

    def _threw(self, call: Call, error: BaseException) -> None:
        text = _report(error)
        if call.kind not in _MAY_FAIL:
            call.device.fault(text)
        self._failed(call, text)

    def _failed(self, call: Call, text: str) -> None:
        if call.kind in ('read', 'write'):
            self._answer(call, NEVER)
        else:
            self._done(call, text or 'the device has failed')

    def run_beside(self, device: Device, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Runs a coroutine beside the calls."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                device.fault(_report(error))

        # The coroutine is not part of the call that has begun it.
        token = _current.set(None)
        try:
            return self._begin(guarded(), work)
        finally:
            _current.reset(token)

    def transfer(self, kind: str, of: int, at: int, what: Union[int, Data]) -> asyncio.Future[Any]:
        """Moves bytes from or to memory of the machine's."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.over:
            future.cancel()
            return future
        self._last_transfer += 1
        self._transfers[self._last_transfer] = (future, isinstance(what, int))
        self.send(kind, self._last_transfer, of, at, what)
        return future

    # ---- the end ----

    def fail(self, why: str, at_once: bool = False) -> None:
        """Ends the session as something is wrong, and says so to both ends; `at_once` to one that takes nothing."""
        if self.over:
            return
        print(f'{self.server.name}: {why}', file=sys.stderr, flush=True)
        connection = self.connection
        self.end(why)
        if connection is not None and at_once:
            connection.abort(why)
        elif connection is not None:
            connection.refuse(why)

    def end(self, failure: str = '') -> None:
        """Ends the session: nothing is sent any more, and nothing runs."""
        self.over = True
        self.failure = failure
        self._flying.clear()
        self._waiting.clear()
        for future, _ in self._transfers.values():
            future.cancel()
        for task in list(self._tasks):
            task.cancel()
        self.server.sessions.pop(self.id, None)
        if self.connection is not None and failure == '':
            self.connection.close()
        self.connection = None


def _with_timers_off(device: Device, handler: Callable[..., Maybe[None]], *args: Any) -> Maybe[None]:
    """Calls a handler of a frame before which the machine has stopped the device's timers."""
    for timer in device._timers:
        timer.deadline = None
    return handler(*args)


def _report(error: BaseException) -> str:
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    return f'{type(error).__name__}: {error}'


# ---- connections ----

# Frames that go out together have at most so many bytes.
_PIECE = 1 << 16


class _Connection(asyncio.Protocol):
    """Cuts a stream into frames, and gives them to a session."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        # One and the same where the stream is a socket.
        self._transports: List[asyncio.BaseTransport] = []
        self._writer: Optional[asyncio.WriteTransport] = None
        self._buffer = bytearray()
        self._session: Optional[_Session] = None
        self._outgoing: Deque[bytearray] = deque()
        self._outgoing_bytes = 0
        self._paused = False
        self._corked = False
        self._deferred = False
        self._closed = False
        #: Is done when the connection is gone, with what was wrong.
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)
        if isinstance(transport, asyncio.WriteTransport):
            self._writer = transport

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._uncork()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._deferred:
            self._pump()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._pump(to_end=True)
        self._closed = True
        session = self._session
        if session is not None and session.connection is self:
            session.connection = None
            if not self._server.resumable:
                session.end()
        if not self.gone.done():
            self.gone.set_result('' if session is None else session.failure)

    def _pump(self, to_end: bool = False) -> None:
        """Takes the frames that are there, each after the steps that the one before has begun."""
        self._deferred = False
        at = 0
        buffer = self._buffer
        self._corked = True
        try:
            while not self._closed and len(buffer) - at >= _HEADER.size:
                length = _length_at(buffer, at)
                if len(buffer) - at < length:
                    break
                session = self._session
                if session is None:
                    self._hello(at, length)
                    at += length
                    continue
                kind, values = _decode(buffer, at, length)
                if self._server.trace:
                    _traced('<-', kind, values)
                seen: int = _HEADER.unpack_from(buffer, at)[2]
                at += length
                session.take(kind, values, seen)
                if session.stepped and len(buffer) - at >= _HEADER.size and not to_end:
                    self._deferred = True
                    asyncio.get_running_loop().call_soon(self._pump)
                    break
            if self._session is not None:
                self._session.acknowledge()
        except ProtocolError as error:
            if self._session is not None:
                self._session.fail(str(error))
            else:
                print(f'{self._server.name}: {error}', file=sys.stderr, flush=True)
                self.refuse(str(error))
        finally:
            del buffer[:at]
            self._corked = False
            self._uncork()

    def _hello(self, at: int, length: int) -> None:
        code: int = _HEADER.unpack_from(self._buffer, at)[1]
        if code != _BY_KIND['hello'].code:
            raise ProtocolError(f'the first frame is of kind {code}: expected hello')
        # A hello of another version may have other fields behind its version.
        version = _WORD.unpack_from(self._buffer, at + _HEADER.size)[0] if length >= 16 else 0
        if version != VERSION:
            raise ProtocolError(f'the machine speaks version {version}: expected {VERSION}')
        kind, values = _decode(self._buffer, at, length)
        if self._server.trace:
            _traced('<-', kind, values)
        _, flags, session, received, now = values
        if session == 0:
            raise ProtocolError('session 0 in a hello: expected another number')
        self._server.open(self, session, received, now, flags & 1 != 0)

    def attach(self, session: _Session) -> None:
        """The connection carries a session from now on."""
        self._session = session

    @property
    def waiting(self) -> int:
        """Bytes that the machine has not taken."""
        return self._outgoing_bytes + (0 if self._writer is None else self._writer.get_write_buffer_size())

    def send(self, kind: str, *values: Any) -> None:
        """Sends a frame of the connection's own."""
        if self._server.trace:
            _traced('  ->', kind, values)
        self.put(_encode(kind, values))

    def put(self, frame: bytearray) -> None:
        """Sends a frame's bytes. Those of one turn go out together."""
        if self._closed:
            return
        self._outgoing.append(frame)
        self._outgoing_bytes += len(frame)
        if not self._corked:
            self._uncork()

    def _uncork(self, all: bool = False) -> None:
        outgoing = self._outgoing
        while outgoing and self._writer is not None and (all or not self._paused):
            if self._outgoing_bytes <= _PIECE:
                self._writer.write(outgoing[0] if len(outgoing) == 1 else b''.join(outgoing))
                outgoing.clear()
                self._outgoing_bytes = 0
            else:
                # What a transport holds it may move at each piece that goes out.
                frame = outgoing.popleft()
                self._outgoing_bytes -= len(frame)
                self._writer.write(frame)

    def refuse(self, why: str) -> None:
        """Says why there is nothing more, and closes."""
        if not self.gone.done():
            self.gone.set_result(why)
        self.send('bye', why[:4096])
        self.close()

    def close(self) -> None:
        """Ends the connection; what has been written still goes out."""
        self._uncork(all=True)
        self._closed = True
        for transport in self._transports:
            transport.close()

    def abort(self, why: str = '') -> None:
        """Ends the connection at once: another one goes on with its session, or nobody takes what is sent."""
        if not self.gone.done():
            self.gone.set_result(why)
        self._closed = True
        self._outgoing.clear()
        if self._writer is not None:
            self._writer.abort()


Served = Union[Device, Callable[[], Device]]
_MOST_SESSIONS = 64


class _Server:
    """Finds the session of a connection."""

    def __init__(self, served: Tuple[Served, ...], resumable: bool) -> None:
        self.served = served
        self.resumable = resumable
        self.trace = os.environ.get('RETRAP_DEVICE_TRACE') == '1'
        self.sessions: Dict[int, _Session] = {}
        self.name = os.path.basename(sys.argv[0]) or 'python'
        self._shares = any(isinstance(each, Device) for each in served)
        self._has_served = False

    def open(self, connection: _Connection, id: int, received: int, now: int, is_real_time: bool) -> None:
        """Begins a session, or goes on with it."""
        session = self.sessions.get(id)
        is_new = session is None
        if session is None:
            self._make_room()
            again = self._has_served and self._shares
            session = _Session(self, id, list(self._devices()), again, is_real_time)
            self.sessions[id] = session
            self._has_served = True
        session.tell(now)
        session.connect(connection, 0 if is_new else received)
        connection.attach(session)
        if is_new:
            session.declare()

    def _make_room(self) -> None:
        """Ends sessions whose machine is gone, where their devices or their place are needed."""
        most = 0 if self._shares else _MOST_SESSIONS - 1
        for session in list(self.sessions.values()):
            if len(self.sessions) > most and session.connection is None:
                session.end()
        if len(self.sessions) > most:
            raise ProtocolError('the devices serve another machine, and are told as objects: tell a class for several')

    def _devices(self) -> Iterator[Device]:
        for each in self.served:
            if isinstance(each, Device):
                yield each
                continue
            try:
                yield each()
            except Exception as error:
                raise ProtocolError(f'no device was made: {_report(error)}') from error


async def serve_async(*devices: Served, address: Optional[str] = None) -> str:
    """As `serve`, on a loop of the caller's. Returns what was wrong, or an empty string."""
    descriptor = os.environ.pop('RETRAP_DEVICE_FD', None)
    if address is None and descriptor:
        return await _on_socket(_Server(devices, False), socket.socket(fileno=int(descriptor)))
    where = address or (sys.argv[1] if len(sys.argv) > 1 else '-')
    if where == '-':
        return await _on_pipes(_Server(devices, False))
    kind, _, rest = where.partition(':')
    if kind == 'unix' and rest:
        return await _listen(_Server(devices, True), path=rest)
    host, colon, port = rest.rpartition(':')
    if kind == 'tcp' and colon and port.isdigit():
        return await _listen(_Server(devices, True), host=host.strip('[]'), port=int(port))
    raise ValueError(f'{where!r} is no address: expected unix:PATH, tcp:HOST:PORT, or - for standard input and output')


async def _on_socket(server: _Server, stream: socket.socket) -> str:
    os.set_inheritable(stream.fileno(), False)
    _, connection = await asyncio.get_running_loop().create_connection(lambda: _Connection(server), sock=stream)
    return await connection.gone


async def _on_pipes(server: _Server) -> str:
    if not all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in (os.fstat(0).st_mode, os.fstat(1).st_mode)):
        raise ValueError('no machine: say unix:PATH or tcp:HOST:PORT, or start it by retrap run --device exec:PROGRAM')
    loop = asyncio.get_running_loop()
    output = os.fdopen(os.dup(1), 'wb', 0)
    # What the model prints is for people, and no frame.
    os.dup2(2, 1)
    connection = _Connection(server)
    await loop.connect_write_pipe(lambda: connection, output)
    await loop.connect_read_pipe(lambda: connection, os.fdopen(os.dup(0), 'rb', 0))
    return await connection.gone


async def _listen(server: _Server, path: str = '', host: str = '', port: int = 0) -> str:
    loop = asyncio.get_running_loop()
    if path:
        listener = await loop.create_unix_server(lambda: _Connection(server), path)
        shown = f'unix:{path}'
    else:
        listener = await loop.create_server(lambda: _Connection(server), host, port)
        shown = f'tcp:{host}:{listener.sockets[0].getsockname()[1]}'
    print(f'{server.name}: listening on {shown}', file=sys.stderr, flush=True)
    try:
        await listener.serve_forever()
    finally:
        if path and os.path.exists(path):
            os.unlink(path)
    return ''


def serve(*devices: Served, address: Optional[str] = None) -> None:
    """Serves devices until the machine ends; where it listens, until somebody ends the program.

    A class, or another function that makes a device, serves several machines at once: each has devices of its own.

    `address` is `unix:PATH`, `tcp:HOST:PORT`, or `-` for standard input and output. Default: the machine that has
    started the program (RETRAP_DEVICE_FD), else the first argument of the command line, else `-`.
    """
    try:
        failure = asyncio.run(serve_async(*devices, address=address))
    except KeyboardInterrupt:
        return
    except (OSError, ValueError) as error:
        sys.exit(f'{os.path.basename(sys.argv[0])}: {error}')
    if failure:
        sys.exit(1)
