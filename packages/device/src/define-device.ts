import type { AccessRequest, AccessSize, RangeHandler, RegionOptions, Word64 } from './access.ts'
import type { DeviceContext, DeviceModel } from './device-model.ts'
import { DeviceError } from './errors.ts'
import { intercepted } from './host/intercepted.ts'
import type { PciBus } from './pci-function.ts'

/** Handlers of a {@link DeviceDefinition} or of one of its ranges. */
export interface DeviceHandlers {
  /** Answers a read; absent: reads give all ones. */
  read?(offset: number, size: AccessSize, request?: AccessRequest): number | Promise<number>
  /** Takes a write; absent: writes are dropped. */
  write?(offset: number, size: AccessSize, value: number, request?: AccessRequest): void | Promise<void>
  /** 8-byte read; needed, together with `write64`, where `maximumAccess` is 8. */
  read64?(offset: number, into: Word64, request?: AccessRequest): void | Promise<void>
  /** 8-byte write. */
  write64?(offset: number, lo: number, hi: number, request?: AccessRequest): void | Promise<void>
}

/** Describes one range of a {@link DeviceDefinition}. Handlers that it lacks are the definition's own. */
export interface DeviceRange extends RegionOptions, DeviceHandlers {
  /** First port or guest-physical address. */
  readonly base: number
  /** Ports or bytes. */
  readonly size: number
}

/** Describes a device model for {@link defineDevice}: its handlers, and the members of a `DeviceModel`. */
export interface DeviceDefinition extends DeviceHandlers, Omit<DeviceModel, 'synchronous' | 'attach' | 'removed'> {
  /**
   * True: no handler ever returns a promise, and accesses are made straight from the instruction.
   * Default false: a handler may take its time.
   */
  readonly synchronous?: boolean
  /** Port ranges to claim. */
  readonly ports?: DeviceRange | readonly DeviceRange[]
  /** Ranges of guest-physical addresses to claim. */
  readonly mmio?: DeviceRange | readonly DeviceRange[]
  /** Opens lines, timers, memory and PCI functions; called once, after the ranges have been claimed. Must not be `async`. */
  attach?(context: DeviceContext): void
}

const list = (ranges: DeviceRange | readonly DeviceRange[] | undefined): readonly DeviceRange[] =>
  ranges === undefined ? [] : Array.isArray(ranges) ? (ranges as readonly DeviceRange[]) : [ranges as DeviceRange]

function handlerOf(range: DeviceRange, definition: DeviceDefinition): RangeHandler {
  const read = range.read?.bind(range) ?? definition.read?.bind(definition)
  const write = range.write?.bind(range) ?? definition.write?.bind(definition)
  const read64 = range.read64?.bind(range) ?? definition.read64?.bind(definition)
  const write64 = range.write64?.bind(range) ?? definition.write64?.bind(definition)
  return {
    // An undriven bus reads as ones.
    read: read ?? (() => 0xffff_ffff),
    write: write ?? (() => {}),
    ...(read64 && { read64 }),
    ...(write64 && { write64 }),
  }
}

/**
 * Makes a {@link DeviceModel} from ranges and two functions.
 *
 * @throws DeviceError `ERR_INVALID` for a definition without a name, for members of another type than theirs, and for a
 *   definition with only one of `save` and `restore`
 */
export function defineDevice(definition: DeviceDefinition): DeviceModel {
  checkDefinition(definition)
  return {
    name: definition.name,
    synchronous: definition.synchronous ?? false,
    ...(definition.stateless !== undefined && { stateless: definition.stateless }),
    ...(definition.deterministic !== undefined && { deterministic: definition.deterministic }),
    attach(context: DeviceContext): void {
      for (const range of list(definition.ports)) {
        context.mapPorts(range.base, range.size, handlerOf(range, definition), range)
      }
      for (const range of list(definition.mmio)) {
        context.mapMmio(range.base, range.size, handlerOf(range, definition), range)
      }
      return definition.attach?.(context)
    },
    ...(definition.timeOffset && { timeOffset: (seconds: number) => definition.timeOffset!(seconds) }),
    ...(definition.invalidate && { invalidate: definition.invalidate.bind(definition) }),
    ...(definition.reset && { reset: () => definition.reset!() }),
    ...(definition.quiesce && { quiesce: definition.quiesce.bind(definition) }),
    ...(definition.resume && { resume: () => definition.resume!() }),
    ...(definition.isAtRest && { isAtRest: () => definition.isAtRest!() }),
    ...(definition.save && { save: () => definition.save!() }),
    ...(definition.restore && { restore: (state: unknown) => definition.restore!(state) }),
  }
}

/**
 * Puts a model behind a port: its functions appear on the port's bus as device 0, whatever place it chooses.
 *
 * @param busName - the port's
 * @returns a wrapper that otherwise acts like the model
 */
export function behindPort(model: DeviceModel, busName: string): DeviceModel {
  // The buses of bridges that are part of the device.
  const own = new Set<number | string | undefined>()
  return intercepted(model, (method, given, name) => {
    if (name !== 'attach') return method(...given)
    const { pci, ...others } = given[0] as DeviceContext
    const add: PciBus['add'] = (options) => {
      if (options.bridge !== undefined) own.add(options.bridge.busName)
      return pci.add(own.has(options.bus) ? options : { ...options, bus: busName, device: 0 })
    }
    return model.attach({ ...others, pci: { ...pci, add } })
  })
}

const FUNCTIONS = [
  'read',
  'write',
  'read64',
  'write64',
  'attach',
  'timeOffset',
  'invalidate',
  'reset',
  'quiesce',
  'resume',
  'isAtRest',
  'save',
  'restore',
] as const

/** JavaScript may hand over any value. */
function checkDefinition(definition: unknown): void {
  const bad = (what: string): DeviceError => new DeviceError('ERR_INVALID', `defineDevice: ${what}`)
  if (typeof definition !== 'object' || definition === null) throw bad('expected an object that describes the device')
  const given = definition as Readonly<Record<string, unknown>>
  const { name } = given
  if (typeof name !== 'string' || name === '') throw bad('a device model needs a name')
  for (const member of FUNCTIONS) {
    if (given[member] !== undefined && typeof given[member] !== 'function') {
      throw bad(`${member} of ${name} is of type ${typeof given[member]}: expected a function`)
    }
  }
  if ((given['save'] === undefined) !== (given['restore'] === undefined)) {
    throw bad(`${name} has only one of save and restore: expected both, or stateless: true`)
  }
  if (given['stateless'] === true && given['save'] !== undefined) {
    throw bad(`${name} is stateless and has save: expected one of the two`)
  }
}
