import type { InputEvent } from '@retrap/device'
import { DisplayError } from '../errors.ts'
import { InputQueue } from './input-queue.ts'
import { type KeyName, keyUsage } from './keys.ts'
import { type KeyboardLayout, type KeyboardLayoutName, type KeyStroke, layoutOf } from './layouts.ts'

/** Options of {@link Keyboard}. */
export interface KeyboardOptions {
  /** The layout printed on the keys, for `type`; the guest must be set to the same. Default `us`. */
  readonly layout?: KeyboardLayoutName
}

/** A keyboard's lamps. */
export interface KeyboardLeds {
  readonly numLock: boolean
  readonly capsLock: boolean
  readonly scrollLock: boolean
}

/**
 * The keyboard of a virtual machine, as the person in front of it uses it.
 *
 * Keys wait until the guest takes them. The promises settle with true then, and with false where keys are dropped instead.
 */
export class Keyboard extends InputQueue {
  /** The layout printed on the keys. */
  readonly layout: KeyboardLayout
  #leds: KeyboardLeds = { numLock: false, capsLock: false, scrollLock: false }

  /** @throws DisplayError `ERR_OPTION` for a layout that does not exist */
  constructor(options: KeyboardOptions = {}) {
    super()
    this.layout = layoutOf(options.layout ?? 'us')
  }

  /** The lamps, set by the guest. */
  get leds(): KeyboardLeds {
    return this.#leds
  }

  /**
   * Types a text: `\n` is Enter, `\t` Tab, `\b` Backspace and `\x1b` Escape.
   *
   * @param options.layout - the guest's layout, if it differs from the keyboard's
   * @param options.delayMs - host milliseconds between two characters, for firmware with a small buffer; default 0
   * @throws DisplayError `ERR_OPTION` for a character that the layout does not have, and for a layout that does not exist; then
   *   nothing is typed
   */
  async type(
    text: string,
    options: { readonly delayMs?: number; readonly layout?: KeyboardLayoutName } = {},
  ): Promise<boolean> {
    const layout = options.layout === undefined ? this.layout : layoutOf(options.layout)
    const characters = [...text.normalize('NFC').replaceAll('\r\n', '\n')].map((character) => {
      const strokes = layout.strokesOf(character)
      if (strokes !== undefined) return strokes.flatMap(strokeEvents)
      throw new DisplayError('ERR_OPTION', `type: '${character}' is not on a keyboard of layout ${layout.name}`)
    })
    const { delayMs = 0 } = options
    if (delayMs === 0) return this.queue(characters.flat())
    for (const events of characters) {
      if (!(await this.queue(events))) return false
      await new Promise<void>((resolve) => setTimeout(resolve, delayMs))
    }
    return true
  }

  /** Presses keys together: down in their order, and up in the opposite one. @throws DisplayError `ERR_OPTION` */
  press(...keys: readonly KeyName[]): Promise<boolean> {
    const usages = keys.map(keyUsage)
    const up = usages.toReversed().map((usage) => keyEvent(usage, false))
    return this.queue([...usages.map((usage) => keyEvent(usage, true)), ...up])
  }

  /** Presses a key and holds it; the guest's keyboard repeats it. @throws DisplayError `ERR_OPTION` */
  down(key: KeyName): Promise<boolean> {
    return this.queue([keyEvent(keyUsage(key), true)])
  }

  /** Releases a key. @throws DisplayError `ERR_OPTION` */
  up(key: KeyName): Promise<boolean> {
    return this.queue([keyEvent(keyUsage(key), false)])
  }

  /** Presses or releases a key by its usage of the HID Keyboard/Keypad page. */
  send(usage: number, down: boolean): Promise<boolean> {
    return this.queue([keyEvent(usage, down)])
  }

  /** Presses and releases keys in order, like one text. */
  sendAll(keys: readonly { readonly usage: number; readonly down: boolean }[]): Promise<boolean> {
    return this.queue(keys.map(({ usage, down }) => keyEvent(usage, down)))
  }

  /** Sets the lamps of the guest's keyboard: see `InputBackend`. */
  setLeds(leds: KeyboardLeds): void {
    this.#leds = { ...leds }
  }
}

function keyEvent(usage: number, down: boolean): InputEvent {
  return { kind: 'key', usage, down }
}

const SHIFT = keyUsage('ShiftLeft')
const ALT_GR = keyUsage('AltRight')

function strokeEvents({ usage, shift, altGr }: KeyStroke): InputEvent[] {
  const held = [...(shift ? [SHIFT] : []), ...(altGr ? [ALT_GR] : [])]
  return [
    ...[...held, usage].map((key) => keyEvent(key, true)),
    ...[usage, ...held.toReversed()].map((key) => keyEvent(key, false)),
  ]
}
