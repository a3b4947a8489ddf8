/** Base address registers and expansion ROMs, as the contract keeps them. */
import { describe, expect, test } from 'vitest'
import type { OwnedMemory, PciBarOptions } from '../src/index.ts'
import { COMMAND, config, ones, tree, type FakeRegion } from './support/pci.ts'

describe('a BAR', () => {
  const small = (index: number): PciBarOptions => ({ index, kind: 'io', bytes: 16, handler: ones })
  const wide = (index: number): PciBarOptions => ({ index, kind: 'memory64', bytes: 16, handler: ones })
  test.each([
    ['in a register that another one has', [small(1), small(1)]],
    ['in the upper half of a 64-bit one', [wide(2), small(3)]],
    ['of 64 bits whose upper half is taken', [small(3), wide(2)]],
    ['of 64 bits in the last register', [wide(5)]],
    ['below the first register', [small(-1)]],
    ['between two registers', [small(0.5)]],
  ])('%s is refused', (_where, bars) => {
    expect(() => tree().add({ bars })).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })

  test.each([
    { kind: 'io', bytes: 4, low: 0xffff_fffd },
    { kind: 'io', bytes: 256, low: 0xffff_ff01 },
    { kind: 'memory', bytes: 16, low: 0xffff_fff0 },
    { kind: 'memory', bytes: 2 ** 31, low: 0x8000_0000 },
    { kind: 'memory', bytes: 2 ** 32, low: 0 },
    { kind: 'memory64', bytes: 16, low: 0xffff_fff4, high: 0xffff_ffff },
    { kind: 'memory64', bytes: 2 ** 32, low: 4, high: 0xffff_ffff },
    { kind: 'memory64', bytes: 2 ** 40, low: 4, high: 0xffff_ff00 },
  ] as const)('says its size where ones are written: $kind, $bytes', ({ kind, bytes, low, ...row }) => {
    const { tree: made, add } = tree()
    add({ bars: [{ index: 0, kind, bytes, handler: ones }] })
    const { read, write } = config(made)
    for (const register of [0x10, 0x14]) write(register, 0xffff_ffff)
    expect([read(0x10) >>> 0, read(0x14) >>> 0]).toEqual([low, 'high' in row ? row.high : 0])
  })

  test.each([
    ['io', 2],
    ['io', 12],
    ['memory', 8],
    ['memory', 0],
    ['memory', 4097],
    ['memory64', 8],
  ] as const)('of kind %s has no %i bytes', (kind, bytes) => {
    expect(() => tree().add({ bars: [{ index: 0, kind, bytes, handler: ones }] })).toThrow(/power of two/)
  })

  test('passes what it says of its region on, and nothing that it does not say', () => {
    const { add, regions } = tree()
    const said = { maximumAccess: 8, minimumAccess: 2, priority: 3, buffered: true } as const
    add({ bars: [{ ...small(0), ...said }, small(1)] })
    const common = { disabled: true, kind: 'port', bytes: 16, handler: ones }
    expect(regions.map(({ bar }) => bar)).toEqual([{ ...said, ...common }, common])
    expect(Object.keys(regions[1]!.bar).sort()).toEqual(Object.keys(common).sort())
  })

  test.each([
    { kind: 'io', bytes: 32, last: 0xffc0 },
    { kind: 'memory', bytes: 0x1000, last: 0xffff_e000 },
  ] as const)('of kind $kind is decoded below the end of its addresses, not at 0 and not at the end', (row) => {
    const { kind, bytes, last } = row
    const { tree: made, add, regions } = tree()
    add({ bars: [{ index: 0, kind, bytes, handler: ones }] })
    const { write } = config(made)
    write(COMMAND, 3, 2)
    const decoded = [0, bytes, last, last + bytes].map((base) => {
      write(0x10, base)
      return [regions[0]!.enabled, regions[0]!.enabled ? regions[0]!.base : 0]
    })
    expect(decoded).toEqual([
      [false, 0],
      [true, bytes],
      [true, last],
      [false, 0],
    ])
  })

  test('of kind io has port 0 where nothing but PCI has ports; one of memory is never at 0', () => {
    const { tree: made, add, regions } = tree({ hasPortZero: () => true })
    add({
      bars: [
        { index: 0, kind: 'io', bytes: 32, handler: ones },
        { index: 1, kind: 'memory', bytes: 0x1000, handler: ones },
      ],
    })
    const { write } = config(made)
    write(COMMAND, 3, 2)
    expect(regions.map(({ enabled }) => enabled)).toEqual([true, false])
    write(0x10, 0x40)
    expect(regions[0]).toMatchObject({ enabled: true, base: 0x40 })
  })

  test('is left alone by writes of registers that do not move it', () => {
    const { tree: made, add, regions } = tree()
    add({ bars: [{ index: 0, kind: 'memory', bytes: 0x1000, handler: ones }] })
    const { write } = config(made)
    write(0x10, 0xe000_0000)
    write(COMMAND, 2, 2)
    const [region] = regions as [FakeRegion]
    const seen: string[] = []
    for (const name of ['enable', 'disable', 'move'] as const) Object.assign(region, { [name]: () => seen.push(name) })
    // The bus master bit, I/O decoding, the address that it has, and another BAR.
    write(COMMAND, 6, 2)
    write(COMMAND, 7, 2)
    write(0x10, 0xe000_0000)
    write(0x14, 0xd000_0000)
    expect(seen).toEqual([])
    write(0x10, 0xe100_0000)
    expect(seen).toEqual(['disable'])
  })

  test('of 64 bits leaves the registers around it to others', () => {
    expect(() => tree().add({ bars: [small(1), wide(2), small(4), small(5)] })).not.toThrow()
  })
})

test('an expansion ROM is decoded while memory decoding and its own enable bit are set (PCI Local Bus 3.0, §6.2.5.2)', () => {
  const { tree: made, add, regions } = tree()
  const rom = { name: 'rom', bytes: 0x1000 } as OwnedMemory
  add({ expansionRom: { memory: rom } })
  const { write } = config(made)
  const [region] = regions as [FakeRegion]
  const ROM = 0x30
  const decoded = [
    [0, 0xe000_0001],
    [2, 0xe000_0000],
    [2, 0xe000_0001],
    [0, 0xe000_0001],
  ].map(([command, address]) => {
    write(ROM, address as number)
    write(COMMAND, command as number, 2)
    return region.enabled
  })
  expect(decoded).toEqual([false, false, true, false])
  expect(region.base).toBe(0xe000_0000)
})

test.each([
  [2048, 0xffff_f801],
  [0x1000, 0xffff_f001],
  [2 ** 24, 0xff00_0001],
])('an expansion ROM of %i bytes says its size where ones are written', (bytes, size) => {
  const { tree: made, add } = tree()
  add({ expansionRom: { memory: { name: 'rom', bytes } as OwnedMemory } })
  const { read, write } = config(made)
  write(0x30, 0xffff_ffff)
  expect(read(0x30) >>> 0).toBe(size)
})

test.each([0, 1024, 3000, 2 ** 25])('an expansion ROM of %i bytes is refused', (bytes) => {
  expect(() => tree().add({ expansionRom: { memory: { name: 'rom', bytes } as OwnedMemory } })).toThrow(/power of two/)
})

test('a 64-bit BAR is decoded up to the end of 52-bit addresses, and not beyond', () => {
  const { tree: made, add, regions } = tree()
  add({ bars: [{ index: 0, kind: 'memory64', bytes: 0x1000, handler: ones }] })
  const { write } = config(made)
  const [region] = regions as [FakeRegion]
  write(COMMAND, 2, 2)
  const decoded = [0x1, 0x8_0000, 0xf_ffff, 0x10_0000, 0x1f_ffff].map((high) => {
    write(0x14, high)
    write(0x10, 0xe000_0000)
    return region.enabled
  })
  expect(decoded).toEqual([true, true, true, false, false])
})
