import { DisplayError } from '../errors.ts'

/** Letters that keys are named by. */
export type KeyLetter =
  | ('A' | 'B' | 'C' | 'D' | 'E' | 'F' | 'G' | 'H' | 'I' | 'J' | 'K' | 'L' | 'M')
  | ('N' | 'O' | 'P' | 'Q' | 'R' | 'S' | 'T' | 'U' | 'V' | 'W' | 'X' | 'Y' | 'Z')
/** Digits that keys are named by. */
export type KeyDigit = '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9'
/** Sides that keys are named by. */
export type KeySide = 'Left' | 'Right'

/** Names a key by its place: values of the DOM's `KeyboardEvent.code`. */
export type KeyName =
  | `Key${KeyLetter}`
  | `Digit${KeyDigit}`
  | `F${Exclude<KeyDigit, '0'> | `1${KeyDigit}` | '20' | '21' | '22' | '23' | '24'}`
  | `Arrow${KeySide | 'Up' | 'Down'}`
  | `Bracket${KeySide}`
  | `${'Control' | 'Shift' | 'Alt' | 'Meta'}${KeySide}`
  | `Numpad${KeyDigit | 'Divide' | 'Multiply' | 'Subtract' | 'Add' | 'Enter' | 'Decimal' | 'Equal' | 'Comma'}`
  | ('Enter' | 'Escape' | 'Backspace' | 'Tab' | 'Space' | 'Minus' | 'Equal' | 'Backslash' | 'Semicolon' | 'Quote')
  | ('Backquote' | 'Comma' | 'Period' | 'Slash' | 'CapsLock' | 'NumLock' | 'ScrollLock' | 'PrintScreen' | 'Pause')
  | ('Insert' | 'Home' | 'PageUp' | 'Delete' | 'End' | 'PageDown' | 'ContextMenu' | 'Power')
  | ('IntlBackslash' | 'IntlRo' | 'IntlYen' | 'KanaMode' | 'Convert' | 'NonConvert')

/** Keys from a usage of the HID Keyboard/Keypad page on, in the order of that page. */
const RUNS: readonly (readonly [first: number, names: string])[] = [
  [0x04, [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].map((letter) => `Key${letter}`).join(' ')],
  [0x1e, [...'1234567890'].map((digit) => `Digit${digit}`).join(' ')],
  [0x28, 'Enter Escape Backspace Tab Space Minus Equal BracketLeft BracketRight Backslash'],
  [0x33, 'Semicolon Quote Backquote Comma Period Slash CapsLock'],
  [0x3a, 'F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 PrintScreen ScrollLock Pause'],
  [0x49, 'Insert Home PageUp Delete End PageDown ArrowRight ArrowLeft ArrowDown ArrowUp NumLock'],
  [0x54, 'NumpadDivide NumpadMultiply NumpadSubtract NumpadAdd NumpadEnter'],
  [0x59, 'Numpad1 Numpad2 Numpad3 Numpad4 Numpad5 Numpad6 Numpad7 Numpad8 Numpad9 Numpad0 NumpadDecimal'],
  [0x64, 'IntlBackslash ContextMenu Power NumpadEqual'],
  [0x68, 'F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24'],
  [0x85, 'NumpadComma'],
  [0x87, 'IntlRo KanaMode IntlYen Convert NonConvert'],
  [0xe0, 'ControlLeft ShiftLeft AltLeft MetaLeft ControlRight ShiftRight AltRight MetaRight'],
]

const USAGES: ReadonlyMap<string, number> = new Map(
  RUNS.flatMap(([first, names]) => names.split(' ').map((name, i) => [name, first + i] as const)),
)

/**
 * Looks a key up.
 *
 * @returns its usage of the HID Keyboard/Keypad page
 * @throws DisplayError `ERR_OPTION` for a name that no key has
 *
 * Source: W3C, UI Events KeyboardEvent code Values; USB HID Usage Tables 1.12, "Keyboard/Keypad Page".
 */
export function keyUsage(name: KeyName): number {
  const usage = USAGES.get(name)
  if (usage !== undefined) return usage
  const examples = "'KeyA', 'Enter' or 'ArrowUp'"
  throw new DisplayError('ERR_OPTION', `key '${String(name)}': expected a name as in KeyboardEvent.code, ${examples}`)
}
