/** The identity of an input device. */
export type InputKind = 'keyboard' | 'mouse' | 'tablet'

/* Types and codes of events (Linux, `uapi/linux/input-event-codes.h`). */
export const EV = { SYN: 0, KEY: 1, REL: 2, ABS: 3, LED: 0x11, REP: 0x14 } as const
export const REL = { X: 0, Y: 1, HORIZONTAL_WHEEL: 6, WHEEL: 8 } as const
export const ABS = { X: 0, Y: 1 } as const
export const LED = { NUM_LOCK: 0, CAPS_LOCK: 1, SCROLL_LOCK: 2 } as const
/** Code of button 1; the others follow. */
export const FIRST_BUTTON = 0x110
export const MOST_BUTTONS = 5
/** Largest coordinate of a tablet. */
export const MOST_PLACE = 0x7fff

/* Questions (VIRTIO 1.2, §5.8.4). */
const ID_NAME = 1
const ID_SERIAL = 2
const ID_DEVICES = 3
const PROPERTY_BITS = 0x10
const EVENT_BITS = 0x11
const ABSOLUTE_INFORMATION = 0x12

/** Fields select, subsel, size, five reserved bytes, and the data. */
const CONFIG_BYTES = 136
const SIZE = 2
const ANSWER = 8
const MOST_TEXT = CONFIG_BYTES - ANSWER

const BUS_VIRTUAL = 6
const VENDOR = 0x0627
const PRODUCTS = { keyboard: 1, mouse: 2, tablet: 3 } as const
const NAMES = { keyboard: 'Keyboard', mouse: 'Mouse', tablet: 'Tablet' } as const
/** INPUT_PROP_POINTER: a pointer on the screen shows the position. */
const PROPERTY_POINTER = 0

const NOTHING = new Uint8Array(0)
const BUTTONS = Array.from({ length: MOST_BUTTONS }, (_, i) => FIRST_BUTTON + i)
const WHEELS = [REL.HORIZONTAL_WHEEL, REL.WHEEL]

/** Codes by usage of the HID Keyboard/Keypad page, from `first` on. */
type Run = readonly [first: number, codes: readonly number[]]

const RUNS: readonly Run[] = [
  // A to Z
  [0x04, [30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44]],
  // 1 to 0
  [0x1e, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
  // Enter, Escape, Backspace, Tab, Space, - = [ ] \, the key left of Enter, ; ' ` , . /, Caps Lock
  [0x28, [28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53, 58]],
  // F1 to F12
  [0x3a, [59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88]],
  // Print Screen, Scroll Lock, Pause, Insert, Home, Page Up, Delete, End, Page Down, Right, Left, Down, Up
  [0x46, [99, 70, 119, 110, 102, 104, 111, 107, 109, 106, 105, 108, 103]],
  // Num Lock; keypad / * - +, Enter, 1 to 0, and .
  [0x53, [69, 98, 55, 74, 78, 96, 79, 80, 81, 75, 76, 77, 71, 72, 73, 82, 83]],
  // the key right of the left Shift, Application, Power, keypad =
  [0x64, [86, 127, 116, 117]],
  // F13 to F24
  [0x68, [183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194]],
  // Mute, louder, quieter
  [0x7f, [113, 115, 114]],
  // keypad ,
  [0x85, [121]],
  // Ro, Katakana/Hiragana, Yen, Henkan, Muhenkan
  [0x87, [89, 93, 124, 92, 94]],
  // Hangul, Hanja
  [0x90, [122, 123]],
  // Control, Shift, Alt, GUI: left, then right
  [0xe0, [29, 42, 56, 125, 97, 54, 100, 126]],
]

/**
 * The code of an event for each usage of the HID Keyboard/Keypad page; 0: there is none.
 *
 * Sources: Linux, `uapi/linux/input-event-codes.h`, which VIRTIO 1.2, §5.8 refers to; USB HID Usage Tables 1.12,
 * "Keyboard/Keypad Page".
 */
export const KEY_CODES: Uint8Array = (() => {
  const codes = new Uint8Array(0x100)
  for (const [first, run] of RUNS) codes.set(run, first)
  return codes
})()

/** Codes of the events that a kind of device sends or takes, by type. Repeats are the guest's own. */
const CODES: Readonly<Record<InputKind, Readonly<Record<number, readonly number[]>>>> = {
  keyboard: {
    [EV.KEY]: [...KEY_CODES].filter((code) => code !== 0),
    [EV.LED]: [LED.NUM_LOCK, LED.CAPS_LOCK, LED.SCROLL_LOCK],
    [EV.REP]: [0, 1],
  },
  mouse: { [EV.KEY]: BUTTONS, [EV.REL]: [REL.X, REL.Y, ...WHEELS] },
  tablet: { [EV.KEY]: BUTTONS, [EV.REL]: WHEELS, [EV.ABS]: [ABS.X, ABS.Y] },
}

function bitmap(codes: readonly number[] = []): Uint8Array {
  if (codes.length === 0) return NOTHING
  const bits = new Uint8Array((Math.max(...codes) >> 3) + 1)
  for (const code of codes) bits[code >> 3]! |= 1 << (code & 7)
  return bits
}

/** The answers of a device's configuration space. */
export class InputConfig {
  readonly bytes: Uint8Array = new Uint8Array(CONFIG_BYTES)
  readonly #kind: InputKind
  readonly #serial: Uint8Array

  constructor(kind: InputKind, serialNumber: string) {
    this.#kind = kind
    this.#serial = new TextEncoder().encode(serialNumber).subarray(0, MOST_TEXT)
  }

  /** The driver asks; it writes no more than the first two bytes. */
  write(offset: number, from: Uint8Array): void {
    const { bytes } = this
    from.forEach((byte, i) => {
      if (offset + i < SIZE) bytes[offset + i] = byte
    })
    const answer = this.#answer(bytes[0]!, bytes[1]!)
    bytes.fill(0, SIZE)
    bytes[SIZE] = answer.length
    bytes.set(answer, ANSWER)
  }

  #answer(select: number, which: number): Uint8Array {
    const kind = this.#kind
    if (select === EVENT_BITS) return bitmap(CODES[kind][which])
    if (select === ABSOLUTE_INFORMATION) {
      const has = kind === 'tablet' && (which === ABS.X || which === ABS.Y)
      return has ? new Uint8Array(Uint32Array.of(0, MOST_PLACE, 0, 0, 0).buffer) : NOTHING
    }
    if (which !== 0) return NOTHING
    switch (select) {
      case ID_NAME:
        return new TextEncoder().encode(`retrap Virtio ${NAMES[kind]}`)
      case ID_SERIAL:
        return this.#serial
      case ID_DEVICES:
        return new Uint8Array(Uint16Array.of(BUS_VIRTUAL, VENDOR, PRODUCTS[kind], 1).buffer)
      case PROPERTY_BITS:
        return kind === 'keyboard' ? NOTHING : bitmap([PROPERTY_POINTER])
      default:
        return NOTHING
    }
  }
}
