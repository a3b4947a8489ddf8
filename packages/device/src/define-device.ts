import type {
  AccessRequest,
  AccessSize,
  DeviceContext,
  DeviceModel,
  RangeHandler,
  RegionOptions,
  Word64,
} from './device.ts'
import type { InvalidatedFrames } from './guest-memory.ts'
import { DeviceError } from './errors.ts'

/** The handlers of a {@link DeviceDefinition} or of one of its ranges. */
export interface DeviceHandlers {
  /** Absent: reads give all ones. */
  read?(offset: number, size: AccessSize, request?: AccessRequest): number | Promise<number>
  /** Absent: writes are dropped. */
  write?(offset: number, size: AccessSize, value: number, request?: AccessRequest): void | Promise<void>
  read64?(offset: number, into: Word64, request?: AccessRequest): void | Promise<void>
  write64?(offset: number, lo: number, hi: number, request?: AccessRequest): void | Promise<void>
}

/** One range of a {@link DeviceDefinition}. Handlers that it lacks are the definition's own. */
export interface DeviceRange extends RegionOptions, DeviceHandlers {
  /** First port or guest-physical address. */
  readonly base: number
  /** Ports or bytes. */
  readonly size: number
}

/** What {@link defineDevice} takes. */
export interface DeviceDefinition extends DeviceHandlers {
  readonly name: string
  /**
   * True: no handler ever returns a promise, and accesses are made straight from the instruction.
   * Default false: a handler may take its time.
   */
  readonly synchronous?: boolean
  readonly ports?: DeviceRange | readonly DeviceRange[]
  readonly mmio?: DeviceRange | readonly DeviceRange[]
  /** For lines, timers, DMA and PCI; called after the ranges have been claimed. */
  attach?(context: DeviceContext): void
  timeOffset?(seconds: number): void
  invalidate?(frames: readonly InvalidatedFrames[] | null): void | Promise<void>
  reset?(): void
  save?(): unknown
  restore?(state: unknown): void
}

const list = (ranges: DeviceRange | readonly DeviceRange[] | undefined): readonly DeviceRange[] =>
  ranges === undefined ? [] : Array.isArray(ranges) ? (ranges as readonly DeviceRange[]) : [ranges as DeviceRange]

function handlerOf(range: DeviceRange, definition: DeviceDefinition): RangeHandler {
  const read = range.read?.bind(range) ?? definition.read?.bind(definition)
  const write = range.write?.bind(range) ?? definition.write?.bind(definition)
  const read64 = range.read64?.bind(range) ?? definition.read64?.bind(definition)
  const write64 = range.write64?.bind(range) ?? definition.write64?.bind(definition)
  return {
    // What nobody reads is all ones, as on a bus that nobody drives.
    read: read ?? (() => 0xffff_ffff),
    write: write ?? (() => {}),
    ...(read64 && { read64 }),
    ...(write64 && { write64 }),
  }
}

/**
 * Makes a {@link DeviceModel} from ranges and two functions.
 *
 * @throws DeviceError `ERR_INVALID` for a definition without a name
 */
export function defineDevice(definition: DeviceDefinition): DeviceModel {
  if (definition.name === '') throw new DeviceError('ERR_INVALID', 'a device model needs a name')
  return {
    name: definition.name,
    synchronous: definition.synchronous ?? false,
    attach(context: DeviceContext): void {
      for (const range of list(definition.ports)) {
        context.mapPorts(range.base, range.size, handlerOf(range, definition), range)
      }
      for (const range of list(definition.mmio)) {
        context.mapMmio(range.base, range.size, handlerOf(range, definition), range)
      }
      definition.attach?.(context)
    },
    ...(definition.timeOffset && { timeOffset: (seconds: number) => definition.timeOffset!(seconds) }),
    ...(definition.invalidate && { invalidate: definition.invalidate.bind(definition) }),
    ...(definition.reset && { reset: () => definition.reset!() }),
    ...(definition.save && { save: () => definition.save!() }),
    ...(definition.restore && { restore: (state: unknown) => definition.restore!(state) }),
  }
}
