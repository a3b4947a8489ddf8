// Which key a client means: by X11's keysyms, one by one, and by the codes of scan code set 1.
import { describe, expect, test } from 'vitest'
import { type KeyName, keyUsage } from '../../src/input/keys.ts'
import { KeyboardLayout } from '../../src/input/layouts.ts'
import { keysymUsage, scanCodeUsage } from '../../src/vnc/client-keys.ts'

const US = new KeyboardLayout('us')

/** Numbers of a text such as `28 Enter`, in hexadecimal, and the names behind them. */
const pairs = (text: string): readonly (readonly [number, KeyName])[] =>
  [...text.matchAll(/([0-9a-f]+) ([A-Z]\w*)/g)].map(([, code, name]) => [parseInt(code!, 16), name as KeyName])

// USB HID Usage Tables 1.12, table 12, beside the names that UI Events gives them.
const HID = pairs(`
  4 KeyA 5 KeyB 6 KeyC 7 KeyD 8 KeyE 9 KeyF a KeyG b KeyH c KeyI d KeyJ e KeyK f KeyL 10 KeyM 11 KeyN 12 KeyO 13 KeyP
  14 KeyQ 15 KeyR 16 KeyS 17 KeyT 18 KeyU 19 KeyV 1a KeyW 1b KeyX 1c KeyY 1d KeyZ 1e Digit1 1f Digit2 20 Digit3
  21 Digit4 22 Digit5 23 Digit6 24 Digit7 25 Digit8 26 Digit9 27 Digit0 28 Enter 29 Escape 2a Backspace 2b Tab 2c Space
  2d Minus 2e Equal 2f BracketLeft 30 BracketRight 31 Backslash 33 Semicolon 34 Quote 35 Backquote 36 Comma 37 Period
  38 Slash 39 CapsLock 3a F1 3b F2 3c F3 3d F4 3e F5 3f F6 40 F7 41 F8 42 F9 43 F10 44 F11 45 F12 46 PrintScreen
  47 ScrollLock 48 Pause 49 Insert 4a Home 4b PageUp 4c Delete 4d End 4e PageDown 4f ArrowRight 50 ArrowLeft
  51 ArrowDown 52 ArrowUp 53 NumLock 54 NumpadDivide 55 NumpadMultiply 56 NumpadSubtract 57 NumpadAdd 58 NumpadEnter
  59 Numpad1 5a Numpad2 5b Numpad3 5c Numpad4 5d Numpad5 5e Numpad6 5f Numpad7 60 Numpad8 61 Numpad9 62 Numpad0
  63 NumpadDecimal 64 IntlBackslash 65 ContextMenu 66 Power 67 NumpadEqual 68 F13 69 F14 6a F15 6b F16 6c F17 6d F18
  6e F19 6f F20 70 F21 71 F22 72 F23 73 F24 85 NumpadComma 87 IntlRo 88 KanaMode 89 IntlYen 8a Convert 8b NonConvert
  e0 ControlLeft e1 ShiftLeft e2 AltLeft e3 MetaLeft e4 ControlRight e5 ShiftRight e6 AltRight e7 MetaRight`)

// X11's keysymdef.h, beside the key that has each on a PC's keyboard.
const KEYSYMS = pairs(`
  fe03 AltRight fe20 Tab ff08 Backspace ff09 Tab ff0a Enter ff0d Enter ff13 Pause ff14 ScrollLock ff15 PrintScreen
  ff1b Escape ff50 Home ff51 ArrowLeft ff52 ArrowUp ff53 ArrowRight ff54 ArrowDown ff55 PageUp ff56 PageDown ff57 End
  ff61 PrintScreen ff63 Insert ff67 ContextMenu ff6b Pause ff7e AltRight ff7f NumLock ff80 Space ff89 Tab
  ff8d NumpadEnter ff95 Numpad7 ff96 Numpad4 ff97 Numpad8 ff98 Numpad6 ff99 Numpad2 ff9a Numpad9 ff9b Numpad3
  ff9c Numpad1 ff9d Numpad5 ff9e Numpad0 ff9f NumpadDecimal ffaa NumpadMultiply ffab NumpadAdd ffac NumpadComma
  ffad NumpadSubtract ffae NumpadDecimal ffaf NumpadDivide ffb0 Numpad0 ffb1 Numpad1 ffb2 Numpad2 ffb3 Numpad3
  ffb4 Numpad4 ffb5 Numpad5 ffb6 Numpad6 ffb7 Numpad7 ffb8 Numpad8 ffb9 Numpad9 ffbd NumpadEqual ffbe F1 ffbf F2
  ffc0 F3 ffc1 F4 ffc2 F5 ffc3 F6 ffc4 F7 ffc5 F8 ffc6 F9 ffc7 F10 ffc8 F11 ffc9 F12 ffca F13 ffcb F14 ffcc F15
  ffcd F16 ffce F17 ffcf F18 ffd0 F19 ffd1 F20 ffd2 F21 ffd3 F22 ffd4 F23 ffd5 F24 ffe1 ShiftLeft ffe2 ShiftRight
  ffe3 ControlLeft ffe4 ControlRight ffe5 CapsLock ffe6 CapsLock ffe7 AltLeft ffe8 AltRight ffe9 AltLeft ffea AltRight
  ffeb MetaLeft ffec MetaRight ffff Delete`)

// IBM PS/2 Hardware Interface Technical Reference, "Keyboards", scan code set 1; 80 is added to those behind E0.
const SCAN_CODES = pairs(`
  1 Escape 2 Digit1 3 Digit2 4 Digit3 5 Digit4 6 Digit5 7 Digit6 8 Digit7 9 Digit8 a Digit9 b Digit0 c Minus d Equal
  e Backspace f Tab 10 KeyQ 11 KeyW 12 KeyE 13 KeyR 14 KeyT 15 KeyY 16 KeyU 17 KeyI 18 KeyO 19 KeyP 1a BracketLeft
  1b BracketRight 1c Enter 1d ControlLeft 1e KeyA 1f KeyS 20 KeyD 21 KeyF 22 KeyG 23 KeyH 24 KeyJ 25 KeyK 26 KeyL
  27 Semicolon 28 Quote 29 Backquote 2a ShiftLeft 2b Backslash 2c KeyZ 2d KeyX 2e KeyC 2f KeyV 30 KeyB 31 KeyN 32 KeyM
  33 Comma 34 Period 35 Slash 36 ShiftRight 37 NumpadMultiply 38 AltLeft 39 Space 3a CapsLock 3b F1 3c F2 3d F3 3e F4
  3f F5 40 F6 41 F7 42 F8 43 F9 44 F10 45 NumLock 46 ScrollLock 47 Numpad7 48 Numpad8 49 Numpad9 4a NumpadSubtract
  4b Numpad4 4c Numpad5 4d Numpad6 4e NumpadAdd 4f Numpad1 50 Numpad2 51 Numpad3 52 Numpad0 53 NumpadDecimal
  54 PrintScreen 56 IntlBackslash 57 F11 58 F12 59 NumpadEqual 64 F13 65 F14 66 F15 67 F16 68 F17 69 F18 6a F19 6b F20
  6c F21 6d F22 6e F23 70 KanaMode 73 IntlRo 76 F24 79 Convert 7b NonConvert 7d IntlYen 7e NumpadComma 9c NumpadEnter
  9d ControlRight b5 NumpadDivide b7 PrintScreen b8 AltRight c6 Pause c7 Home c8 ArrowUp c9 PageUp cb ArrowLeft
  cd ArrowRight cf End d0 ArrowDown d1 PageDown d2 Insert d3 Delete db MetaLeft dc MetaRight dd ContextMenu de Power`)

describe('keys by number', () => {
  test.each(HID)('usage %i is %s', (usage, name) => expect(keyUsage(name)).toBe(usage))

  test('each keysym that is no character has its key, and no other has one', () => {
    const known = new Map(KEYSYMS)
    // Dead keys stand for characters.
    const dead = [0xfe50, 0xfe51, 0xfe52, 0xfe53, 0xfe57]
    for (let keysym = 0xfd00; keysym <= 0x1_0010; keysym++) {
      if (dead.includes(keysym)) continue
      const name = known.get(keysym)
      const usage = name === undefined ? undefined : keyUsage(name)
      expect([keysym, keysymUsage(keysym, US)]).toEqual([keysym, usage])
    }
  })

  test('each scan code has its key, and no other has one', () => {
    const known = new Map(SCAN_CODES)
    for (let code = 0; code <= 0x1ff; code++) {
      const name = known.get(code)
      expect([code, scanCodeUsage(code)]).toEqual([code, name === undefined ? undefined : keyUsage(name)])
    }
  })

  test('a character is the key that has it, as Latin-1 or as Unicode', () => {
    const german = new KeyboardLayout('de')
    for (let code = 0; code < 0x120; code++) {
      const usage = german.usageOf(String.fromCharCode(code))
      expect([code, keysymUsage(code, german)]).toEqual([code, code >= 0x20 && code <= 0xff ? usage : undefined])
      expect([code, keysymUsage(0x100_0000 + code, german)]).toEqual([code, code > 0 ? usage : undefined])
    }
    const key = (keysym: number, layout: KeyboardLayout = german) => keysymUsage(keysym, layout)
    expect([key(0x20ac), key(0x100_20ac)]).toEqual([keyUsage('KeyE'), keyUsage('KeyE')])
    expect([0xfe50, 0xfe51, 0xfe52, 0xfe53].map((keysym) => key(keysym))).toEqual(
      (['Equal', 'Equal', 'Backquote', 'BracketRight'] as const).map(keyUsage),
    )
    expect(key(0xfe57, new KeyboardLayout('fr'))).toBe(keyUsage('BracketLeft'))
    expect([key(0x110_ffff), key(0x111_0000), key(0xffff_ffff)]).toEqual([undefined, undefined, undefined])
  })
})
