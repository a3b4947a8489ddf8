import { DeviceError, type InputBackend, savedState, type PlainState } from '@retrap/device'

/** Source of the byte in the output buffer. */
export const FROM_CONTROLLER = 0
export const FROM_KEYBOARD = 1
export const FROM_MOUSE = 2
export type Source = typeof FROM_CONTROLLER | typeof FROM_KEYBOARD | typeof FROM_MOUSE

/** Options of {@link I8042}. */
export interface I8042Options {
  /** Source of keys for a connected keyboard; default no keyboard. */
  readonly keyboard?: InputBackend
  /** Source of movements for a connected mouse; default no mouse. */
  readonly mouse?: InputBackend
  /**
   * The treatment of keys while the guest reads none and the keyboard's 16 bytes are full: the back end waits (default), or they
   * are lost and the keyboard reports an overrun, as a real one does.
   */
  readonly whenFull?: 'wait' | 'overrun'
  /** Called with whether address line 20 works, each time the guest sets the gate by this controller. */
  readonly onA20?: (works: boolean) => void
}

/** The fields that a state of version 1 lacks. */
const VERSION_1 = { source: FROM_CONTROLLER, held: null, breakPrefix: false, arrivalAt: null } as const

/**
 * Checks a saved state, and brings one of version 1 up to date.
 *
 * @param plugged - the states of the devices that the controller has, which stay as they are where the saved one is of version 1
 * @throws DeviceError `ERR_STATE` for a state of another version, or with other devices
 */
export function controllerState(
  name: string,
  state: unknown,
  plugged: { readonly keyboard: PlainState | null; readonly mouse: PlainState | null },
): PlainState {
  if (typeof state === 'object' && state !== null && 'version' in state && state.version === 1) {
    return { ...state, ...VERSION_1, version: 2, ...plugged }
  }
  const saved = savedState<PlainState & { readonly version: 2 }>(name, state, 2)
  for (const device of ['keyboard', 'mouse'] as const) {
    if ((saved[device] === null) === (plugged[device] === null)) continue
    const [found, expected] = plugged[device] === null ? ['a', 'no'] : ['no', 'a']
    throw new DeviceError('ERR_STATE', `${name}: saved state with ${found} ${device}: expected ${expected} ${device}`)
  }
  return saved
}
