import { DeviceError, type InputBackend, savedState, type Word64 } from '@retrap/device'
import type { Ps2KeyboardState } from './ps2/keyboard.ts'
import type { Ps2MouseState } from './ps2/mouse.ts'

/** Where the byte in the output buffer comes from. */
export const FROM_CONTROLLER = 0
export const FROM_KEYBOARD = 1
export const FROM_MOUSE = 2
export type Source = typeof FROM_CONTROLLER | typeof FROM_KEYBOARD | typeof FROM_MOUSE

/** Saved form of an {@link I8042}. */
export interface I8042State {
  /** Layout of the state. Version 1, without what has a default here, is taken too. */
  readonly version: 2
  /** The controller’s 32 bytes of RAM; byte 0 is the command byte. */
  readonly ram: readonly number[]
  /** Status register. */
  readonly status: number
  /** Output buffer. */
  readonly data: number
  /** Command that waits for its byte at port 0x60; −1: none. */
  readonly pending: number
  /** Output port. */
  readonly outputPort: number
  /** Origin of the byte in the output buffer: 0 the controller, 1 the keyboard, 2 the mouse. */
  readonly source: 0 | 1 | 2
  /** A device's byte that made room for an answer of the controller. */
  readonly held: { readonly source: 1 | 2; readonly data: number } | null
  /** The keyboard's last byte was the prefix of a break code. */
  readonly breakPrefix: boolean
  /** When the byte under way from a device arrives; null: no byte is under way. */
  readonly arrivalAt: Word64 | null
  /** The keyboard; null: none is plugged in. */
  readonly keyboard: Ps2KeyboardState | null
  /** The mouse; null: none is plugged in. */
  readonly mouse: Ps2MouseState | null
}

/** How an {@link I8042} is made. */
export interface I8042Options {
  /** Plugs a keyboard in, whose keys come from here; default none. */
  readonly keyboard?: InputBackend
  /** Plugs a mouse in, whose movements come from here; default none. */
  readonly mouse?: InputBackend
  /**
   * The treatment of keys while the guest reads none and the keyboard's 16 bytes are full: the back end waits (default), or they
   * are lost and the guest is told so, as with a real keyboard.
   */
  readonly whenFull?: 'wait' | 'overrun'
  /** Told whether address line 20 works, whenever the guest sets it here. */
  readonly onA20?: (works: boolean) => void
}

/** The fields that a state of version 1 lacks. */
const VERSION_1 = { source: FROM_CONTROLLER, held: null, breakPrefix: false, arrivalAt: null } as const

/**
 * Checks a saved state, and brings one of version 1 up to date.
 *
 * @param plugged - the devices at the controller
 * @returns the state; keyboard and mouse are null where they stay as they are
 * @throws DeviceError `ERR_STATE` for a state of another version, or of other devices
 */
export function controllerState(
  name: string,
  state: unknown,
  plugged: { readonly keyboard: boolean; readonly mouse: boolean },
): I8042State {
  if (typeof state === 'object' && state !== null && 'version' in state && state.version === 1) {
    return { ...(state as unknown as I8042State), ...VERSION_1, version: 2, keyboard: null, mouse: null }
  }
  const saved = savedState<I8042State>(name, state, 2)
  for (const device of ['keyboard', 'mouse'] as const) {
    if ((saved[device] !== null) === plugged[device]) continue
    const [found, expected] = plugged[device] ? ['no', 'a'] : ['a', 'no']
    throw new DeviceError('ERR_STATE', `${name}: saved state with ${found} ${device}: expected ${expected} ${device}`)
  }
  return saved
}
