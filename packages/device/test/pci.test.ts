/** What the contract keeps of PCI: message interrupts, capabilities, expansion ROMs, and buses below bridges. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PciTree, type BarRegion } from '../src/host/index.ts'
import {
  DeviceError,
  type OwnedMemory,
  type PciBarOptions,
  type PciFunction,
  type PciFunctionOptions,
  type RangeHandler,
  type Region,
} from '../src/index.ts'

interface FakeRegion extends Region {
  readonly bar: BarRegion
}

/** A tree of functions over regions that only remember. */
function tree() {
  const messages: [address: number, data: number, requester: number][] = []
  const regions: FakeRegion[] = []
  const lines: string[] = []
  const made = new PciTree({
    mapBar(_device, bar) {
      const region = {
        kind: bar.kind,
        base: 0,
        length: bar.bytes,
        enabled: false,
        bar,
        enable: () => void (region.enabled = true),
        disable: () => void (region.enabled = false),
        move: (base: number) => void (region.base = base),
        unmap: () => void (region.enabled = false),
      }
      regions.push(region)
      return region
    },
    wire: (device, pin) => ({
      set: (level) => void (level && lines.push(`${device} pin ${pin}`)),
      pulse: () => {},
    }),
    signalMsi: (address, data, requester) => void messages.push([address, data, requester]),
    changed: () => {},
  })
  const add = (options: Partial<PciFunctionOptions>): PciFunction =>
    made.add('card', { device: 3, vendorId: 0x1234, deviceId: 0x5678, classCode: 0x02_0000, ...options })
  return { tree: made, add, messages, regions, lines }
}

const ID = 3 << 3
const COMMAND = 4
const BUS_MASTER = 4
const ones: RangeHandler = { read: () => 0xffff_ffff, write: () => {} }

/** Configuration accesses to one function. */
function config(made: PciTree, id = ID) {
  return {
    read: (register: number, size = 4) => made.read(id, register, size) & (size === 4 ? -1 : 2 ** (8 * size) - 1),
    write: (register: number, value: number, size = 4) => made.write(id, register, size, value),
  }
}

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

  test('of 64 bits leaves the registers around it to others', () => {
    expect(() => tree().add({ bars: [small(1), wide(2), small(4), small(5)] })).not.toThrow()
  })
})

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

describe('MSI (PCI Local Bus 3.0, §6.8.1)', () => {
  test.each([
    { wide: false, masking: false, bytes: 10, control: 0x0000 },
    { wide: true, masking: false, bytes: 14, control: 0x0080 },
    { wide: false, masking: true, bytes: 20, control: 0x0100 },
    { wide: true, masking: true, bytes: 24, control: 0x0180 },
  ])('has its layout: $wide, $masking', ({ wide, masking, control }) => {
    const { tree: made, add } = tree()
    const fn = add({ msi: { vectors: 8, wide, masking } })
    const { read, write } = config(made)
    expect([read(0x34, 1), read(6, 2) & 0x10, fn.capability(5)]).toEqual([0x40, 0x10, 0x40])
    expect(read(0x40, 2)).toBe(0x0005)
    expect(read(0x42, 2)).toBe(control | (3 << 1))
    write(0x42, 0xffff, 2)
    // Enable and "multiple message enable" alone can be written.
    expect(read(0x42, 2)).toBe(control | (3 << 1) | 0x71)
    write(0x44, 0xffff_ffff)
    expect(read(0x44) >>> 0).toBe(0xffff_fffc)
    const data = wide ? 0x4c : 0x48
    write(data, 0xffff_ffff)
    expect(read(data, 2)).toBe(0xffff)
    write(data + 4, 0xffff_ffff)
    expect(read(data + 4) >>> 0).toBe(masking ? 0xff : 0)
  })

  test('sends the data with the vector in the bits that the guest gave, from the function that it is', () => {
    const { tree: made, add, messages } = tree()
    const fn = add({ msi: { vectors: 4 } })
    const { write } = config(made)
    expect([fn.messages?.mode, fn.messages?.vectors, fn.messages?.signal(0)]).toEqual(['none', 0, false])
    write(COMMAND, BUS_MASTER, 2)
    write(0x44, 0xfee0_1000)
    write(0x48, 1)
    write(0x4c, 0x4040, 2)
    write(0x42, 0x21, 2)
    expect([fn.messages?.mode, fn.messages?.vectors]).toEqual(['msi', 4])
    for (const vector of [0, 3, 5]) fn.messages?.signal(vector)
    const address = 0x1_fee0_1000
    expect(messages).toEqual([
      [address, 0x4040, ID],
      [address, 0x4043, ID],
      [address, 0x4041, ID],
    ])
    // A function that asked for four and got one says everything with one.
    write(0x42, 0x01, 2)
    fn.messages?.signal(3)
    expect(messages.at(-1)).toEqual([address, 0x4040, ID])
    write(COMMAND, 0, 2)
    fn.messages?.signal(0)
    expect(messages).toHaveLength(4)
    // The bits of the data that the vector has are the function's, whatever the guest wrote there.
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x21, 2)
    write(0x4c, 0x404f, 2)
    fn.messages?.signal(2)
    expect(messages.at(-1)?.[1]).toBe(0x404e)
  })

  test('a masked vector is pending, and is sent once when it is unmasked', () => {
    const { tree: made, add, messages } = tree()
    const fn = add({ msi: { vectors: 2, wide: false, masking: true } })
    const { read, write } = config(made)
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x11, 2)
    write(0x4c, 2)
    fn.messages?.signal(1)
    fn.messages?.signal(1)
    fn.messages?.signal(0)
    expect([messages.length, read(0x50)]).toEqual([1, 2])
    write(0x4c, 0)
    expect([messages.map(([, data]) => data), read(0x50)]).toEqual([[0, 1], 0])
    write(0x4c, 2)
    fn.messages?.signal(1)
    fn.messages?.clear(1)
    write(0x4c, 0)
    expect(messages).toHaveLength(2)
  })
})

describe('MSI-X (PCI Local Bus 3.0, §6.8.2)', () => {
  function card(vectors = 3) {
    const log: string[] = []
    const made = tree()
    const fn = made.add({
      bars: [
        {
          index: 0,
          kind: 'memory',
          bytes: 4096,
          handler: {
            read: (offset, size) => (log.push(`r${size}@${offset}`), 0x77),
            write: (offset, size, value) => void log.push(`w${size}@${offset}=${value}`),
          },
        },
      ],
      msix: { vectors, table: { bar: 0, offset: 0x800 } },
    })
    const handler = made.regions[0]?.bar.handler as RangeHandler
    const entry = (vector: number, ...words: number[]): void =>
      words.forEach((word, i) => void handler.write(0x800 + 16 * vector + 4 * i, 4, word))
    return { ...made, ...config(made.tree), fn, handler, entry, log }
  }

  test('has its capability, a masked table after reset, and leaves the rest of the BAR to the model', () => {
    const { read, handler, log } = card()
    expect(read(0x40, 2)).toBe(0x0011)
    expect([read(0x42, 2), read(0x44) >>> 0, read(0x48) >>> 0]).toEqual([2, 0x800, 0x800 + 48])
    expect([0, 4, 8, 12].map((at) => handler.read(0x800 + at, 4))).toEqual([0, 0, 0, 1])
    expect(handler.read(0x10, 2)).toBe(0x77)
    void handler.write(0x10, 4, 5)
    expect(log).toEqual(['r2@16', 'w4@16=5'])
  })

  test('a vector is sent with its own address and data; masks hold it, one by one and all together', () => {
    const { fn, entry, write, handler, messages } = card()
    write(COMMAND, BUS_MASTER, 2)
    entry(0, 0xfee0_0003, 0, 0x31, 0)
    entry(2, 0xfee1_0000, 2, 0x33, 1)
    expect(fn.messages?.signal(0)).toBe(false)
    write(0x42, 0x8000, 2)
    expect([fn.messages?.mode, fn.messages?.vectors]).toEqual(['msix', 3])
    fn.messages?.signal(0)
    fn.messages?.signal(2)
    // Low bits of an address are 0.
    expect(messages).toEqual([[0xfee0_0000, 0x31, ID]])
    expect(handler.read(0x830, 4)).toBe(4)
    entry(2, 0xfee1_0000, 2, 0x33, 0)
    expect(messages.at(-1)).toEqual([2 * 2 ** 32 + 0xfee1_0000, 0x33, ID])
    expect(handler.read(0x830, 4)).toBe(0)
    write(0x42, 0xc000, 2)
    fn.messages?.signal(0)
    expect(messages).toHaveLength(2)
    write(0x42, 0x8000, 2)
    expect(messages).toHaveLength(3)
    // Pending bits cannot be written.
    void handler.write(0x830, 4, 0xff)
    expect(handler.read(0x830, 4)).toBe(0)
    // What lies before the table and behind the pending bits is the model's.
    expect([0x7fc, 0x838].map((at) => handler.read(at, 4))).toEqual([0x77, 0x77])
  })

  test('a message that is withdrawn is pending no longer, and none becomes pending by it', () => {
    const { fn, entry, write, handler, messages } = card()
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x8000, 2)
    entry(1, 0xfee0_0000, 0, 0x31, 1)
    fn.messages?.signal(1)
    expect(handler.read(0x830, 4)).toBe(2)
    // Vector 4 of three is vector 1, as it is where it is signalled.
    fn.messages?.clear(4)
    fn.messages?.clear(2)
    expect(handler.read(0x830, 4)).toBe(0)
    entry(1, 0xfee0_0000, 0, 0x31, 0)
    expect(messages).toEqual([])
  })

  test('state: table and pending vectors are saved, and a reset masks all', () => {
    const first = card(40)
    first.write(COMMAND, BUS_MASTER, 2)
    first.write(0x42, 0x8000, 2)
    first.entry(39, 0xfee0_0000, 0, 0x99, 1)
    first.fn.messages?.signal(39)
    const state = JSON.parse(JSON.stringify(first.fn.save())) as ReturnType<PciFunction['save']>
    const second = card(40)
    second.fn.restore(state)
    second.entry(39, 0xfee0_0000, 0, 0x99, 0)
    expect(second.messages).toEqual([[0xfee0_0000, 0x99, ID]])
    second.fn.reset()
    expect([second.handler.read(0x800 + 39 * 16 + 12, 4), second.fn.messages?.mode]).toEqual([1, 'none'])
    expect(() => card(3).fn.restore(state)).toThrow(DeviceError)
  })

  test('has a pending bit for each of many vectors', () => {
    const made = tree()
    const fn = made.add({
      bars: [{ index: 0, kind: 'memory', bytes: 0x2000, handler: { read: () => 0x77, write: () => {} } }],
      msix: { vectors: 200, table: { bar: 0 }, pba: { bar: 0, offset: 0x1000 } },
    })
    const { write } = config(made.tree)
    const handler = made.regions[0]?.bar.handler as RangeHandler
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x8000, 2)
    for (const vector of [0, 31, 32, 63, 64, 199]) fn.messages?.signal(vector)
    // Four quadwords.
    expect(Array.from({ length: 9 }, (_, i) => (handler.read(0x1000 + 4 * i, 4) as number) >>> 0)).toEqual([
      ...[0x8000_0001, 0x8000_0001, 1, 0, 0, 0, 0x80, 0],
      0x77,
    ])
  })

  test('makes a BAR for its table where the function has none', () => {
    const made = tree()
    made.add({ msix: { vectors: 300, table: { bar: 4 } } })
    expect(made.regions.map(({ bar }) => [bar.kind, bar.bytes])).toEqual([['mmio', 8192]])
    config(made.tree).write(0x20, 0xffff_ffff)
    expect(config(made.tree).read(0x20) >>> 0).toBe(0xffff_e000)
  })

  test.each([
    ['no vectors', { vectors: 0, table: { bar: 0 } }],
    ['too many vectors', { vectors: 2049, table: { bar: 0 } }],
    ['a table that is not aligned', { vectors: 1, table: { bar: 0, offset: 4 } }],
    ['pending bits in the table', { vectors: 4, table: { bar: 0 }, pba: { bar: 0, offset: 32 } }],
    ['a BAR that there is not', { vectors: 1, table: { bar: 6 } }],
  ])('%s: refused', (_, msix) => {
    expect(() => tree().add({ msix })).toThrow(DeviceError)
  })
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
    fc.property(fc.array(access, { maxLength: 40 }), fc.array(fc.nat(50), { maxLength: 5 }), (writes, vectors) => {
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
    }),
    { numRuns: 300, seed: 20_261_120 },
  )
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
