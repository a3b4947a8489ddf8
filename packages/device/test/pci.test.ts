/** What the contract keeps of PCI beside: capabilities, and buses below bridges. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PciTree } from '../src/host/index.ts'
import type { PciFunction, PciFunctionOptions } from '../src/index.ts'
import { BUS_MASTER, COMMAND, config, ones, tree, type FakeRegion } from './support/pci.ts'

test('cache line size, latency timer and interrupt line keep what software writes, all bits of it', () => {
  const { tree: made, add } = tree()
  add({})
  const { read, write } = config(made)
  for (const [register, value] of [
    [0x0c, 0xa5],
    [0x0d, 0xff],
    [0x3c, 0xff],
  ] as const) {
    write(register, value, 1)
    expect([register, read(register, 1)]).toEqual([register, value])
  }
  // Header type and BIST, beside them, are not writable.
  write(0x0c, 0xffff_ffff)
  expect(read(0x0c) >>> 0).toBe(0x0000_ffff)
})

test('a function says what it is (PCI Local Bus 3.0, §6.2.1, "Device Identification")', () => {
  const { tree: made, add } = tree()
  const ids = { vendorId: 0x8086, deviceId: 0x9abc, classCode: 0xfe_dcba, revisionId: 0x87 }
  add({ ...ids, subsystemVendorId: 0x1af4, subsystemId: 0xf00d, interruptPin: 4 })
  add({ device: 4, vendorId: 1, deviceId: 2, classCode: 0x01_0203 })
  const { read } = config(made)
  expect([read(0), read(8), read(0x2c)].map((word) => word >>> 0)).toEqual([0x9abc_8086, 0xfedc_ba87, 0xf00d_1af4])
  expect([read(0x0e, 1), read(0x3d, 1), read(4), read(0x3c, 1)]).toEqual([0, 4, 0, 0])
  const plain = config(made, 4 << 3)
  expect([plain.read(0), plain.read(8), plain.read(0x2c), plain.read(0x3d, 1)]).toEqual([0x2_0001, 0x0102_0300, 0, 0])
})

describe('capabilities list (PCI Local Bus 3.0, §6.7)', () => {
  test('is linked in order: MSI, MSI-X, then the function’s own; extended ones from 0x100 on', () => {
    const { tree: made, add } = tree()
    const fn = add({
      extendedConfig: true,
      msi: { vectors: 1 },
      msix: { vectors: 1, table: { bar: 0 } },
      capabilities: [
        { id: 0x09, body: Uint8Array.of(8, 1, 2, 3, 4, 5), writable: Uint8Array.of(0, 0, 0xff, 0, 0, 0) },
        { id: 0x10, body: new Uint8Array(58), at: 0x80 },
        { id: 0x03, body: new Uint8Array(8), extendedVersion: 1 },
        { id: 0x0b, body: new Uint8Array(4), extendedVersion: 2 },
      ],
    })
    const { read, write } = config(made)
    const found: [number, number][] = []
    for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) found.push([at, read(at, 1)])
    expect(found).toEqual([
      [0x40, 0x05],
      [0x50, 0x11],
      [0x5c, 0x09],
      [0x80, 0x10],
    ])
    expect([read(0x100) >>> 0, read(0x10c) >>> 0]).toEqual([0x10c1_0003, 0x0002_000b])
    write(0x5e, 0xffff_ffff)
    expect(read(0x5e) >>> 0).toBe(0x03ff_0108)
    expect([fn.capability(0x09), fn.capability(0x0b), fn.capability(0x42)]).toEqual([0x5c, 0x10c, -1])
  })

  test('one that does not fit, or whose place is taken, is refused', () => {
    const body = new Uint8Array(100)
    const add = (...capabilities: PciFunctionOptions['capabilities'] & {}): PciFunction => tree().add({ capabilities })
    expect(() => add({ id: 1, body }, { id: 2, body })).toThrow(/no room/)
    expect(() => add({ id: 1, body, at: 0x42 })).toThrow(/multiple of 4/)
    expect(() => add({ id: 1, body, at: 0x40 }, { id: 2, body: new Uint8Array(2), at: 0x60 })).toThrow(/taken/)
    expect(() => tree().add({ writable: [[0x60, 1]], capabilities: [{ id: 1, body, at: 0x40 }] })).toThrow(/taken/)
  })
})

describe('a bridge (PCI-to-PCI Bridge 1.2)', () => {
  function bridged() {
    const made = tree()
    const root = made.add({ device: 2, classCode: 0x06_0400, bridge: { busName: 'lower' } })
    const fn = made.add({
      bus: 'lower',
      device: 5,
      interruptPin: 1,
      bars: [
        { index: 0, kind: 'memory', bytes: 4096, handler: ones },
        { index: 1, kind: 'io', bytes: 32, handler: ones },
        { index: 2, kind: 'memory64', bytes: 4096, handler: ones, prefetchable: true },
      ],
      msi: { vectors: 1 },
    })
    return { ...made, root, fn, bridge: config(made.tree, 2 << 3) }
  }

  test('has a type 1 header; what is below is reached by the bus numbers that the guest gives', () => {
    const { tree: made, bridge, fn } = bridged()
    expect(bridge.read(0x0e, 1)).toBe(1)
    expect(made.requesters()).toEqual([2 << 3])
    bridge.write(0x18, 0x0004_0400)
    expect(made.requesters()).toEqual([2 << 3, (4 << 8) | (5 << 3)])
    expect([fn.bus, fn.requester]).toEqual([4, (4 << 8) | (5 << 3)])
    expect(config(made, fn.requester).read(0) >>> 0).toBe(0x5678_1234)
    bridge.write(0x18, 0x0007_0700)
    expect(made.read((4 << 8) | (5 << 3), 0, 4)).toBe(0xffff_ffff)
    expect(config(made, (7 << 8) | (5 << 3)).read(0) >>> 0).toBe(0x5678_1234)
  })

  test('passes accesses on in its windows only, while it decodes', () => {
    const { tree: made, bridge, fn, regions } = bridged()
    bridge.write(0x18, 0x0001_0100)
    const child = config(made, (1 << 8) | (5 << 3))
    child.write(0x10, 0xe010_0000)
    child.write(0x14, 0xc000)
    child.write(0x18, 0x1000)
    child.write(0x1c, 0x10)
    child.write(COMMAND, 7, 2)
    const on = () => regions.map(({ enabled }) => enabled)
    expect(on()).toEqual([false, false, false])
    bridge.write(COMMAND, 7, 2)
    bridge.write(0x20, 0xe010_e010)
    expect(on()).toEqual([true, false, false])
    bridge.write(0x1c, 0xc0c0, 2)
    expect(on()).toEqual([true, true, false])
    bridge.write(0x24, 0x0000_0000)
    bridge.write(0x28, 0x10)
    bridge.write(0x2c, 0x10)
    expect(on()).toEqual([true, true, true])
    expect(regions[2]?.base).toBe(0x10_0000_1000)
    bridge.write(0x20, 0xe020_e020)
    expect(on()).toEqual([false, true, true])
    bridge.write(COMMAND, 0, 2)
    expect(on()).toEqual([false, false, false])
    expect(fn.bar(0)?.enabled).toBe(false)
  })

  test.each([
    { what: 'memory', register: 0x10, window: [0x20, 0xe020_e010], first: 0xe010_0000, last: 0xe02f_f000 },
    { what: 'I/O', register: 0x14, window: [0x1c, 0xd0c0], first: 0xc000, last: 0xdfe0 },
  ])('its $what window begins and ends at the byte', ({ register, window, first, last }) => {
    const { tree: made, bridge, fn, regions } = bridged()
    bridge.write(0x18, 0x0001_0100)
    bridge.write(COMMAND, 7, 2)
    // Nothing but this window is open.
    for (const closed of [0x1c, 0x20, 0x24]) bridge.write(closed, closed === 0x1c ? 0x00f0 : 0x0000_fff0, 4)
    bridge.write(...(window as [number, number]), window[0] === 0x1c ? 2 : 4)
    const child = config(made, fn.requester)
    child.write(COMMAND, 3, 2)
    const region = regions[(register - 0x10) / 4] as FakeRegion
    const bytes = region.length
    const on = [first - bytes, first, last, last + bytes].map((base) => {
      child.write(register, base)
      return region.enabled
    })
    expect(on).toEqual([false, true, true, false])
  })

  test.each([
    [1, [false, true]],
    [2, [true, false]],
    [3, [true, true]],
  ])('with command register %i it passes memory and I/O on: %j', (command, expected) => {
    const { tree: made, bridge, fn, regions } = bridged()
    bridge.write(0x18, 0x0001_0100)
    bridge.write(0x20, 0xe010_e010)
    bridge.write(0x1c, 0xc0c0, 2)
    const child = config(made, fn.requester)
    child.write(0x10, 0xe010_0000)
    child.write(0x14, 0xc000)
    child.write(COMMAND, 3, 2)
    bridge.write(COMMAND, command, 2)
    expect(regions.slice(0, 2).map(({ enabled }) => enabled)).toEqual(expected)
    // So does the function below.
    bridge.write(COMMAND, 3, 2)
    child.write(COMMAND, command, 2)
    expect(regions.slice(0, 2).map(({ enabled }) => enabled)).toEqual(expected)
  })

  test('a model that goes takes its own functions with it, and no others', () => {
    const { tree: made } = tree()
    const function_ = (owner: string, device: number): PciFunction =>
      made.add(owner, { device, vendorId: 1, deviceId: 2, classCode: 0 })
    function_('one', 1)
    function_('other', 2)
    function_('one', 3)
    made.remove('one', true)
    expect([made.requesters(), made.ownerAt(16), made.ownerAt(8)]).toEqual([[16], 'other', undefined])
    expect(() => function_('new', 1)).not.toThrow()
  })

  test('messages carry the number below, and pass while both may master the bus; pins are swizzled', () => {
    const { tree: made, bridge, fn, messages, lines } = bridged()
    bridge.write(0x18, 0x0001_0100)
    const child = config(made, (1 << 8) | (5 << 3))
    child.write(COMMAND, BUS_MASTER, 2)
    child.write(0x42, 1, 2)
    fn.messages?.signal(0)
    expect(messages).toEqual([])
    bridge.write(COMMAND, BUS_MASTER, 2)
    fn.messages?.signal(0)
    expect(messages).toEqual([[0, 0, (1 << 8) | (5 << 3)]])
    fn.interrupt?.set(true)
    // INTA of device 5 is INTB of the bridge.
    expect(lines).toEqual(['2 pin 2'])
  })

  test('resets what is below, and state is restored top down', () => {
    const first = bridged()
    first.bridge.write(0x18, 0x0001_0100)
    first.bridge.write(COMMAND, 7, 2)
    first.bridge.write(0x20, 0xe010_e010)
    const child = config(first.tree, (1 << 8) | (5 << 3))
    child.write(0x10, 0xe010_0000)
    child.write(COMMAND, 6, 2)
    const state = JSON.parse(JSON.stringify(first.tree.save())) as ReturnType<PciTree['save']>
    expect(Object.keys(state)).toEqual(['0:2.0', 'lower:5.0'])
    const second = bridged()
    second.tree.restore(state)
    expect(second.regions[0]).toMatchObject({ enabled: true, base: 0xe010_0000 })
    expect(second.tree.requesters()).toEqual(first.tree.requesters())
    second.bridge.write(0x3e, 0x40, 2)
    expect([child.read(COMMAND, 2), second.fn.bar(0)?.enabled]).toEqual([6, false])
    expect(() => second.tree.restore({ '0:9.0': state['0:2.0']! })).toThrow(/0:9\.0/)
  })

  test('below a bridge below a bridge, and an unknown bus', () => {
    const { tree: made, add } = bridged()
    add({ bus: 'lower', device: 1, bridge: { busName: 'lowest' } })
    add({ bus: 'lowest', device: 0 })
    config(made, 2 << 3).write(0x18, 0x0003_0100)
    config(made, (1 << 8) | (1 << 3)).write(0x18, 0x0002_0201)
    expect(made.requesters()).toContain(2 << 8)
    config(made, 2 << 3).write(0x18, 0x0001_0100)
    expect(made.requesters()).not.toContain(2 << 8)
    expect(() => add({ bus: 'nowhere', device: 0 })).toThrow(/nowhere/)
    expect(() => add({ device: 9, bridge: { busName: 'lower' } })).toThrow(/already/)
    expect(() => add({ device: 2 })).toThrow(/taken/)
  })
})

test.each([
  { ioWindow: undefined, io: 0xf0f0, upper: 0 },
  { ioWindow: 16, io: 0xf0f0, upper: 0 },
  { ioWindow: 32, io: 0xf1f1, upper: -1 },
  { ioWindow: 'none', io: 0, upper: 0 },
] as const)('a bridge with an I/O window $ioWindow says and keeps what it has', ({ ioWindow, io, upper }) => {
  const { tree: made, add } = tree()
  add({ device: 2, bridge: { busName: 'lower', ...(ioWindow !== undefined && { ioWindow }) } })
  const { read, write } = config(made, 2 << 3)
  for (const register of [0x1c, 0x1d]) write(register, 0xff, 1)
  write(0x30, -1)
  expect([read(0x1c, 2), read(0x30)]).toEqual([io, upper])
})

test.each([
  { prefetchableWindow: undefined, window: 0xfff1_fff1 | 0, upper: -1 },
  { prefetchableWindow: 64, window: 0xfff1_fff1 | 0, upper: -1 },
  { prefetchableWindow: 32, window: 0xfff0_fff0 | 0, upper: 0 },
  { prefetchableWindow: 'none', window: 0, upper: 0 },
] as const)('a bridge with a prefetchable window $prefetchableWindow says and keeps what it has', (row) => {
  const { prefetchableWindow, window, upper } = row
  const { tree: made, add } = tree()
  add({ device: 2, bridge: { busName: 'lower', ...(prefetchableWindow !== undefined && { prefetchableWindow }) } })
  const { read, write } = config(made, 2 << 3)
  for (const register of [0x20, 0x24, 0x28, 0x2c]) write(register, -1)
  expect([0x20, 0x24, 0x28, 0x2c].map((register) => read(register))).toEqual([0xfff0_fff0 | 0, window, upper, upper])
})

test('whatever a guest writes to configuration space and table, nothing throws and reads are stable', () => {
  const access = fc.tuple(fc.nat(0x3f), fc.constantFrom(1, 2, 4), fc.integer({ min: 0, max: 0xffff_ffff }))
  fc.assert(
    fc.property(
      fc.array(access, { maxLength: 40, size: 'max' }),
      fc.array(fc.nat(50), { maxLength: 5 }),
      (writes, vectors) => {
        const { tree: made, add, regions } = tree()
        add({ device: 2, bridge: { busName: 'lower', ioWindow: 32 } })
        const fn = add({
          bus: 'lower',
          msi: { vectors: 32, masking: true },
          msix: { vectors: 9, table: { bar: 0 } },
          bars: [{ index: 2, kind: 'memory64', bytes: 1 << 20, handler: ones }],
        })
        for (const [register, size, value] of writes) {
          made.write(2 << 3, register, size, value)
          made.write(fn.requester, 2 * register, size, value)
          void regions[1]?.bar.handler?.write((4 * register) % 256, 4, value)
          for (const vector of vectors) fn.messages?.signal(vector)
        }
        const state = made.save()
        made.restore(JSON.parse(JSON.stringify(state)) as typeof state)
        expect(made.save()).toEqual(state)
      },
    ),
    { numRuns: 300, seed: 20_261_120 },
  )
})
