import { DeviceError } from './errors.ts'

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

/**
 * Returns a record of the registers that a model holds, by the record of their values at power-on: the same names, with the
 * values of a saved state. A model keeps its registers in such a record, which it saves by `...registers` and resets by
 * `{ ...powerOn }`.
 *
 * @param device - names the model in the error
 * @param state - a saved state; it may have other fields too, which the model restores by itself
 * @param powerOn - what is null there may be anything in the state
 * @throws DeviceError `ERR_STATE`, with the name of the register, for one that is missing or of another type
 */
export function savedRegisters<T extends object>(device: string, state: Readonly<T>, powerOn: Readonly<T>): T {
  const registers: T = { ...powerOn }
  for (const name in powerOn) {
    const [value, own] = [state[name], powerOn[name]]
    if (typeof value !== typeof own && own !== null) {
      const found = value === undefined ? 'missing' : `a ${typeof value}`
      throw new DeviceError('ERR_STATE', `${device}: ${name} of the saved state is ${found}: expected a ${typeof own}`)
    }
    registers[name] = value
  }
  return registers
}
