/** Which accesses a bridge passes on, at the first and last byte of its windows. Source: PCI-to-PCI Bridge 1.2, §3.2.5. */
import { describe, expect, test } from 'vitest'
import type { PciBridgeOptions } from '../src/index.ts'
import { PciBridge, type WindowKind } from '../src/host/pci-bridge.ts'

const COMMAND = 0x04

/** A bridge of some options whose configuration space has these bytes beside what it can do. */
function bridge(options: Partial<PciBridgeOptions>, bytes: Readonly<Record<number, number>>, command = 3): PciBridge {
  const config = new Uint8Array(256)
  const made = new PciBridge(config, { busName: 'lower', ...options })
  made.writeTo(config)
  config[COMMAND] = command
  for (const [register, value] of Object.entries(bytes)) config[Number(register)]! |= value
  return made
}

interface Row {
  readonly what: string
  readonly options?: Partial<PciBridgeOptions>
  readonly bytes: Readonly<Record<number, number>>
  readonly kind: WindowKind
  /** First and last byte of the window; null: nothing is passed on. */
  readonly window: readonly [number, number] | null
}

const ROWS: readonly Row[] = [
  { what: '16-bit ports', bytes: { 0x1c: 0xc0, 0x1d: 0xd0 }, kind: 'io', window: [0xc000, 0xdfff] },
  {
    what: '32-bit ports',
    options: { ioWindow: 32 },
    bytes: { 0x1c: 0xc0, 0x1d: 0xd0, 0x30: 2, 0x32: 3 },
    kind: 'io',
    window: [0x2_c000, 0x3_dfff],
  },
  {
    what: '16-bit ports with upper halves that do not count',
    bytes: { 0x1c: 0xc0, 0x1d: 0xd0, 0x30: 2, 0x32: 3 },
    kind: 'io',
    window: [0xc000, 0xdfff],
  },
  { what: 'no ports', options: { ioWindow: 'none' }, bytes: { 0x1d: 0xf0 }, kind: 'io', window: null },
  { what: 'ports that end before they begin', bytes: { 0x1c: 0xd0, 0x1d: 0xc0 }, kind: 'io', window: null },
  {
    what: 'memory',
    options: { prefetchableWindow: 'none' },
    bytes: { 0x20: 0x10, 0x21: 0xe0, 0x22: 0x30, 0x23: 0xe0 },
    kind: 'memory',
    window: [0xe010_0000, 0xe03f_ffff],
  },
  {
    what: 'prefetchable memory of 32 bits',
    options: { prefetchableWindow: 32 },
    bytes: { 0x20: 0xf0, 0x21: 0xff, 0x24: 0x10, 0x25: 0xe0, 0x26: 0x30, 0x27: 0xe0, 0x28: 1, 0x2c: 1 },
    kind: 'prefetchable',
    window: [0xe010_0000, 0xe03f_ffff],
  },
  {
    what: 'prefetchable memory of 64 bits',
    bytes: { 0x20: 0xf0, 0x21: 0xff, 0x24: 0x10, 0x25: 0xe0, 0x26: 0x30, 0x27: 0xe0, 0x28: 2, 0x2c: 3 },
    kind: 'prefetchable',
    window: [0x2_e010_0000, 0x3_e03f_ffff],
  },
]

describe.each(ROWS)('a window of $what', ({ options = {}, bytes, kind, window }) => {
  const passes = (base: number, count: number, command = 3): boolean =>
    bridge(options, bytes, command).forwards(kind, base, count)

  if (window === null) {
    test('passes nothing on', () => {
      for (const base of [0, 1, 0xc000, 0xcfff, 0xd000, 0xf000]) expect(passes(base, 1)).toBe(false)
    })
    return
  }
  const [first, last] = window

  test('passes its first and last byte on, and none beside', () => {
    const at = [first - 1, first, last, last + 1]
    expect(at.map((base) => passes(base, 1))).toEqual([false, true, true, false])
    expect([passes(first - 1, 2), passes(first, 2), passes(last - 1, 2), passes(last, 2)]).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect([passes(first, last - first + 1), passes(first, last - first + 2)]).toEqual([true, false])
  })

  test('is open while the command register says so', () => {
    expect([0, 1, 2, 3].map((command) => passes(first, 1, command))).toEqual(
      kind === 'io' ? [false, true, false, true] : [false, false, true, true],
    )
  })
})
