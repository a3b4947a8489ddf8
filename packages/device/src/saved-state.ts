import type { Word64 } from './access.ts'
import { DeviceError } from './errors.ts'
import { Instant } from './instant.ts'
import type { Timer } from './wires.ts'

/**
 * Takes `state` for the saved form of a device model, after a look at its version.
 *
 * @param device - names the model in the error
 * @throws DeviceError `ERR_STATE` for any other version
 */
export function savedState<T extends { readonly version: number }>(
  device: string,
  state: unknown,
  version: T['version'],
): T {
  const found = typeof state === 'object' && state !== null ? (state as { version?: unknown }).version : undefined
  if (found === version) return state as T
  throw new DeviceError('ERR_STATE', `${device}: saved state of version ${String(found)}: expected ${version}`)
}

/** Returns the deadline of a timer for a saved state; null: it is not armed. */
export function savedDeadline(timer: Timer | null): Word64 | null {
  const at = new Instant()
  return timer?.readDeadline(at) === true ? at.save() : null
}

/** Arms a timer for a saved deadline, or cancels it. */
export function restoreDeadline(timer: Timer | null, deadline: Readonly<Word64> | null): void {
  if (deadline === null) timer?.cancel()
  else timer?.armAfter(0, deadline)
}

/**
 * Compares the shape of a saved state with the party's present state: the same names with the same types. The state may have
 * further names.
 *
 * @param path - names the state in the answer
 * @param exact - lists have the same lengths, versions are the same, numbers are finite, and null does not stand for another
 * value. Otherwise null on one side matches anything on the other, and each element of a list is like the first one in `own`
 * @returns the path and kind of the first difference; undefined: none
 */
export function shapeFault(path: string, given: unknown, own: unknown, exact = false): string | undefined {
  // Compute paths only for differing fields.
  const fault = faultOf(given, own, exact)
  return fault && path + fault
}

function faultOf(given: unknown, own: unknown, exact: boolean): string | undefined {
  if (!exact && (own === null || given === null)) return undefined
  const isNumber = typeof given === 'number' && exact
  if (typeof given !== typeof own || (isNumber && !Number.isFinite(given)) || (given === null && own !== null))
    return ` is ${kindOf(given)}: expected ${kindOf(own)}`
  if (typeof own !== 'object' || own === null) return undefined
  if (kindOf(given) !== kindOf(own)) return ` is ${kindOf(given)}: expected ${kindOf(own)}`
  if (ArrayBuffer.isView(own)) return undefined
  return Array.isArray(own) ? listFault(given as unknown[], own, exact) : recordFault(given as object, own, exact)
}

function listFault(given: readonly unknown[], own: readonly unknown[], exact: boolean): string | undefined {
  if (exact && given.length !== own.length) return ` has ${given.length} elements: expected ${own.length}`
  // Elements are indexed by number: names would be made and looked up as text.
  for (let i = 0; i < given.length && own.length > 0; i++) {
    const fault = faultOf(given[i], own[exact ? i : 0], exact)
    if (fault !== undefined) return `[${i}]${fault}`
  }
  return undefined
}

function recordFault(given: object, own: object, exact: boolean): string | undefined {
  for (const name in own) {
    const [value, expected]: unknown[] = [given[name as keyof typeof given], own[name as keyof typeof own]]
    if (exact && name === 'version' && value !== expected)
      return ` is of version ${String(value)}: expected ${String(expected)}`
    const fault = faultOf(value, expected, exact)
    if (fault !== undefined) return `.${name}${fault}`
  }
  return undefined
}

/** Returns a copy of plain data. */
export function copyOf<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (ArrayBuffer.isView(value)) return (value as unknown as Uint8Array).slice() as T
  if (Array.isArray(value)) return value.map(copyOf) as T
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copyOf(each)])) as T
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null || (typeof value === 'number' && !Number.isFinite(value))) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
