// The codes of the keys against tables of sets 1 and 3, which were written down apart from that of set 2.
import { expect, test } from 'vitest'
import { EXTENDED, KEY_BREAKS, KEY_REPEATS, SET_2, SET_3, SET_3_DEFAULTS, translate } from '../../src/ps2/scan-codes.ts'

/** Numbers of a text such as `28:1c`, in hexadecimal. */
const pairs = (text: string): ReadonlyMap<number, number> =>
  new Map(text.split(/\s+/).map((pair) => pair.split(':').map((number) => parseInt(number, 16)) as [number, number]))

// By usage, the code in set 1; 80 is added to those behind E0. IBM PS/2 Hardware Interface Technical Reference, "Keyboards".
const SET_1 =
  pairs(`04:1e 05:30 06:2e 07:20 08:12 09:21 0a:22 0b:23 0c:17 0d:24 0e:25 0f:26 10:32 11:31 12:18 13:19 14:10 15:13
  16:1f 17:14 18:16 19:2f 1a:11 1b:2d 1c:15 1d:2c 1e:02 1f:03 20:04 21:05 22:06 23:07 24:08 25:09 26:0a 27:0b
  28:1c 29:01 2a:0e 2b:0f 2c:39 2d:0c 2e:0d 2f:1a 30:1b 31:2b 33:27 34:28 35:29 36:33 37:34 38:35 39:3a 3a:3b
  3b:3c 3c:3d 3d:3e 3e:3f 3f:40 40:41 41:42 42:43 43:44 44:57 45:58 47:46 49:d2 4a:c7 4b:c9 4c:d3 4d:cf 4e:d1
  4f:cd 50:cb 51:d0 52:c8 53:45 54:b5 55:37 56:4a 57:4e 58:9c 59:4f 5a:50 5b:51 5c:4b 5d:4c 5e:4d 5f:47 60:48
  61:49 62:52 63:53 64:56 65:dd 66:de 67:59 68:64 69:65 6a:66 6b:67 6c:68 6d:69 6e:6a 6f:6b 70:6c 71:6d 72:6e
  73:76 85:7e 87:73 88:70 89:7d 8a:79 8b:7b e0:1d e1:2a e2:38 e3:db e4:9d e5:36 e6:b8 e7:dc`)

// By usage, the code in set 3, of the keys that are no letters and digits. The same, "Scan Code Set 3".
const OF_SET_3 = pairs(`28:5a 29:08 2a:66 2b:0d 2c:29 2d:4e 2e:55 2f:54 30:5b 31:5c 32:53 33:4c 34:52 35:0e 36:41 37:49
  38:4a 39:14 3a:07 3b:0f 3c:17 3d:1f 3e:27 3f:2f 40:37 41:3f 42:47 43:4f 44:56 45:5e 46:57 47:5f 48:62 49:67 4a:6e 4b:6f
  4c:64 4d:65 4e:6d 4f:6a 50:61 51:60 52:63 53:76 54:77 55:7e 56:84 57:7c 58:79 59:69 5a:72 5b:7a 5c:6b 5d:73 5e:74 5f:6c
  60:75 61:7d 62:70 63:71 64:13 65:8d e0:11 e1:12 e2:19 e3:8b e4:58 e5:59 e6:39 e7:8c`)

test('set 2, as the controller translates it, is set 1', () => {
  for (let usage = 0; usage < 0x100; usage++) {
    const code = SET_2[usage]!
    const translated = code === 0 ? undefined : translate(code & 0xff) + ((code & EXTENDED) === 0 ? 0 : 0x80)
    // The key left of Enter on 102-key keyboards has the code of the one above it.
    const expected = usage === 0x32 ? SET_1.get(0x31) : SET_1.get(usage)
    expect([usage.toString(16), translated]).toEqual([usage.toString(16), expected])
  }
})

test('every byte below 0x80 has a translation of its own, and others pass', () => {
  const all = Array.from({ length: 0x80 }, (_, byte) => translate(byte))
  expect(new Set(all).size).toBe(0x80)
  expect(all.filter((byte) => byte >= 0x80)).toEqual([0xff])
  for (let byte = 0x80; byte < 0x100; byte++) {
    expect(translate(byte)).toBe(byte === 0x83 ? 0x41 : byte === 0x84 ? 0x54 : byte)
  }
})

test('set 3 has the codes of its table; letters and digits have those of set 2', () => {
  for (let usage = 0; usage < 0x100; usage++) {
    const isLetter = usage >= 4 && usage <= 0x27
    expect([usage, SET_3[usage]]).toEqual([usage, isLetter ? SET_2[usage] : (OF_SET_3.get(usage) ?? 0)])
  }
})

test('keys of set 3 repeat, tell of their release, or neither', () => {
  const usages = (kind: number): number[] =>
    Array.from({ length: 0x100 }, (_, usage) => usage).filter(
      (usage) => SET_3[usage] !== 0 && SET_3_DEFAULTS[SET_3[usage]!] === kind,
    )
  // Caps Lock, the application key, and those that are held with others, but the right Control and Alt.
  expect(usages(KEY_BREAKS)).toEqual([0x39, 0x65, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe7])
  // Letters and digits; Backspace, Tab, Space and signs; Delete, the arrows, the keypad's plus, and the 102nd key.
  expect(usages(KEY_REPEATS)).toEqual([
    ...Array.from({ length: 0x25 }, (_, i) => 4 + i),
    ...Array.from({ length: 0x0f }, (_, i) => 0x2a + i),
    ...[0x4c, 0x4f, 0x50, 0x51, 0x52, 0x57, 0x64],
  ])
})
