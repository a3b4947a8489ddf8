import { type KeyName, keyUsage } from '../input/keys.ts'
import type { KeyboardLayout } from '../input/layouts.ts'

/** The keys of successive keysyms, from the first; `-`: no key. */
type Run = readonly [first: number, names: string]

/** X11's keysyms that stand for no character. Source: X Protocol, appendix A, "KEYSYM Encoding". */
const KEYSYMS: readonly Run[] = [
  [0xfe03, 'AltRight'],
  [0xfe20, 'Tab'],
  [0xff08, 'Backspace Tab Enter - - Enter'],
  [0xff13, 'Pause ScrollLock PrintScreen'],
  [0xff1b, 'Escape'],
  [0xff50, 'Home ArrowLeft ArrowUp ArrowRight ArrowDown PageUp PageDown End'],
  [0xff61, 'PrintScreen - Insert'],
  [0xff67, 'ContextMenu'],
  [0xff6b, 'Pause'],
  [0xff7e, 'AltRight NumLock Space'],
  [0xff89, 'Tab'],
  [0xff8d, 'NumpadEnter'],
  [0xff95, 'Numpad7 Numpad4 Numpad8 Numpad6 Numpad2 Numpad9 Numpad3 Numpad1 Numpad5 Numpad0 NumpadDecimal'],
  [0xffaa, 'NumpadMultiply NumpadAdd NumpadComma NumpadSubtract NumpadDecimal NumpadDivide'],
  [0xffb0, 'Numpad0 Numpad1 Numpad2 Numpad3 Numpad4 Numpad5 Numpad6 Numpad7 Numpad8 Numpad9'],
  [0xffbd, 'NumpadEqual F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12'],
  [0xffca, 'F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24'],
  [0xffe1, 'ShiftLeft ShiftRight ControlLeft ControlRight CapsLock CapsLock AltLeft AltRight AltLeft AltRight'],
  [0xffeb, 'MetaLeft MetaRight'],
  [0xffff, 'Delete'],
]

/** Characters of keysyms that are no part of Latin-1: the euro sign, and dead keys. */
const CHARACTERS: ReadonlyMap<number, string> = new Map([
  [0x20ac, '€'],
  [0xfe50, '`'],
  [0xfe51, '´'],
  [0xfe52, '^'],
  [0xfe53, '~'],
  [0xfe57, '¨'],
])
const UNICODE_KEYSYMS = 0x100_0000
const LAST_CHARACTER = 0x10_ffff

/** Keys by their codes in scan code set 1, with bit 7 for those after the prefix 0xE0. */
const SCAN_CODES: readonly Run[] = [
  [0x01, 'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab'],
  [0x10, 'KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft'],
  [0x1e, 'KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash'],
  [0x2c, 'KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock'],
  [0x3b, 'F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract'],
  [0x4b, 'Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal PrintScreen'],
  [0x56, 'IntlBackslash F11 F12 NumpadEqual'],
  [0x64, 'F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23'],
  [0x70, 'KanaMode - - IntlRo - - F24'],
  [0x79, 'Convert - NonConvert - IntlYen NumpadComma'],
  [0x9c, 'NumpadEnter ControlRight'],
  [0xb5, 'NumpadDivide - PrintScreen AltRight'],
  [0xc6, 'Pause Home ArrowUp PageUp - ArrowLeft - ArrowRight - End ArrowDown PageDown Insert Delete'],
  [0xdb, 'MetaLeft MetaRight ContextMenu Power'],
]

function usages(runs: readonly Run[]): ReadonlyMap<number, number> {
  return new Map(
    runs.flatMap(([first, names]) =>
      names.split(' ').flatMap((name, i) => (name === '-' ? [] : [[first + i, keyUsage(name as KeyName)] as const])),
    ),
  )
}

const BY_KEYSYM = usages(KEYSYMS)
const BY_SCAN_CODE = usages(SCAN_CODES)

/** Returns the key of a keysym on a layout, as a usage of the HID Keyboard/Keypad page; undefined: none. */
export function keysymUsage(keysym: number, layout: KeyboardLayout): number | undefined {
  const known = BY_KEYSYM.get(keysym)
  if (known !== undefined) return known
  const mapped = CHARACTERS.get(keysym)
  if (mapped !== undefined) return layout.usageOf(mapped)
  if (keysym >= 0x20 && keysym <= 0xff) return layout.usageOf(String.fromCharCode(keysym))
  const point = keysym - UNICODE_KEYSYMS
  return point > 0 && point <= LAST_CHARACTER ? layout.usageOf(String.fromCodePoint(point)) : undefined
}

/** The key of a scan code of set 1, with bit 7 for the prefix 0xE0: the codes of QEMU's extended key events. */
export function scanCodeUsage(code: number): number | undefined {
  return BY_SCAN_CODE.get(code)
}
