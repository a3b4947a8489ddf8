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
