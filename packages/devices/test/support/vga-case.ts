/**
 * Random sequences of accesses to a VGA, in parts on which QEMU 7.2 and IBM's manual agree. Where they differ, the model
 * follows the manual, and a case keeps away:
 *
 * - Odd/even and chain-4 modes of QEMU 7.2 pass by latches, arithmetic unit and write modes.
 * - It ignores panning, blinking, underlines, preset row scan, and the DAC's pixel mask.
 * - It masks planes before the dots of CGA modes are made of them.
 * - After another mode of DISPI, its mode of 16 colours has chained memory.
 * - It repeats the eighth dot of characters from 0xB0 on; the manual says from 0xC0 on.
 */

/** One access; `value` is what is written, undefined for a read. */
export interface VgaAccess {
  readonly kind: 'port' | 'memory' | 'dispi'
  readonly address: number
  readonly size: 1 | 2 | 4
  readonly value?: number
  /** What a read gives is not compared. */
  readonly ignored?: boolean
}

/** A number from 0 to `bound` − 1. */
export type Draw = (bound: number) => number

const WINDOW = 0xa_0000
const CRTC = 0x3d4
const PARTS = [
  [0, 0x2_0000],
  [0, 0x1_0000],
  [0x1_0000, 0x8000],
  [0x1_8000, 0x8000],
] as const

/** Collects the accesses of a case. */
class Sequence {
  readonly accesses: VgaAccess[] = []

  out(port: number, value: number): void {
    this.accesses.push({ kind: 'port', address: port, size: 1, value })
  }

  in(port: number, ignored = false): void {
    this.accesses.push({ kind: 'port', address: port, size: 1, ignored })
  }

  indexed(port: number, index: number, value: number): void {
    this.out(port, index)
    this.out(port + 1, value)
  }

  attribute(index: number, value: number): void {
    this.in(0x3da, true)
    this.out(0x3c0, index)
    this.out(0x3c0, value)
  }

  dispi(index: number, value: number): void {
    this.accesses.push({ kind: 'dispi', address: index, size: 2, value })
  }

  memory(draw: Draw, offset: number, write: boolean): void {
    const size = ([1, 1, 2, 4] as const)[draw(4)]!
    const value = write ? { value: draw(2 ** 31) % 2 ** (8 * size) } : {}
    this.accesses.push({ kind: 'memory', address: WINDOW + offset, size, ...value })
  }
}

const CLOSE = 64

/** An offset: half of them lie close together, so that what was written is read. */
function place(draw: Draw, bytes: number): number {
  return draw(draw(2) === 0 ? CLOSE : bytes)
}

interface Shape {
  readonly columns: number
  readonly lines: number
}

/** Sets a picture's size: from 64 to 320 dots, from 16 to 143 lines. */
function shape(s: Sequence, draw: Draw, scan: number, text: boolean): Shape {
  const columns = 8 + draw(32)
  const lines = (scan + 1) * (1 + draw(Math.max(1, Math.floor(128 / (scan + 1)))))
  // A line compare between rows; text has none.
  const repeats = text ? 0 : scan + 1
  const split = repeats === 0 || draw(3) !== 0 ? 0x3ff : repeats * (1 + draw(10)) - 1
  const end = lines - 1
  s.indexed(CRTC, 0x11, 0)
  s.indexed(CRTC, 0, 95)
  s.indexed(CRTC, 1, columns - 1)
  s.indexed(CRTC, 6, 0xbf)
  s.indexed(CRTC, 7, ((end >> 7) & 2) | ((end >> 3) & 0x40) | ((split >> 4) & 0x10))
  s.indexed(CRTC, 8, 0)
  s.indexed(CRTC, 9, scan | ((split >> 3) & 0x40))
  s.indexed(CRTC, 0x0a, 0x20)
  s.indexed(CRTC, 0x0c, draw(8))
  s.indexed(CRTC, 0x0d, draw(256))
  s.indexed(CRTC, 0x12, end & 0xff)
  s.indexed(CRTC, 0x13, 1 + draw(48))
  s.indexed(CRTC, 0x14, 0)
  s.indexed(CRTC, 0x18, split & 0xff)
  return { columns, lines }
}

/** @param masked - some planes may be hidden */
function colours(s: Sequence, draw: Draw, mode: number, masked: boolean): void {
  for (let i = 0; i < 16; i++) s.attribute(i, draw(64))
  s.attribute(0x10, mode | (draw(4) === 0 ? 0x80 : 0))
  s.attribute(0x12, masked && draw(2) === 0 ? draw(16) : 15)
  s.attribute(0x13, 0)
  s.attribute(0x14, draw(16))
  s.in(0x3da, true)
  s.out(0x3c0, 0x20)
  s.out(0x3c6, 0xff)
  s.out(0x3c8, draw(256))
  for (let i = 0; i < 3 * 40; i++) s.out(0x3c9, draw(64))
}

/** Registers that a case leaves alone are what they are after a reset. */
function start(s: Sequence): void {
  s.dispi(4, 0)
  s.dispi(5, 0)
  s.out(0x3c2, 0x63)
  s.indexed(0x3c4, 1, 1)
  s.indexed(0x3c4, 3, 0)
}

/** Registers of the graphics controller for plain bytes. */
function plain(s: Sequence, mode: number): void {
  for (const index of [0, 1, 2, 3, 4, 7]) s.indexed(0x3ce, index, 0)
  s.indexed(0x3ce, 5, mode)
  s.indexed(0x3ce, 8, 0xff)
}

/** Every write mode and read mode of four planes. */
function planar(s: Sequence, draw: Draw, from: number, bytes: number): void {
  s.indexed(0x3c4, 4, 6)
  for (let i = 0; i < 60; i++) {
    const chosen = draw(12)
    if (chosen === 0) s.indexed(0x3c4, 2, draw(16))
    else if (chosen === 1) s.indexed(0x3ce, 5, draw(4) | (draw(2) << 3))
    else if (chosen < 5) {
      const index = ([0, 1, 2, 3, 4, 7, 8] as const)[draw(7)]!
      s.indexed(0x3ce, index, draw(256))
      s.in(0x3cf)
    } else s.memory(draw, from + place(draw, bytes), draw(3) !== 0)
  }
}

function fill(s: Sequence, draw: Draw, from: number, bytes: number): void {
  for (let at = 0; at < bytes; at += 4) {
    s.accesses.push({ kind: 'memory', address: WINDOW + from + at, size: 4, value: draw(2 ** 31) * 2 + draw(2) })
  }
}

function readPlanes(s: Sequence, draw: Draw, from: number, bytes: number): void {
  s.indexed(0x3c4, 4, 6)
  for (let plane = 0; plane < 4; plane++) {
    plain(s, 0)
    s.indexed(0x3ce, 4, plane)
    for (let i = 0; i < 20; i++) s.memory(draw, from + draw(bytes), false)
  }
}

function planarCase(s: Sequence, draw: Draw): void {
  const map = draw(4)
  const [from, length] = PARTS[map]!
  const scan = draw(3)
  shape(s, draw, scan, false)
  s.indexed(CRTC, 0x17, 0xe3)
  s.indexed(0x3c4, 1, draw(4) === 0 ? 9 : 1)
  colours(s, draw, 1, true)
  s.indexed(0x3ce, 6, 1 | (map << 2))
  const bytes = Math.min(length - 4, 0x4000)
  plain(s, 0)
  s.indexed(0x3c4, 4, 6)
  // Latches of zeros would hide what the arithmetic unit does.
  for (let plane = 0; plane < 4; plane++) {
    s.indexed(0x3c4, 2, 1 << plane)
    fill(s, draw, from, CLOSE)
  }
  s.indexed(0x3c4, 2, 15)
  s.memory(draw, from, false)
  planar(s, draw, from, bytes)
  // Outside of the part there is nothing.
  s.memory(draw, draw(0x2_0000 - 4), false)
  s.memory(draw, draw(0x2_0000 - 4), true)
  readPlanes(s, draw, from, bytes)
}

function oddEvenCase(s: Sequence, draw: Draw, graphics: boolean): void {
  const scan = graphics ? 1 : 7 + draw(9)
  shape(s, draw, scan, !graphics)
  s.indexed(CRTC, 0x17, graphics ? 0xa2 : 0xa3)
  s.indexed(CRTC, 0x18, 0xff)
  s.indexed(CRTC, 7, 0x10)
  s.indexed(CRTC, 9, graphics ? 0xc1 : 0x40 | scan)
  const eight = graphics || draw(2) === 0
  s.indexed(0x3c4, 1, (eight ? 1 : 0) | (graphics && draw(2) === 0 ? 8 : 0))
  colours(s, draw, graphics ? 1 : draw(2) << 2, false)
  // Of nine dots none is panned away by 8.
  if (!eight) {
    s.attribute(0x13, 8)
    s.in(0x3da, true)
    s.out(0x3c0, 0x20)
  }
  // Fonts, in plane 2.
  s.indexed(0x3ce, 6, 4)
  plain(s, 0)
  s.indexed(0x3c4, 4, 6)
  s.indexed(0x3c4, 2, 4)
  s.memory(draw, 0, false)
  fill(s, draw, 0x4000 * draw(4), 0x400)
  s.indexed(0x3c4, 3, draw(64))
  const high = graphics && draw(3) === 0
  s.indexed(0x3c4, 4, 2)
  plain(s, graphics ? 0x30 : 0x10)
  s.indexed(0x3c4, 2, high ? 12 : 3)
  s.indexed(0x3ce, 4, high ? 2 : 0)
  s.indexed(0x3ce, 6, graphics ? 0x0f : 0x0e)
  if (!graphics) {
    s.indexed(CRTC, 0x0c, 0)
    fillText(s, draw)
    return
  }
  for (let i = 0; i < 300; i++) s.memory(draw, 0x1_8000 + place(draw, 0x7ffc), draw(4) !== 0)
}

/** Fills all that can be seen with characters that both draw alike, and random attributes. */
function fillText(s: Sequence, draw: Draw): void {
  const cell = (): number => (0xc0 + draw(0x40)) | (draw(256) << 8)
  for (let at = 0; at < 0xf00; at += 4) {
    s.accesses.push({ kind: 'memory', address: WINDOW + 0x1_8000 + at, size: 4, value: cell() + cell() * 0x1_0000 })
  }
}

function chainedCase(s: Sequence, draw: Draw): void {
  shape(s, draw, draw(3), false)
  s.indexed(CRTC, 0x14, 0x40)
  s.indexed(CRTC, 0x17, 0xa3)
  colours(s, draw, 0x41, false)
  s.indexed(0x3c4, 4, 0x0e)
  s.indexed(0x3c4, 2, 15)
  plain(s, 0x40)
  s.indexed(0x3ce, 6, 5)
  // More accesses than are trapped.
  for (let i = 0; i < 150; i++) s.memory(draw, place(draw, 0xfffc), draw(4) !== 0)
  s.indexed(0x3c4, 2, 1 + draw(15))
  for (let i = 0; i < 50; i++) s.memory(draw, place(draw, 0xfffc), draw(4) !== 0)
  if (draw(2) === 0) return
  // Unchained, as mode X has it.
  plain(s, 0x40)
  readPlanes(s, draw, 0, 0x4000)
  s.indexed(0x3ce, 5, 0x40)
  for (let i = 0; i < 60; i++) {
    s.indexed(0x3c4, 2, draw(16))
    s.memory(draw, draw(0x2000), true)
  }
}

function dispiCase(s: Sequence, draw: Draw): void {
  colours(s, draw, 0x41, false)
  const bits = ([8, 15, 16, 24, 32] as const)[draw(5)]!
  s.dispi(1, 8 * (1 + draw(30)))
  s.dispi(2, 1 + draw(120))
  s.dispi(3, bits)
  s.dispi(4, 0x41 | (draw(2) === 0 ? 0x20 : 0) | (draw(2) === 0 ? 0x80 : 0))
  for (let i = 0; i < 3; i++) {
    s.dispi(6, draw(600))
    // QEMU's picture begins at a whole word.
    s.dispi(8, draw(64) & ~3)
    s.dispi(9, draw(64))
    // More rows than a register can say: QEMU keeps the low bits.
    for (let at = 0; at <= 10; at++) s.accesses.push({ kind: 'dispi', address: at, size: 2, ignored: at === 7 })
  }
  for (let i = 0; i < 250; i++) {
    if (i % 100 === 0) s.dispi(5, draw(4))
    s.memory(draw, place(draw, 0xfffc), draw(4) !== 0)
  }
  s.dispi(5, 0)
  for (let i = 0; i < 200; i++) s.memory(draw, draw(0x4000), true)
}

function readRegisters(s: Sequence): void {
  for (const index of [1, 2, 3, 4]) {
    s.out(0x3c4, index)
    s.in(0x3c5)
  }
  for (let index = 0; index < 0x19; index++) {
    s.out(CRTC, index)
    s.in(CRTC + 1)
  }
}

export function vgaCase(draw: Draw): readonly VgaAccess[] {
  const s = new Sequence()
  start(s)
  const kinds = [
    () => planarCase(s, draw),
    () => planarCase(s, draw),
    () => oddEvenCase(s, draw, true),
    () => oddEvenCase(s, draw, false),
    () => chainedCase(s, draw),
    () => dispiCase(s, draw),
  ]
  const kind = draw(kinds.length)
  kinds[kind]!()
  // QEMU changes registers in its modes of DISPI.
  if (kind < kinds.length - 1) readRegisters(s)
  s.in(0x3cc)
  s.out(0x3c7, draw(256))
  for (let i = 0; i < 9; i++) s.in(0x3c9)
  s.in(0x3da, true)
  return s.accesses
}
