import { IoreqError } from '@retrap/ioreq'
import type { ProtocolFrame, ServerFrame } from './frame-table.ts'

/** Objects of each kind that a server may declare. */
const MOST_OBJECTS = 4096
const MOST_NAME = 200
/** Capabilities of a function, and their bytes: more than its configuration space has room for. */
const MOST_CAPABILITIES = 64
const MOST_BODY = 4096
/** Places where a device shows its memories. */
const MOST_WINDOWS = 256

/** A base address register, with the fields of its frame. */
export type DeclaredBar = ProtocolFrame<'bar'>

/** A PCI function, with the fields of its frames. */
export interface DeclaredFunction {
  /** The frame with its identity. */
  readonly frame: ProtocolFrame<'function'>
  /** Device number on its bus. */
  readonly device: number
  /** Base address registers, in the order of their frames. */
  readonly bars: readonly DeclaredBar[]
  /** Further capabilities. */
  readonly capabilities: readonly ProtocolFrame<'capability'>[]
  readonly msi?: ProtocolFrame<'msi'>
  /** MSI-X. */
  readonly msix?: ProtocolFrame<'msix'>
}

/** A device, with the fields of its frames. */
export interface DeclaredDevice {
  /** The number by which the server names the object. */
  readonly id: number
  /** Unique among the devices of the server. */
  readonly name: string
  /** Whether the device has no state to save. */
  readonly isStateless: boolean
  /** Whether the device is absent until it is plugged in. */
  readonly isOffered: boolean
  /** Ranges at fixed ports and addresses. */
  readonly ranges: readonly ProtocolFrame<'range'>[]
  /** PCI functions. */
  readonly functions: readonly DeclaredFunction[]
  /** Interrupt lines. */
  readonly lines: readonly ProtocolFrame<'line'>[]
  /** Memories of its own. */
  readonly memories: readonly ProtocolFrame<'memory'>[]
  /** Fixed addresses of memories. */
  readonly windows: readonly ProtocolFrame<'window'>[]
}

type Growing<T> = { -readonly [Key in keyof T]: T[Key] extends readonly (infer Item)[] ? Item[] : T[Key] }
type GrowingDevice = Omit<Growing<DeclaredDevice>, 'functions'> & { functions: Growing<DeclaredFunction>[] }

/** A kind of object that has numbers. */
export type ObjectKind = 'device' | 'region' | 'function' | 'line' | 'memory'

/** All that a device server tells of its devices before it is ready. */
export class Declarations {
  /** Devices in the order of their declaration. */
  readonly devices: DeclaredDevice[] = []
  readonly #devices = new Map<number, GrowingDevice>()
  readonly #functions = new Map<number, { readonly owner: number; readonly it: Growing<DeclaredFunction> }>()
  /** For each kind, the device that an object is part of, by the server's number of the object. */
  readonly #owners: Readonly<Record<ObjectKind, Map<number, number>>> = {
    device: new Map(),
    region: new Map(),
    function: new Map(),
    line: new Map(),
    memory: new Map(),
  }
  readonly #place: (device: string) => number

  /** @param place - chooses a PCI device number for a device that leaves it to the machine */
  constructor(place: (device: string) => number) {
    this.#place = place
  }

  /** Returns the device that an object is part of. @throws IoreqError `ERR_PROTOCOL` where there is none of that number */
  ownerOf(kind: ObjectKind, id: number): number {
    const owner = this.#owners[kind].get(id)
    if (owner === undefined) throw new IoreqError('ERR_PROTOCOL', `it names ${kind} ${id}, which it has not declared`)
    return owner
  }

  /**
   * Takes a frame of a declaration.
   *
   * @returns false for any other frame
   * @throws IoreqError `ERR_PROTOCOL` for an invalid declaration
   */
  take(frame: ServerFrame): boolean {
    const add = Declarations.#ADDITIONS[frame.kind] as ((to: Declarations, frame: ServerFrame) => void) | undefined
    add?.(this, frame)
    return add !== undefined
  }

  static readonly #ADDITIONS: {
    readonly [Kind in ServerFrame['kind']]?: (to: Declarations, frame: ProtocolFrame<Kind>) => void
  } = {
    device: (to, frame) => to.#addDevice(frame),
    range: (to, frame) => {
      to.#own('region', frame.region, frame.device)
      to.#device(frame.device).ranges.push(frame)
    },
    function: (to, frame) => to.#addFunction(frame),
    bar: (to, frame) => {
      const { owner, it } = to.#function(frame.function)
      to.#own('region', frame.region, owner)
      if (frame.memory !== 0) to.ownerOf('memory', frame.memory)
      it.bars.push(frame)
    },
    msi: (to, frame) => (to.#function(frame.function).it.msi = frame),
    msix: (to, frame) => (to.#function(frame.function).it.msix = frame),
    capability: (to, frame) => {
      const { capabilities } = to.#function(frame.function).it
      for (const key of ['body', 'writable'] as const) {
        const { length } = frame[key]
        expect(length <= MOST_BODY, frame, key, `${length} bytes`, `at most ${MOST_BODY}`)
      }
      limit(capabilities, MOST_CAPABILITIES, 'capabilities of a function')
      // The frame is a view of the connection's bytes.
      capabilities.push({ ...frame, body: Uint8Array.from(frame.body), writable: Uint8Array.from(frame.writable) })
    },
    memory: (to, frame) => {
      expect(frame.name.length <= MOST_NAME, frame, 'name', `${frame.name.length} characters`, `at most ${MOST_NAME}`)
      to.#own('memory', frame.memory, frame.device)
      to.#device(frame.device).memories.push(frame)
    },
    window: (to, frame) => {
      const { windows } = to.#device(to.ownerOf('memory', frame.memory))
      limit(windows, MOST_WINDOWS, 'windows of a device')
      windows.push(frame)
    },
    line: (to, frame) => {
      to.#own('line', frame.line, frame.device)
      to.#device(frame.device).lines.push(frame)
    },
  }

  #addDevice(frame: ProtocolFrame<'device'>): void {
    const { device: id, name, flags } = frame
    expect(name !== '' && name.length <= MOST_NAME, frame, 'name', `'${name.slice(0, MOST_NAME)}'`, 'a name')
    expect(!this.devices.some((each) => each.name === name), frame, 'name', name, 'another name: it is taken')
    this.#own('device', id, id)
    const device = {
      ...{ id, name, isStateless: (flags & 1) !== 0, isOffered: (flags & 2) !== 0 },
      ...{ ranges: [], functions: [], lines: [], memories: [], windows: [] },
    }
    this.#devices.set(id, device)
    this.devices.push(device)
  }

  #addFunction(frame: ProtocolFrame<'function'>): void {
    const { address, bus } = frame
    expect(bus.length <= MOST_NAME, frame, 'bus', `${bus.length} characters`, `at most ${MOST_NAME}`)
    const owner = this.#device(frame.device)
    this.#own('function', frame.function, frame.device)
    const device = address < 256 ? address >> 3 : (owner.functions.at(0)?.device ?? this.#place(owner.name))
    const it = { frame, device: frame.bus === '' ? device : address < 256 ? device : 0, bars: [], capabilities: [] }
    owner.functions.push(it)
    this.#functions.set(frame.function, { owner: frame.device, it })
  }

  #device(id: number): GrowingDevice {
    this.ownerOf('device', id)
    return this.#devices.get(id)!
  }

  #function(id: number): { readonly owner: number; readonly it: Growing<DeclaredFunction> } {
    this.ownerOf('function', id)
    return this.#functions.get(id)!
  }

  #own(kind: ObjectKind, id: number, owner: number): void {
    if (kind !== 'device') this.ownerOf('device', owner)
    const owners = this.#owners[kind]
    if (owners.has(id)) throw new IoreqError('ERR_PROTOCOL', `it declares ${kind} ${id} twice`)
    if (owners.size >= MOST_OBJECTS)
      throw new IoreqError('ERR_PROTOCOL', `it declares more than ${MOST_OBJECTS} of kind ${kind}`)
    owners.set(id, owner)
  }
}

function expect(holds: boolean, { kind }: ServerFrame, field: string, found: unknown, expected: string): void {
  if (!holds)
    throw new IoreqError('ERR_PROTOCOL', `${field} of its ${kind} frame is ${String(found)}: expected ${expected}`)
}

function limit(list: readonly unknown[], most: number, what: string): void {
  if (list.length >= most) throw new IoreqError('ERR_PROTOCOL', `it declares more than ${most} ${what}`)
}
