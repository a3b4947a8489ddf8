/** All that a server has declared, and the PCI functions that the machine would make of it. */
import type { OwnedMemory, Region } from '@retrap/device'
import { describeThrown, PciTree } from '@retrap/device/host'
import {
  type DeclaredBar,
  type DeclaredDevice,
  Declarations,
  type FrameKind,
  type ObjectKind,
  pciFunctionOptions,
  type ProtocolFrame,
  type ServerFrame,
} from '@retrap/device-hosting/protocol'
import { fieldsOf } from './frame-text.ts'

/** The kind of object that a frame declares. A field with an object's number has the name of its kind. */
const DECLARES: Partial<Record<FrameKind, ObjectKind>> = {
  device: 'device',
  range: 'region',
  function: 'function',
  bar: 'region',
  memory: 'memory',
  line: 'line',
}
const KINDS: ReadonlySet<string> = new Set(Object.values(DECLARES))

/** The kind of object that a frame is about or a part of. A BAR may have a memory, too. */
const namedBy = (kind: FrameKind): ObjectKind | undefined =>
  fieldsOf(kind).find(([name]) => KINDS.has(name) && name !== DECLARES[kind])?.[0] as ObjectKind | undefined

/** Frames that may occur once for each function. */
const ONE_EACH: ReadonlySet<FrameKind> = new Set(['msi', 'msix'] as const)

/** Whether a frame tells of a device. */
export const declares = (kind: FrameKind): boolean =>
  kind in DECLARES || ['msi', 'msix', 'capability', 'window'].includes(kind)

/** An invalid number in a frame. */
export interface NumberTrouble {
  readonly rule: 'unknown' | 'twice'
  readonly expected: string
}

/** A region that a server answers for. */
export interface CheckedRegion {
  readonly device: DeclaredDevice
  readonly region: number
  readonly bytes: number
  readonly sizes: readonly number[]
  readonly buffered: boolean
  /** Ranges of the region in machine memory, as first byte and end. */
  readonly kept: readonly (readonly [from: number, to: number])[]
}

export class Objects {
  readonly #declarations: Declarations
  readonly #numbers = new Map<string, ProtocolFrame>()
  #place = 16

  constructor() {
    this.#declarations = new Declarations(() => this.#place++)
  }

  get devices(): readonly DeclaredDevice[] {
    return this.#declarations.devices
  }

  /** Returns the rule that a number in a frame breaks: no object has it, or a second one would; undefined: none. */
  troubleWith(frame: ProtocolFrame): NumberTrouble | undefined {
    const numbers = frame as unknown as Readonly<Record<string, number>>
    const named = namedBy(frame.kind)
    const unknown = (kind: ObjectKind, id: number): NumberTrouble => ({
      ...{ rule: 'unknown', expected: `${kind} ${id} to be declared before this frame` },
    })
    if (named !== undefined && !this.has(named, numbers[named]!)) return unknown(named, numbers[named]!)
    if (frame.kind === 'bar' && frame.memory !== 0 && !this.has('memory', frame.memory))
      return unknown('memory', frame.memory)
    const own = DECLARES[frame.kind]
    if (own !== undefined && this.has(own, numbers[own]!))
      return { rule: 'twice', expected: `another number: there is a ${own} ${numbers[own]} already` }
    if (ONE_EACH.has(frame.kind) && this.#numbers.has(`${frame.kind} ${numbers['function']}`))
      return { rule: 'twice', expected: `one ${frame.kind} frame for function ${numbers['function']}` }
    return undefined
  }

  /** Registers a declaration frame with valid numbers. @throws IoreqError for an impossible declaration */
  take(frame: ServerFrame): void {
    const numbers = frame as unknown as Readonly<Record<string, number>>
    const own = DECLARES[frame.kind]
    if (own !== undefined) this.#numbers.set(`${own} ${numbers[own]}`, frame)
    if (ONE_EACH.has(frame.kind)) this.#numbers.set(`${frame.kind} ${numbers['function']}`, frame)
    this.#declarations.take(frame)
  }

  /** Whether an object with this number is declared. */
  has(kind: ObjectKind, id: number): boolean {
    return this.#numbers.has(`${kind} ${id}`)
  }

  /** The frame that declared a memory. */
  memory(id: number): ProtocolFrame<'memory'> | undefined {
    return this.#numbers.get(`memory ${id}`) as ProtocolFrame<'memory'> | undefined
  }

  /** Returns the number of a function's vectors. */
  vectors(id: number): number {
    const counts = (['msi', 'msix'] as const).map((kind) => this.#numbers.get(`${kind} ${id}`))
    return Math.max(1, ...counts.map((frame) => (frame as ProtocolFrame<'msi'> | undefined)?.vectors ?? 1))
  }

  /** Makes the PCI functions, as the machine does. @returns the reason of a failure */
  pciTrouble(): string | undefined {
    const tree = new PciTree({ mapBar: () => NO_REGION, wire: () => null, signalMsi() {}, changed() {} })
    const backing = ({ memory }: DeclaredBar) =>
      memory === 0 ? { handler: NO_HANDLER } : { memory: { bytes: this.memory(memory)?.bytes } as OwnedMemory }
    try {
      for (const { name, functions } of this.devices)
        for (const each of functions) {
          const options = pciFunctionOptions(each, backing)
          // The machine knows the buses of its ports.
          delete (options as { bus?: unknown }).bus
          if (each.frame.bus === '') tree.add(name, options)
        }
      return undefined
    } catch (error) {
      return describeThrown(error)
    }
  }

  /** Returns the regions whose accesses reach the server. */
  regions(): CheckedRegion[] {
    return this.devices.flatMap((device) => [
      ...device.ranges.map((range) => checked(device, range, [])),
      ...device.functions.flatMap(({ bars, msix }) =>
        bars
          .filter(({ memory }) => memory === 0)
          .map((bar) => checked(device, bar, msix?.bar === bar.index ? keptOf(msix) : [])),
      ),
    ])
  }
}

/** The table, and the pending bits. */
function keptOf({ vectors, offset, pending }: ProtocolFrame<'msix'>): CheckedRegion['kept'] {
  const table = [offset, offset + 16 * vectors] as const
  const from = pending === 0 ? table[1] : pending
  return [table, [from, from + 8 * Math.ceil(vectors / 64)]]
}

function checked(
  device: DeclaredDevice,
  { region, bytes, maximum, minimum, flags }: ProtocolFrame<'range' | 'bar'>,
  kept: CheckedRegion['kept'],
): CheckedRegion {
  const [least, most] = [minimum === 0 ? 1 : minimum, maximum === 0 ? 4 : maximum]
  const sizes = [1, 2, 4, 8].filter((size) => size >= least && size <= most && size <= bytes)
  return { device, region, bytes, sizes, buffered: (flags & 1) !== 0, kept }
}

const NO_REGION: Region = {
  ...{ kind: 'mmio', base: 0, length: 0, enabled: false },
  ...{ enable() {}, disable() {}, move() {}, unmap() {} },
}
const NO_HANDLER = { read: () => 0, write: () => {} }
