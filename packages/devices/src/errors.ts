/**
 * Codes of {@link DeviceError}.
 *
 * - `ERR_OPTION`: a constructor option is out of range
 * - `ERR_STATE`: `restore` was given what `save` of the same device never returned
 * - `ERR_DETACHED`: the device is not part of a machine yet
 */
export type DeviceErrorCode = 'ERR_OPTION' | 'ERR_STATE' | 'ERR_DETACHED'

/** What a caller of this package did wrong. Guests' mistakes are never errors. */
export class DeviceError extends Error {
  override readonly name: string = 'DeviceError'
  readonly code: DeviceErrorCode

  constructor(code: DeviceErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Takes `state` for the saved form of `device`, after a look at its version. */
export function savedState<T extends { readonly version: number }>(
  device: string,
  state: unknown,
  version: T['version'],
): T {
  const found = typeof state === 'object' && state !== null ? (state as { version?: unknown }).version : undefined
  if (found !== version)
    throw new DeviceError('ERR_STATE', `${device}: saved state of version ${String(found)}: expected ${version}`)
  return state as T
}
