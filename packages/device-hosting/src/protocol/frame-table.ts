/*
 * The frames of the device protocol, version 5: `PROTOCOL.md` explains them, and its tables are made from this one.
 *
 * On the wire an integer of any kind is a u64; `bytes` and `text` are a u64 length, and as many bytes, with zeros up to a multiple of 8.
 * - `number`: at most 2^53 − 1
 * - `word`: all 64 bits
 * - `text`: UTF-8
 */

/** How a field is represented in TypeScript. */
export type FieldType = 'number' | 'word' | 'text' | 'bytes'

/** A kind of frame. */
export interface FrameRow {
  /** Number on the wire. */
  readonly code: number
  /** The end that sends such frames. */
  readonly from: 'machine' | 'server' | 'both'
  /** One line about the frame. */
  readonly meaning: string
  /** Fields, in order. */
  readonly fields: readonly (readonly [name: string, type: FieldType, meaning: string])[]
}

/** All frames by name. */
export const FRAME_TABLE = {
  ack: {
    code: 1,
    from: 'both',
    meaning: 'Says nothing but how many frames have arrived, which each header says.',
    fields: [],
  },
  hello: {
    code: 2,
    from: 'machine',
    meaning: 'The first frame on a connection.',
    fields: [
      ['version', 'number', '5'],
      ['flags', 'number', 'bit 0: the clock runs on by itself, as the host’s does'],
      ['session', 'word', 'names this machine’s run; never 0'],
      ['received', 'number', 'numbered frames that have arrived in this session; 0 in a new one'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  read: {
    code: 3,
    from: 'machine',
    meaning: 'The guest reads, and waits. Answered by `answer`.',
    fields: [
      ['call', 'number', 'the answer names it; never 0'],
      ['region', 'number', 'of a `range` or `bar`'],
      ['offset', 'number', 'bytes from the region’s beginning'],
      ['size', 'number', '1, 2, 4 or 8 bytes'],
      ['vcpu', 'number', 'the processor that waits'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  write: {
    code: 4,
    from: 'machine',
    meaning: 'The guest writes. Answered by `answer`, for which the guest waits.',
    fields: [
      ['call', 'number', 'the answer names it; 0: nobody waits, and there is no answer'],
      ['region', 'number', 'of a `range` or `bar`'],
      ['offset', 'number', 'bytes from the region’s beginning'],
      ['size', 'number', '1, 2, 4 or 8 bytes'],
      ['value', 'word', 'bits above the size are 0'],
      ['vcpu', 'number', 'the processor that waits'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  cancel: {
    code: 5,
    from: 'machine',
    meaning: 'The processor waits no more, as it was reset. The call is still answered, and the answer is dropped.',
    fields: [['call', 'number', 'of a `read` or `write`']],
  },
  timer: {
    code: 6,
    from: 'machine',
    meaning: 'The clock has reached a deadline, and the timer is off now. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['timer', 'number', 'of an `armTimer`'],
      ['deadline', 'word', 'in nanoseconds'],
      ['now', 'word', 'the guest’s clock; it may be later than the deadline'],
    ],
  },
  reset: {
    code: 7,
    from: 'machine',
    meaning: 'The device returns to its state at power-on. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device`'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  plug: {
    code: 8,
    from: 'machine',
    meaning: 'A device that was offered is in its slot, in its state at power-on. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device` with flag 1'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  unplug: {
    code: 9,
    from: 'machine',
    meaning: 'The device is out of its slot, and reaches nothing. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device` with flag 1'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  save: {
    code: 10,
    from: 'machine',
    meaning: 'Asks for the device’s state. Answered by `done`, whose result is the state.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device`'],
    ],
  },
  restore: {
    code: 11,
    from: 'machine',
    meaning: 'Gives the device a state that `save` has returned, perhaps to another program. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device`'],
      ['state', 'bytes', 'what `save` has returned'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  quiesce: {
    code: 12,
    from: 'machine',
    meaning:
      'The device ends its work or brings it to a state that `save` can hold, and begins none. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device`'],
      ['deadline', 'number', 'milliseconds of the host that it may take'],
    ],
  },
  resume: {
    code: 13,
    from: 'machine',
    meaning: 'The device goes on after `quiesce` or `restore`. Answered by `done`.',
    fields: [
      ['call', 'number', 'the answer names it'],
      ['device', 'number', 'of a `device`'],
      ['now', 'word', 'the guest’s clock in nanoseconds'],
    ],
  },
  dmaDone: {
    code: 14,
    from: 'machine',
    meaning: 'Answers `dmaRead`, `dmaWrite`, `memoryRead` and `memoryWrite`.',
    fields: [
      ['call', 'number', 'of the frame that is answered'],
      ['ok', 'number', '1; 0: some byte is no memory, or the device may not reach it'],
      ['bytes', 'bytes', 'what was read; empty with ok 0, and for writes'],
    ],
  },
  bye: {
    code: 15,
    from: 'both',
    meaning: 'The sender ends the session, and closes.',
    fields: [['why', 'text', 'for people; may be empty']],
  },
  welcome: {
    code: 32,
    from: 'server',
    meaning: 'Answers `hello`.',
    fields: [
      ['version', 'number', '5'],
      ['flags', 'number', 'bit 0: the session can go on over another connection; bit 1: see `model`'],
      ['session', 'word', 'that of `hello` where it goes on; 0 where it is new'],
      ['received', 'number', 'numbered frames that have arrived in this session; 0 in a new one'],
      ['name', 'text', 'names the server for people'],
    ],
  },
  device: {
    code: 33,
    from: 'server',
    meaning: 'There is a device. What it consists of follows.',
    fields: [
      ['device', 'number', 'its number, which the server chooses'],
      ['flags', 'number', 'bit 0: it has no state to save; bit 1: it is offered, and not there before `plug`'],
      ['name', 'text', 'unique in its machine'],
    ],
  },
  range: {
    code: 34,
    from: 'server',
    meaning: 'The device answers at fixed addresses.',
    fields: [
      ['region', 'number', 'its number, which the server chooses'],
      ['device', 'number', 'of a `device`'],
      ['space', 'number', '0: ports; 1: guest-physical memory'],
      ['base', 'number', 'first port or address'],
      ['bytes', 'number', 'ports or bytes'],
      ['maximum', 'number', 'larger accesses are split, lowest address first: 1, 2, 4 or 8; 0: 4'],
      ['minimum', 'number', 'smaller accesses are widened: 1, 2 or 4; 0: 1'],
      ['flags', 'number', 'bit 0: writes are buffered, and nobody waits for them'],
    ],
  },
  function: {
    code: 35,
    from: 'server',
    meaning: 'The device has a PCI function. The machine keeps its configuration space.',
    fields: [
      ['function', 'number', 'its number here, which the server chooses'],
      ['device', 'number', 'of a `device`'],
      ['address', 'number', 'device number · 8 + function number; 256 + function number: the machine chooses'],
      ['vendor', 'number', 'vendor ID'],
      ['id', 'number', 'device ID'],
      ['revision', 'number', 'revision ID'],
      ['class', 'number', 'class, subclass and programming interface, 24 bits'],
      ['subsystemVendor', 'number', 'subsystem vendor ID'],
      ['subsystem', 'number', 'subsystem ID'],
      ['pin', 'number', 'INTA to INTD as 1 to 4; 0: none'],
      ['flags', 'number', 'bit 0: 4096 bytes of configuration space; bit 1: the device has several functions'],
      ['bus', 'text', 'empty: the root; no other bus is there yet'],
    ],
  },
  bar: {
    code: 36,
    from: 'server',
    meaning: 'The function has a base address register.',
    fields: [
      ['region', 'number', 'its number, which the server chooses'],
      ['function', 'number', 'of a `function`'],
      ['index', 'number', '0 to 5; of a 64-bit one the lower half'],
      ['type', 'number', '0: ports; 1: 32-bit memory; 2: 64-bit memory'],
      ['bytes', 'number', 'a power of two'],
      ['maximum', 'number', 'as in `range`: 8 where there are 64-bit registers'],
      ['minimum', 'number', 'as in `range`'],
      ['flags', 'number', 'bit 0: writes are buffered; bit 1: prefetchable'],
      ['memory', 'number', 'shows this `memory` there, and nothing is asked; 0: none'],
    ],
  },
  msi: {
    code: 37,
    from: 'server',
    meaning: 'The function has MSI. The machine keeps address, data, mask and pending bits.',
    fields: [
      ['function', 'number', 'of a `function`'],
      ['vectors', 'number', '1, 2, 4, 8, 16 or 32'],
      ['flags', 'number', 'bit 0: with a mask for each vector'],
    ],
  },
  msix: {
    code: 38,
    from: 'server',
    meaning: 'The function has MSI-X. The machine keeps the table; accesses to the rest of its BAR are the region’s.',
    fields: [
      ['function', 'number', 'of a `function`'],
      ['vectors', 'number', '1 to 2048'],
      ['bar', 'number', 'index of the memory BAR of the table; one that there is not is made'],
      ['offset', 'number', 'of the table in it, a multiple of 8'],
      ['pending', 'number', 'offset of the pending bits in it; 0: behind the table'],
    ],
  },
  capability: {
    code: 39,
    from: 'server',
    meaning: 'The function has another capability, of which the machine keeps the bytes.',
    fields: [
      ['function', 'number', 'of a `function`'],
      ['id', 'number', 'capability ID'],
      ['version', 'number', 'of an extended capability; 0: it is none'],
      ['body', 'bytes', 'the bytes behind ID and next pointer'],
      ['writable', 'bytes', 'the bits of `body` that the guest may write; empty: none'],
    ],
  },
  memory: {
    code: 40,
    from: 'server',
    meaning: 'The device has memory of its own, which the guest reaches at RAM speed, in a BAR or by `window`.',
    fields: [
      ['memory', 'number', 'its number, which the server chooses; never 0'],
      ['device', 'number', 'of a `device`'],
      ['bytes', 'number', 'a multiple of 4096'],
      ['flags', 'number', 'bit 0: the guest cannot write it; bit 1: it may execute it; bit 2: it is not saved'],
      ['name', 'text', 'unique in its device'],
    ],
  },
  window: {
    code: 41,
    from: 'server',
    meaning: 'Shows a memory at a fixed address.',
    fields: [
      ['memory', 'number', 'of a `memory`'],
      ['base', 'number', 'guest-physical, a multiple of 4096'],
    ],
  },
  line: {
    code: 42,
    from: 'server',
    meaning: 'The device drives an input of the interrupt controllers.',
    fields: [
      ['line', 'number', 'its number here, which the server chooses'],
      ['device', 'number', 'of a `device`'],
      ['irq', 'number', 'a PC: ISA interrupt 0 to 15, or a GSI; an Arm board: 32 + the SPI'],
    ],
  },
  ready: {
    code: 43,
    from: 'server',
    meaning: 'All has been told: the guest finds the devices from now on.',
    fields: [],
  },
  answer: {
    code: 44,
    from: 'server',
    meaning: 'Answers `read` and `write`.',
    fields: [
      ['call', 'number', 'of the frame that is answered'],
      ['value', 'word', 'what is read; bits above the size are ignored'],
    ],
  },
  done: {
    code: 45,
    from: 'server',
    meaning: 'Answers all other calls.',
    fields: [
      ['call', 'number', 'of the frame that is answered'],
      ['error', 'text', 'empty: none'],
      ['result', 'bytes', 'the state, for `save`; else empty'],
    ],
  },
  fault: {
    code: 46,
    from: 'server',
    meaning: 'The device cannot go on. The machine ends, or the device is taken out.',
    fields: [
      ['device', 'number', 'of a `device`'],
      ['message', 'text', 'what has happened'],
    ],
  },
  interrupt: {
    code: 47,
    from: 'server',
    meaning:
      'The cause of a PCI function’s interrupt has come or gone. A message goes out where the guest has switched messages on; else the pin is driven while any cause is there.',
    fields: [
      ['function', 'number', 'of a `function`'],
      ['vector', 'number', 'of MSI or MSI-X, from 0; 0 without them'],
      ['level', 'number', '1: it has come; 0: it has gone'],
    ],
  },
  setLine: {
    code: 48,
    from: 'server',
    meaning: 'Drives an interrupt line.',
    fields: [
      ['line', 'number', 'of a `line`'],
      ['level', 'number', '1 or 0'],
    ],
  },
  armTimer: {
    code: 49,
    from: 'server',
    meaning: 'Sets a deadline on the guest’s clock, in place of an earlier one: a `timer` frame comes then.',
    fields: [
      ['timer', 'number', 'its number, which the server chooses'],
      ['device', 'number', 'of a `device`'],
      ['deadline', 'word', 'in nanoseconds; 2^64 − 1: none'],
    ],
  },
  dmaRead: {
    code: 50,
    from: 'server',
    meaning: 'Reads guest memory. Answered by `dmaDone`.',
    fields: [
      ['call', 'number', 'the answer names it; the server chooses it'],
      [
        'device',
        'number',
        'of a `device`; one with PCI functions may while the guest lets one of them be a bus master',
      ],
      ['address', 'number', 'guest-physical'],
      ['length', 'number', 'at most 524288'],
    ],
  },
  dmaWrite: {
    code: 51,
    from: 'server',
    meaning: 'Writes guest memory. Answered by `dmaDone`.',
    fields: [
      ['call', 'number', 'the answer names it; 0: there is none'],
      ['device', 'number', 'as in `dmaRead`'],
      ['address', 'number', 'guest-physical'],
      ['bytes', 'bytes', 'at most 524288'],
    ],
  },
  memoryRead: {
    code: 52,
    from: 'server',
    meaning: 'Reads the device’s own memory. Answered by `dmaDone`.',
    fields: [
      ['call', 'number', 'the answer names it; the server chooses it'],
      ['memory', 'number', 'of a `memory`'],
      ['offset', 'number', 'bytes from its beginning'],
      ['length', 'number', 'at most 524288'],
    ],
  },
  memoryWrite: {
    code: 53,
    from: 'server',
    meaning: 'Writes the device’s own memory. Answered by `dmaDone`.',
    fields: [
      ['call', 'number', 'the answer names it; 0: there is none'],
      ['memory', 'number', 'of a `memory`'],
      ['offset', 'number', 'bytes from its beginning'],
      ['bytes', 'bytes', 'at most 524288'],
    ],
  },
  powerOff: { code: 54, from: 'server', meaning: 'The guest has asked a device for its power to be cut.', fields: [] },
  resetMachine: {
    code: 55,
    from: 'server',
    meaning: 'The guest has asked a device for a reset of the machine.',
    fields: [],
  },
  exit: {
    code: 56,
    from: 'server',
    meaning: 'The guest has asked a device to end the machine’s process.',
    fields: [['status', 'number', 'at most 2^32 − 1; a process keeps the low 8 bits']],
  },
  log: {
    code: 57,
    from: 'server',
    meaning: 'A line for whoever runs the machine.',
    fields: [['text', 'text', 'without a line’s end']],
  },
  model: {
    code: 64,
    from: 'both',
    meaning:
      'What a machine and models in TypeScript say to each other, after a `welcome` with flag 1, in place of all other frames that are counted. The bytes are those of one version of retrap.',
    fields: [['bytes', 'bytes', 'a frame of `@retrap/device-hosting`']],
  },
  introduce: {
    code: 65,
    from: 'machine',
    meaning: 'Says before `hello` who the machine is, to a server that asks: that of `retrap device-server` does.',
    fields: [
      ['name', 'text', 'names the machine for people; not empty'],
      ['token', 'text', 'a text that both ends know; may be empty'],
      ['attempt', 'number', 'counts the connections of the session: one that comes after a later one is refused'],
    ],
  },
  ping: {
    code: 66,
    from: 'both',
    meaning: 'Asks for an `ack`, as nothing has come for a while. Only after a `welcome` with flag 1.',
    fields: [],
  },
} as const

/** `flags` of `welcome`: the session can go on over another connection. */
export const SERVER_RESUMES = 1
/** `flags` of `welcome`: `model` frames follow, and no device is declared. */
export const SERVER_HOSTS_MODELS = 2

type Row<Kind extends FrameKind> = (typeof FRAME_TABLE)[Kind]
type Fields<Kind extends FrameKind> = Row<Kind>['fields'][number]

/** The name of a frame. */
export type FrameKind = keyof typeof FRAME_TABLE

/** The 64 bits of an integer, as two u32. */
export interface FrameWord {
  /** Bits 31:0. */
  readonly lo: number
  /** Bits 63:32. */
  readonly hi: number
}

interface FieldValues {
  readonly number: number
  readonly word: FrameWord
  readonly text: string
  readonly bytes: Uint8Array
}

/** The fields of a frame by name, with its kind. */
export type ProtocolFrame<Kind extends FrameKind = FrameKind> = Kind extends FrameKind
  ? { readonly kind: Kind } & { readonly [Field in Fields<Kind> as Field[0]]: FieldValues[Field[1]] }
  : never

type Sent<From extends FrameRow['from']> = {
  [Kind in FrameKind]: Row<Kind>['from'] extends From | 'both' ? Kind : never
}[FrameKind]

/** A frame of the machine's. */
export type MachineFrame = ProtocolFrame<Sent<'machine'>>
/** A frame of a device server's. */
export type ServerFrame = ProtocolFrame<Sent<'server'>>

/** The version that `hello` and `welcome` name. */
export const PROTOCOL_VERSION = 5
/** Length (u32, of the whole frame), kind (u16), and the low 16 bits of the count of frames that have arrived (u16). */
export const HEADER_BYTES = 8
/** The longest frame, its header included. */
export const MAX_PROTOCOL_FRAME: number = 1 << 20
/** The most bytes that one frame moves to or from memory. */
export const MAX_TRANSFER_BYTES: number = 1 << 19
