import { MachineError } from '../errors.ts'
import type { CpuStop, DebuggedCpu, PlaceAccess, PlaceRange, PlaceRules } from './debugged-cpu.ts'

/** Consecutive ports or MSRs of a PC, or bytes of device memory. One by default, and each access counts. */
export type AccessedPlace = Pick<PlaceRange, 'kind' | 'address'> & Partial<PlaceRange>

/** An exception of a PC, where INT3, INTO and INT n do not count, or of an Arm processor that EL1 takes. */
export interface ExceptionPlace {
  /** `fault`: it is about to be delivered. `handler`: the first instruction of its handler is next. */
  readonly kind: 'fault' | 'handler'
  /** The vector, up to 31; of an Arm processor the exception's class, up to 63, as of exceptions from EL0. */
  readonly vector: number
}

/** A place to stop at, besides instructions and watched data. */
export type MachinePlace = AccessedPlace | ExceptionPlace

/** A stop at a {@link MachinePlace}. */
export type PlaceStop = Extract<CpuStop, { readonly kind: MachinePlace['kind'] | 'exception' }>

/** Numbers behind the last of each kind. */
const ENDS: Readonly<Record<AccessedPlace['kind'], number>> = { port: 2 ** 16, mmio: 2 ** 52, msr: 2 ** 32 }
/** Names for messages. */
const NAMES: Readonly<Record<AccessedPlace['kind'], string>> = { port: 'port', mmio: 'device memory', msr: 'MSR' }

export const PC_PLACES: PlaceRules = { kinds: ['port', 'mmio', 'msr'], exceptions: 32 }

const hex = (value: number | bigint): string => `0x${value.toString(16)}`

const withDefaults = ({ kind, address, count = 1, access = 'access' }: AccessedPlace): PlaceRange => ({
  kind,
  address,
  count,
  access,
})

const isAccessed = (place: MachinePlace): place is AccessedPlace => place.kind !== 'fault' && place.kind !== 'handler'

/** @throws MachineError `ERR_OPTION` for a place that cannot be */
export function checkPlace(place: MachinePlace, { kinds, exceptions }: PlaceRules): void {
  if (!isAccessed(place)) {
    const { vector } = place
    if (!(Number.isInteger(vector) && vector >= 0 && vector < exceptions))
      throw new MachineError('ERR_OPTION', `exception ${vector}: expected a vector from 0 to ${exceptions - 1}`)
    return
  }
  if (!kinds.includes(place.kind))
    throw new MachineError(
      'ERR_OPTION',
      `a stop at a ${NAMES[place.kind]}: an Arm board has ${kinds.map((kind) => NAMES[kind]).join(' and ')} alone`,
    )
  const { kind, address, count = 1 } = place
  const end = ENDS[kind]
  if (!(Number.isSafeInteger(address) && address >= 0 && Number.isSafeInteger(count) && count >= 1))
    throw new MachineError('ERR_OPTION', `${NAMES[kind]} ${address}, ${count} of them: expected whole numbers`)
  if (address + count > end)
    throw new MachineError('ERR_OPTION', `${NAMES[kind]} ${hex(address)}: expected none behind ${hex(end - 1)}`)
}

/** Sets or removes a place at which the vCPUs of a machine stop. */
export function setPlace(cpus: readonly DebuggedCpu[], place: MachinePlace, stops: boolean): void {
  for (const cpu of cpus) {
    if (isAccessed(place)) cpu.setPlace(withDefaults(place), stops)
    else if (place.kind === 'fault') cpu.catchFault(place.vector, stops)
    else cpu.setHandler(place.vector, stops)
  }
}

/** Returns the end of an access's bytes. */
const endOf = ({ kind, address, size, elements }: PlaceAccess): number =>
  address + (kind === 'msr' ? 1 : kind === 'port' ? size : size * elements)

export function isAtPlace(place: MachinePlace, stop: PlaceStop): boolean {
  if (stop.kind === 'exception') return place.kind === 'fault' && place.vector === stop.vector
  if (stop.kind === 'fault' || stop.kind === 'handler') return place.kind === stop.kind && place.vector === stop.vector
  if (place.kind !== stop.kind) return false
  const { address, count, access } = withDefaults(place)
  const isThere = stop.address < address + count && endOf(stop) > address
  return isThere && (access === 'access' || (access === 'write') === stop.write)
}

/** Whether two places are stops at the same exception. */
export const isSameException = (one: MachinePlace, other: MachinePlace): boolean =>
  !isAccessed(one) && !isAccessed(other) && one.kind === other.kind && one.vector === other.vector

/** Describes a place. @param nameOf - the name of an exception */
export function describePlace(place: MachinePlace, nameOf: (vector: number) => string): string {
  if (!isAccessed(place)) return `${place.kind === 'fault' ? 'before exception' : 'handler of'} ${nameOf(place.vector)}`
  const { kind, address, count, access } = withDefaults(place)
  const last = count === 1 ? '' : ` to ${hex(address + count - 1)}`
  return `${NAMES[kind]} ${hex(address)}${last}${access === 'access' ? '' : `, ${access}`}`
}

/** Describes a stop at a place. @param nameOf - the name of an exception */
export function describePlaceStop(stop: PlaceStop, nameOf: (vector: number) => string): string {
  if (stop.kind === 'fault' || stop.kind === 'exception') return `${nameOf(stop.vector)} is about to be delivered`
  if (stop.kind === 'handler') return `the handler of ${nameOf(stop.vector)} is next, error code ${hex(stop.errorCode)}`
  const { kind, address, size, elements, write, value } = stop
  const bytes = size === 1 ? '1 byte' : `${size} bytes`
  const what = kind === 'msr' ? '' : value === undefined ? `${elements} times ${bytes} ` : `${bytes} `
  return `${NAMES[kind]} ${hex(address)}: ${what}${write ? 'written' : 'read'}${value === undefined ? '' : `, ${hex(value)}`}`
}
