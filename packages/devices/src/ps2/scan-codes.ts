/*
 * Codes of the keys, by usage of the HID Keyboard/Keypad page, and the sequences in which a keyboard sends them.
 *
 * Source: Microsoft, "Keyboard Scan Code Specification" 1.3a, appendices A and C; IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboards (101- and 102-Key)", scan code sets 1 to 3.
 */

/** The key is sent behind the prefix 0xE0 in sets 1 and 2. */
export const EXTENDED = 0x100

/** Set 3: the key sends its make code, repeats it, and sends no break code. */
const TYPEMATIC = 0
/** Set 3: the key sends a make code and a break code. */
const MAKE_BREAK = 1
/** Set 3: the key sends its make code only. */
const MAKE = 2

/** Usage, code in set 2, code in set 3 (0: none), and the key's mode in set 3 after power-on. */
type Row = readonly [usage: number, set2: number, set3: number, kind?: number]

const ROWS: readonly Row[] = [
  // A to Z
  ...([0x1c, 0x32, 0x21, 0x23, 0x24, 0x2b, 0x34, 0x33, 0x43, 0x3b, 0x42, 0x4b, 0x3a] as const).map(letter(0x04)),
  ...([0x31, 0x44, 0x4d, 0x15, 0x2d, 0x1b, 0x2c, 0x3c, 0x2a, 0x1d, 0x22, 0x35, 0x1a] as const).map(letter(0x11)),
  // 1 to 0
  ...([0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45] as const).map(letter(0x1e)),
  [0x28, 0x5a, 0x5a], // Enter
  [0x29, 0x76, 0x08, MAKE], // Escape
  [0x2a, 0x66, 0x66], // Backspace
  [0x2b, 0x0d, 0x0d], // Tab
  [0x2c, 0x29, 0x29], // Space
  [0x2d, 0x4e, 0x4e], // - _
  [0x2e, 0x55, 0x55], // = +
  [0x2f, 0x54, 0x54], // [ {
  [0x30, 0x5b, 0x5b], // ] }
  [0x31, 0x5d, 0x5c], // \ |
  [0x32, 0x5d, 0x53], // the key left of Enter on 102-key keyboards
  [0x33, 0x4c, 0x4c], // ; :
  [0x34, 0x52, 0x52], // ' "
  [0x35, 0x0e, 0x0e], // ` ~
  [0x36, 0x41, 0x41], // , <
  [0x37, 0x49, 0x49], // . >
  [0x38, 0x4a, 0x4a], // / ?
  [0x39, 0x58, 0x14, MAKE_BREAK], // Caps Lock
  // F1 to F12
  [0x3a, 0x05, 0x07, MAKE],
  [0x3b, 0x06, 0x0f, MAKE],
  [0x3c, 0x04, 0x17, MAKE],
  [0x3d, 0x0c, 0x1f, MAKE],
  [0x3e, 0x03, 0x27, MAKE],
  [0x3f, 0x0b, 0x2f, MAKE],
  [0x40, 0x83, 0x37, MAKE],
  [0x41, 0x0a, 0x3f, MAKE],
  [0x42, 0x01, 0x47, MAKE],
  [0x43, 0x09, 0x4f, MAKE],
  [0x44, 0x78, 0x56, MAKE],
  [0x45, 0x07, 0x5e, MAKE],
  // Sets 1 and 2 send special sequences for Print Screen (0x46) and Pause (0x48).
  [0x46, 0, 0x57, MAKE],
  [0x47, 0x7e, 0x5f, MAKE], // Scroll Lock
  [0x48, 0, 0x62, MAKE],
  [0x49, EXTENDED | 0x70, 0x67, MAKE], // Insert
  [0x4a, EXTENDED | 0x6c, 0x6e, MAKE], // Home
  [0x4b, EXTENDED | 0x7d, 0x6f, MAKE], // Page Up
  [0x4c, EXTENDED | 0x71, 0x64], // Delete
  [0x4d, EXTENDED | 0x69, 0x65, MAKE], // End
  [0x4e, EXTENDED | 0x7a, 0x6d, MAKE], // Page Down
  [0x4f, EXTENDED | 0x74, 0x6a], // Right
  [0x50, EXTENDED | 0x6b, 0x61], // Left
  [0x51, EXTENDED | 0x72, 0x60], // Down
  [0x52, EXTENDED | 0x75, 0x63], // Up
  [0x53, 0x77, 0x76, MAKE], // Num Lock
  [0x54, EXTENDED | 0x4a, 0x77, MAKE], // keypad /
  [0x55, 0x7c, 0x7e, MAKE], // keypad *
  [0x56, 0x7b, 0x84, MAKE], // keypad -
  [0x57, 0x79, 0x7c], // keypad +
  [0x58, EXTENDED | 0x5a, 0x79, MAKE], // keypad Enter
  // keypad 1 to 0, and .
  [0x59, 0x69, 0x69, MAKE],
  [0x5a, 0x72, 0x72, MAKE],
  [0x5b, 0x7a, 0x7a, MAKE],
  [0x5c, 0x6b, 0x6b, MAKE],
  [0x5d, 0x73, 0x73, MAKE],
  [0x5e, 0x74, 0x74, MAKE],
  [0x5f, 0x6c, 0x6c, MAKE],
  [0x60, 0x75, 0x75, MAKE],
  [0x61, 0x7d, 0x7d, MAKE],
  [0x62, 0x70, 0x70, MAKE],
  [0x63, 0x71, 0x71, MAKE],
  [0x64, 0x61, 0x13], // the key right of the left Shift on 102-key keyboards
  [0x65, EXTENDED | 0x2f, 0x8d, MAKE_BREAK], // Application
  [0x66, EXTENDED | 0x37, 0, MAKE], // Power
  [0x67, 0x0f, 0, MAKE], // keypad =
  // F13 to F24
  ...([0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x5f] as const).map((set2, i): Row => [
    0x68 + i,
    set2,
    0,
    MAKE,
  ]),
  [0x85, 0x6d, 0], // keypad , of Brazilian keyboards
  [0x87, 0x51, 0], // International 1: Ro
  [0x88, 0x13, 0], // International 2: Katakana/Hiragana
  [0x89, 0x6a, 0], // International 3: Yen
  [0x8a, 0x64, 0], // International 4: Henkan
  [0x8b, 0x67, 0], // International 5: Muhenkan
  [0xe0, 0x14, 0x11, MAKE_BREAK], // left Control
  [0xe1, 0x12, 0x12, MAKE_BREAK], // left Shift
  [0xe2, 0x11, 0x19, MAKE_BREAK], // left Alt
  [0xe3, EXTENDED | 0x1f, 0x8b, MAKE_BREAK], // left GUI
  [0xe4, EXTENDED | 0x14, 0x58, MAKE], // right Control
  [0xe5, 0x59, 0x59, MAKE_BREAK], // right Shift
  [0xe6, EXTENDED | 0x11, 0x39, MAKE], // right Alt
  [0xe7, EXTENDED | 0x27, 0x8c, MAKE_BREAK], // right GUI
]

/** Returns the codes of a key that are equal in sets 2 and 3. */
function letter(first: number): (code: number, index: number) => Row {
  return (code, index) => [first + index, code, code]
}

const USAGES = 0x100

/** Codes in set 2 by usage, perhaps with {@link EXTENDED}; 0: the keyboard has no such key. */
export const SET_2: Uint16Array = column(1)
/** Codes in set 3 by usage; 0: the set has no code for the key. */
export const SET_3: Uint16Array = column(2)

function column(which: 1 | 2): Uint16Array {
  const codes = new Uint16Array(USAGES)
  for (const row of ROWS) codes[row[0]] = row[which]
  return codes
}

/** Bits of a key's mode in set 3. */
export const KEY_REPEATS = 1
/** See {@link KEY_REPEATS}. */
export const KEY_BREAKS = 2
/** See {@link KEY_REPEATS}. */
export const KEY_REPEATS_AND_BREAKS = 3

/** The behaviour of each key in set 3 after power-on, by its code in that set. */
export const SET_3_DEFAULTS: Uint8Array = (() => {
  const kinds = new Uint8Array(USAGES)
  for (const [, , set3, kind = TYPEMATIC] of ROWS) {
    if (set3 !== 0) kinds[set3] = kind === TYPEMATIC ? KEY_REPEATS : kind === MAKE_BREAK ? KEY_BREAKS : 0
  }
  return kinds
})()

/**
 * The controller's translation of codes of set 2 below 0x80 to codes of set 1.
 *
 * Source: Microsoft, "Keyboard Scan Code Specification" 1.3a, "8042 translation"; IBM PC AT Technical Reference, keyboard
 * controller.
 */
const TRANSLATION = [
  ...[0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59],
  ...[0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b],
  ...[0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d],
  ...[0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f],
  ...[0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61],
  ...[0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76],
  ...[0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f],
  ...[0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54],
]

/** Translates one byte of a keyboard in set 2; bytes from 0x80 on pass, but for the codes of F7 and System Request. */
export function translate(byte: number): number {
  if (byte < 0x80) return TRANSLATION[byte]!
  if (byte === 0x83) return 0x41
  return byte === 0x84 ? 0x54 : byte
}

const PREFIX = 0xe0
const BREAK = 0xf0
const LEFT_SHIFT = 0x12
const RIGHT_SHIFT = 0x59
const PRINT_SCREEN = 0x7c
const SYSTEM_REQUEST = 0x84

/** Usages with special rules. */
export const USAGE = {
  printScreen: 0x46,
  pause: 0x48,
  insert: 0x49,
  up: 0x52,
  keypadSlash: 0x54,
  leftControl: 0xe0,
  leftShift: 0xe1,
  leftAlt: 0xe2,
  rightControl: 0xe4,
  rightShift: 0xe5,
  rightAlt: 0xe6,
} as const

/** The state that decides between the sequences of a key, beside the key. */
export interface KeyContext {
  /** Usages of the pressed keys. */
  readonly down: ReadonlySet<number>
  /** Whether the Num Lock lamp is lit, by which the keyboard knows the state. */
  readonly numLock: boolean
  /** Print Screen was pressed as System Request, with Alt. */
  systemRequest: boolean
}

/** Longest sequence of one event: a navigation key with both Shift keys down. */
export const LONGEST_SEQUENCE = 8

/**
 * The bytes that a key sends in a set of scan codes when it goes down or up; none for a key that the set lacks.
 *
 * Source: Microsoft, "Keyboard Scan Code Specification" 1.3a, notes 1 to 5 of its table.
 */
export function keySequence(set: number, usage: number, down: boolean, context: KeyContext): number[] {
  if (set === 3) {
    const code = SET_3[usage]!
    if (code === 0) return []
    return down ? [code] : [BREAK, code]
  }
  const bytes = setTwoSequence(usage, down, context)
  return set === 1 ? asSetOne(bytes) : bytes
}

/** Returns the make code that a held key repeats, without the prefixes of its first press. */
export function repeatSequence(set: number, usage: number, context: KeyContext): number[] {
  if (set === 3) return SET_3[usage] === 0 ? [] : [SET_3[usage]!]
  const bytes: number[] = []
  if (usage === USAGE.printScreen) bytes.push(...(context.systemRequest ? [SYSTEM_REQUEST] : [PREFIX, PRINT_SCREEN]))
  else if (SET_2[usage] !== 0) pushCode(bytes, SET_2[usage]!, true)
  return set === 1 ? asSetOne(bytes) : bytes
}

function setTwoSequence(usage: number, down: boolean, context: KeyContext): number[] {
  if (usage === USAGE.printScreen) return printScreen(down, context)
  if (usage === USAGE.pause) return pause(down, context)
  const code = SET_2[usage]!
  const bytes: number[] = []
  if (code === 0) return bytes
  const navigation = usage >= USAGE.insert && usage <= USAGE.up
  const shifts = [LEFT_SHIFT, RIGHT_SHIFT].filter((shift) =>
    context.down.has(shift === LEFT_SHIFT ? USAGE.leftShift : USAGE.rightShift),
  )
  // Software of the first PCs takes a navigation key for one of the keypad: Shift has to seem up while it is down.
  const unshift = shifts.length > 0 && (usage === USAGE.keypadSlash || (navigation && !context.numLock))
  const shift = shifts.length === 0 && navigation && context.numLock
  if (down && unshift) for (const key of shifts) bytes.push(PREFIX, BREAK, key)
  if (down && shift) bytes.push(PREFIX, LEFT_SHIFT)
  pushCode(bytes, code, down)
  if (!down && unshift) for (const key of shifts) bytes.push(PREFIX, key)
  if (!down && shift) bytes.push(PREFIX, BREAK, LEFT_SHIFT)
  return bytes
}

function pushCode(bytes: number[], code: number, down: boolean): void {
  if ((code & EXTENDED) !== 0) bytes.push(PREFIX)
  if (!down) bytes.push(BREAK)
  bytes.push(code & 0xff)
}

function printScreen(down: boolean, context: KeyContext): number[] {
  if (down) context.systemRequest = context.down.has(USAGE.leftAlt) || context.down.has(USAGE.rightAlt)
  if (context.systemRequest) return down ? [SYSTEM_REQUEST] : [BREAK, SYSTEM_REQUEST]
  const plain = [USAGE.leftControl, USAGE.rightControl, USAGE.leftShift, USAGE.rightShift].every(
    (usage) => !context.down.has(usage),
  )
  if (!plain) return down ? [PREFIX, PRINT_SCREEN] : [PREFIX, BREAK, PRINT_SCREEN]
  return down ? [PREFIX, LEFT_SHIFT, PREFIX, PRINT_SCREEN] : [PREFIX, BREAK, PRINT_SCREEN, PREFIX, BREAK, LEFT_SHIFT]
}

/** Pause sends its break code at once. */
function pause(down: boolean, context: KeyContext): number[] {
  if (!down) return []
  const control = context.down.has(USAGE.leftControl) || context.down.has(USAGE.rightControl)
  return control ? [PREFIX, 0x7e, PREFIX, BREAK, 0x7e] : [0xe1, 0x14, 0x77, 0xe1, BREAK, 0x14, BREAK, 0x77]
}

/** Converts codes to set 1, whose break codes are make codes with bit 7. */
function asSetOne(bytes: readonly number[]): number[] {
  const codes: number[] = []
  let bit = 0
  for (const byte of bytes) {
    if (byte === BREAK) bit = 0x80
    else if (byte === PREFIX || byte === 0xe1) codes.push(byte)
    else {
      codes.push(translate(byte) | bit)
      bit = 0
    }
  }
  return codes
}
