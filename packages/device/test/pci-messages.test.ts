/** Message interrupts of PCI functions, as the contract keeps them. */
import { describe, expect, test } from 'vitest'
import { DeviceError, type MsixOptions, type PciBarOptions, type PciFunction, type RangeHandler } from '../src/index.ts'
import { BUS_MASTER, COMMAND, config, ID, ones, tree } from './support/pci.ts'

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
    write(0x4c, 3)
    for (const vector of [0, 1]) fn.messages?.signal(vector)
    expect([messages.length, read(0x50), fn.save().msi]).toEqual([2, 3, { pending: 3 }])
    write(0x4c, 0)
    expect(messages.slice(2).map(([, data]) => data)).toEqual([0, 1])
  })

  test('the last of 32 vectors is masked, pending and sent as the others are', () => {
    const { tree: made, add, messages } = tree()
    const fn = add({ msi: { vectors: 32, masking: true } })
    const { read, write } = config(made)
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x51, 2)
    write(0x50, 0x8000_0000)
    fn.messages?.signal(31)
    expect([read(0x54) >>> 0, fn.save().msi]).toEqual([0x8000_0000, { pending: 0x8000_0000 }])
    fn.restore(fn.save())
    write(0x50, 0)
    expect(messages.map(([, data]) => data)).toEqual([31])
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

  test('the guest reads any bytes of the table, and writes whole doublewords of it alone', () => {
    const { entry, handler } = card()
    entry(1, 0xfee1_2344, 0x8765_4321, 0xfedc_ba98, 0)
    const bytes = Array.from({ length: 12 }, (_, i) => (handler.read(0x810 + i, 1) as number) & 0xff)
    expect(bytes).toEqual([0x44, 0x23, 0xe1, 0xfe, 0x21, 0x43, 0x65, 0x87, 0x98, 0xba, 0xdc, 0xfe])
    expect([0, 2].map((at) => (handler.read(0x818 + at, 2) as number) & 0xffff)).toEqual([0xba98, 0xfedc])
    void handler.write(0x818, 2, 0)
    void handler.write(0x81a, 4, 0)
    expect((handler.read(0x818, 4) as number) >>> 0).toBe(0xfedc_ba98)
    // No model's handler answers 64 bits at once here.
    expect(Object.keys(handler)).toEqual(['read', 'write'])
  })

  test('a quadword of the table is read and written at once; outside it is the model’s', () => {
    const made = tree()
    const log: string[] = []
    const fn = made.add({
      bars: [
        {
          index: 0,
          kind: 'memory',
          bytes: 4096,
          maximumAccess: 8,
          handler: {
            ...ones,
            read64: (offset, into) => {
              log.push(`r${offset}`)
              into.lo = 1
              into.hi = 2
            },
            write64: (offset, lo, hi) => void log.push(`w${offset}=${hi}:${lo}`),
          },
        },
      ],
      msix: { vectors: 2, table: { bar: 0, offset: 0x800 } },
    })
    const handler = made.regions[0]?.bar.handler as Required<RangeHandler>
    const { write } = config(made.tree)
    write(COMMAND, BUS_MASTER, 2)
    write(0x42, 0x8000, 2)
    const read = (offset: number): number[] => {
      const into = { lo: -1, hi: -1 }
      void handler.read64(offset, into)
      return [into.lo, into.hi]
    }
    fn.messages?.signal(1)
    void handler.write64(0x810, 0xfee0_0000, 3)
    expect(made.messages).toEqual([])
    // The mask bit goes, and with it the message.
    void handler.write64(0x818, 0x41, 0)
    expect(made.messages).toEqual([[3 * 2 ** 32 + 0xfee0_0000, 0x41, ID]])
    expect([read(0x810), read(0x818), read(0x808)]).toEqual([
      [0xfee0_0000, 3],
      [0x41, 0],
      [0, 1],
    ])
    expect([read(0x7f8), read(0x820), read(0x828)]).toEqual([
      [1, 2],
      [0, 0],
      [1, 2],
    ])
    void handler.write64(0x7f8, 5, 6)
    expect(log).toEqual(['r2040', 'r2088', 'w2040=6:5'])
  })

  test('saved vectors must be there', () => {
    const { fn } = card()
    const state = fn.save()
    for (const pending of [[3], [-1], [0, NaN]])
      expect(() => fn.restore({ ...state, msix: { table: state.msix!.table, pending } })).toThrow(DeviceError)
    const none = new Array<number>(8).fill(0)
    expect(() => fn.restore({ ...state, msix: { table: none, pending: [] } })).toThrow(/2 vectors: expected 3/)
    fn.restore({ ...state, msix: { table: state.msix!.table, pending: [0, 2] } })
    expect(fn.save().msix?.pending).toEqual([0, 2])
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

  test.each([[[0, 31]], [[31]], [[0, 31, 32, 63]], [[63]], [[1, 30, 33, 62]]])(
    'saves the pending vectors %j',
    (vectors) => {
      const { fn, write } = card(64)
      write(COMMAND, BUS_MASTER, 2)
      write(0x42, 0x8000, 2)
      for (const vector of vectors) fn.messages?.signal(vector)
      expect(fn.save().msix?.pending).toEqual(vectors)
    },
  )

  test('makes a BAR for its table where the function has none', () => {
    const made = tree()
    made.add({ msix: { vectors: 300, table: { bar: 4 } } })
    expect(made.regions.map(({ bar }) => [bar.kind, bar.bytes])).toEqual([['mmio', 8192]])
    config(made.tree).write(0x20, 0xffff_ffff)
    expect(config(made.tree).read(0x20) >>> 0).toBe(0xffff_e000)
  })

  test('may be in the last BAR, with the most vectors, and share it with its pending bits', () => {
    const made = tree()
    made.add({ msix: { vectors: 2048, table: { bar: 5, offset: 8 } } })
    expect(made.regions.map(({ bar }) => bar.bytes)).toEqual([0x1_0000])
    const { read } = config(made.tree)
    expect([read(0x42, 2), read(0x44), read(0x48)]).toEqual([2047, 8 | 5, (8 + 0x8000) | 5])
    // Pending bits right before the table.
    expect(() =>
      tree().add({ msix: { vectors: 1, table: { bar: 0, offset: 8 }, pba: { bar: 0, offset: 0 } } }),
    ).not.toThrow()
  })

  test.each([-1, 0.5, NaN])('message %d does not exist', (vector) => {
    expect(() => card().fn.messages?.signal(vector)).toThrow(/expected an integer from 0 on/)
  })

  const inBar = (bar: unknown, offset?: unknown) => ({ bar, offset }) as { bar: number; offset: number }
  test.each<readonly [string, MsixOptions]>([
    ['no vectors', { vectors: 0, table: { bar: 0 } }],
    ['too many vectors', { vectors: 2049, table: { bar: 0 } }],
    ['part of a vector', { vectors: 1.5, table: { bar: 0 } }],
    ['pending bits in the table', { vectors: 4, table: { bar: 0 }, pba: { bar: 0, offset: 32 } }],
    ['a table in the pending bits', { vectors: 4, table: { bar: 0, offset: 8 }, pba: { bar: 0, offset: 8 } }],
    ...[-1, 6, 0.5, NaN, '0'].map((bar) => [`a BAR ${bar}`, { vectors: 1, table: inBar(bar) }] as const),
    ...[-8, 4, 8.5, NaN, Infinity, '8'].map(
      (offset) => [`a table at ${offset}`, { vectors: 1, table: inBar(0, offset) }] as const,
    ),
    ...[-1, 6, 0.5].map((bar) => [`bits in BAR ${bar}`, { vectors: 1, table: inBar(0), pba: inBar(bar) }] as const),
    ...[-8, 4, NaN].map(
      (offset) => [`bits at ${offset}`, { vectors: 1, table: inBar(0), pba: inBar(1, offset) }] as const,
    ),
  ])('%s: refused', (_, msix) => {
    expect(() => tree().add({ msix })).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })

  test('table and pending bits may be in a BAR each, with and without a handler of the model', () => {
    const at = (table: number, pba: number, bars: PciBarOptions[] = []) => {
      const made = tree()
      const fn = made.add({ bars, msix: { vectors: 70, table: { bar: table }, pba: { bar: pba, offset: 0x10 } } })
      const read = (region: number, offset: number, size: 4) =>
        Number((made.regions[region]!.bar.handler as RangeHandler).read(offset, size, {} as never))
      return { made, fn, read }
    }
    for (const [table, pba] of [
      [1, 3],
      [3, 1],
    ] as const) {
      const { made, fn, read } = at(table, pba)
      const { write } = config(made.tree)
      fn.messages!.signal(69)
      // In the order in which they were named: both are made.
      const [entries, bits] = [0, 1]
      expect(made.regions.map(({ bar }) => [bar.kind, bar.bytes])).toEqual([
        ['mmio', 4096],
        ['mmio', 4096],
      ])
      write(0x42, 0x8000, 2)
      fn.messages!.signal(69)
      expect(read(entries, 16 * 69 + 12, 4)).toBe(1)
      expect([read(bits, 0x10, 4), read(bits, 0x14, 4), read(bits, 0x18, 4), read(bits, 0x1c, 4)]).toEqual([
        0, 0, 32, 0,
      ])
    }
    const handler = { read: () => 0x77, write: () => {} }
    const own = at(0, 2, [
      { index: 0, kind: 'memory', bytes: 4096, handler },
      { index: 2, kind: 'memory', bytes: 4096, handler },
    ])
    expect([own.read(0, 12, 4), own.read(0, 16 * 70, 4), own.read(1, 0x10, 4), own.read(1, 0x20, 4)]).toEqual([
      1, 0x77, 0, 0x77,
    ])
    const small = { index: 2, kind: 'memory', bytes: 16, handler } as const
    expect(() => at(0, 2, [small])).toThrow('BAR 2: MSI-X needs a memory BAR with a handler, of at least 32 bytes')
    expect(() => at(0, 2, [{ ...small, kind: 'io', bytes: 64 }])).toThrow('BAR 2: MSI-X needs a memory BAR')
  })
})
