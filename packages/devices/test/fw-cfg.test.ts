import { describe, expect, test } from 'vitest'
import { fwCfgInMemory } from '../src/arm/index.ts'
import { FwCfg, type FwCfgOptions } from '../src/fw-cfg.ts'
import { FakeMachine } from './support/fake-machine.ts'

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))
const options: FwCfgOptions = {
  files: { 'etc/first': { bytes: ascii('one') }, 'opt/notes': { bytes: new Uint8Array(8), writable: true } },
  keys: new Map([[0x05, { bytes: Uint8Array.of(4, 0) }]]),
}
const board = (): { config: FwCfg; machine: FakeMachine } => {
  const config = new FwCfg(options)
  return { config, machine: new FakeMachine(config) }
}
const read = (machine: FakeMachine, key: number, bytes: number): number[] => {
  machine.out(0x510, key, 2)
  return Array.from({ length: bytes }, () => machine.in(0x511))
}

/** Runs a DMA command at GPA 0x100 and gives its control word afterwards. */
const dma = (machine: FakeMachine, control: number, length: number, address: number): number => {
  const view = new DataView(machine.ram.buffer)
  view.setUint32(0x100, control)
  view.setUint32(0x104, length)
  view.setUint32(0x108, 0)
  view.setUint32(0x10c, address)
  machine.out(0x514, 0, 4)
  machine.out(0x518, 0x0001_0000, 4)
  return view.getUint32(0x100)
}

describe('selector and data ports (QEMU, fw_cfg.rst)', () => {
  test.each([
    { item: 'signature', key: 0x00, reads: [...ascii('QEMU')] },
    { item: 'id: traditional and DMA', key: 0x01, reads: [3, 0, 0, 0] },
    { item: 'a numbered item, and zeroes behind it', key: 0x05, reads: [4, 0, 0, 0] },
    { item: 'the count of files', key: 0x19, reads: [0, 0, 0, 2] },
    { item: 'the first file', key: 0x20, reads: [...ascii('one'), 0] },
    { item: 'a key that is not there', key: 0x1234, reads: [0, 0, 0, 0] },
  ])('$item', ({ key, reads }) => {
    expect(read(board().machine, key, 4)).toEqual(reads)
  })

  test('a directory entry has size, key and name', () => {
    const bytes = read(board().machine, 0x19, 4 + 128)
    expect(bytes.slice(68, 76)).toEqual([0, 0, 0, 8, 0, 0x21, 0, 0])
    expect(String.fromCharCode(...bytes.slice(76, 86))).toBe('opt/notes\0')
  })

  test('selecting starts again at the first byte', () => {
    const { machine } = board()
    read(machine, 0x20, 2)
    expect(read(machine, 0x20, 1)).toEqual([0x6f])
  })
})

describe('DMA', () => {
  test('the register says that it is there', () => {
    const { machine } = board()
    const text = [machine.in(0x514, 4), machine.in(0x518, 4)].flatMap((v) =>
      [0, 8, 16, 24].map((s) => (v >>> s) & 0xff),
    )
    expect(String.fromCharCode(...text)).toBe('QEMU CFG')
  })

  test.each([
    { given: 'select and read', control: 0x0020_000a, length: 5, ram: [...ascii('one'), 0, 0] },
    { given: 'select alone', control: 0x0020_0008, length: 5, ram: [0xee, 0xee] },
  ])('$given', ({ control, length, ram }) => {
    const { machine } = board()
    machine.ram.fill(0xee, 0x200, 0x300)
    expect(dma(machine, control, length, 0x200)).toBe(0)
    expect([...machine.ram.subarray(0x200, 0x200 + ram.length)]).toEqual(ram)
    expect(machine.ram[0x200 + length]).toBe(0xee)
  })

  test('skipping moves on', () => {
    const { machine } = board()
    dma(machine, 0x0020_000c, 2, 0)
    expect(machine.in(0x511)).toBe(0x65)
  })

  test('writable items take writes, others and too long ones give an error', () => {
    const { config, machine } = board()
    machine.ram.set(ascii('memo'), 0x200)
    expect(dma(machine, 0x0021_0018, 4, 0x200)).toBe(0)
    expect(String.fromCharCode(...read(machine, 0x21, 4))).toBe('memo')
    expect(dma(machine, 0x0021_0018, 9, 0x200)).toBe(1)
    expect(dma(machine, 0x0020_0018, 1, 0x200)).toBe(1)
    const other = board()
    other.config.restore(JSON.parse(JSON.stringify(config.save())))
    expect(String.fromCharCode(...read(other.machine, 0x21, 4))).toBe('memo')
    expect(String.fromCharCode(...read(board().machine, 0x21, 4))).toBe('\0\0\0\0')
  })

  test('a long read goes on in slices while the guest runs, and a command meanwhile fails', () => {
    const { config, machine } = board()
    machine.grow(0x10_0000)
    machine.ram.fill(0xee, 0x200, 0x8_0000)
    const view = new DataView(machine.ram.buffer)
    expect(dma(machine, 0x0020_000a, 0x4_0000, 0x200)).toBe(0x0020_000a)
    expect(String.fromCharCode(...machine.ram.subarray(0x200, 0x203))).toBe('one')
    expect([machine.ram[0x200 + 0xffff], machine.ram[0x200 + 0x1_0000]]).toEqual([0, 0xee])
    // Another command, elsewhere: this one is not touched.
    view.setUint32(0x140, 0x0000_0002)
    machine.out(0x514, 0, 4)
    machine.out(0x518, 0x4001_0000, 4)
    expect(view.getUint32(0x140)).toBe(1)
    machine.advance(50_000)
    expect([machine.ram[0x200 + 0x1_ffff], machine.ram[0x200 + 0x2_0000]]).toEqual([0, 0xee])
    // It can be saved in the middle.
    const other = board()
    other.machine.time = machine.time
    other.machine.grow(0x10_0000)
    other.machine.ram.set(machine.ram)
    other.config.restore(JSON.parse(JSON.stringify(config.save())))
    for (const { ram, advance } of [machine, other.machine].map((each) => ({
      ram: each.ram,
      advance: () => each.advance(1_000_000),
    }))) {
      advance()
      expect([ram[0x200 + 0x3_ffff], ram[0x200 + 0x4_0000]]).toEqual([0, 0xee])
      expect(new DataView(ram.buffer).getUint32(0x100)).toBe(0)
    }
  })

  test('a reset ends a read', () => {
    const { config, machine } = board()
    machine.grow(0x10_0000)
    dma(machine, 0x0020_000a, 0x4_0000, 0x200)
    config.reset()
    machine.ram.fill(0xee)
    machine.advance(1_000_000)
    expect(machine.ram.every((byte) => byte === 0xee)).toBe(true)
  })

  test('a target outside RAM gives an error', () => {
    expect(dma(board().machine, 0x0020_000a, 3, 0xffff_f000)).toBe(1)
  })
})

test.each([
  { given: { files: { [''.padEnd(56, 'x')]: { bytes: new Uint8Array(0) } } }, message: /expected 1 to 55 printable/ },
  { given: { keys: new Map([[0x19, { bytes: new Uint8Array(0) }]]) }, message: /key 25: expected 0x02 to 0x18/ },
])('$given is refused', ({ given, message }) => {
  expect(() => new FwCfg(given as FwCfgOptions)).toThrow(message)
})

test('reset selects item 0 again', () => {
  const { config, machine } = board()
  read(machine, 0x20, 1)
  config.reset()
  expect(machine.in(0x511)).toBe(0x51)
})

describe('registers in memory (QEMU, fw_cfg.rst, "Register Locations")', () => {
  const MMIO = 0x0902_0000
  const mapped = (): { config: FwCfg; machine: FakeMachine } => {
    const config = new FwCfg({ ...options, place: fwCfgInMemory(MMIO) })
    return { config, machine: new FakeMachine(config) }
  }

  test('the selector is big-endian, data comes in the order of its bytes', () => {
    const { machine } = mapped()
    machine.store(MMIO + 8, 0x2000, 2)
    expect([machine.load(MMIO, 2), machine.load(MMIO + 5, 1), machine.load(MMIO, 1)]).toEqual([0x6e6f, 0x65, 0])
    machine.store(MMIO + 8, 0x0000, 2)
    expect(machine.load64(MMIO)).toBe(0x554d_4551n)
    expect(machine.load(MMIO + 8, 2)).toBe(0)
  })

  test('a selector of another size does nothing', () => {
    const { machine } = mapped()
    machine.store(MMIO + 8, 0x2000, 2)
    machine.store(MMIO + 8, 0, 4)
    machine.store(MMIO + 8, 0, 1)
    machine.store64(MMIO + 8, 0n)
    expect(machine.load(MMIO, 1)).toBe(0x6f)
  })

  test.each([
    {
      given: 'two words',
      start: (machine: FakeMachine) => [0, 0x0001_0000].forEach((half, i) => machine.store(MMIO + 16 + 4 * i, half)),
    },
    { given: '64 bits', start: (machine: FakeMachine) => machine.store64(MMIO + 16, 0x0001_0000_0000_0000n) },
  ])('DMA is started by $given', ({ start }) => {
    const { machine } = mapped()
    const view = new DataView(machine.ram.buffer)
    view.setUint32(0x100, 0x0020_000a)
    view.setUint32(0x104, 3)
    view.setUint32(0x10c, 0x200)
    start(machine)
    expect(view.getUint32(0x100)).toBe(0)
    expect(String.fromCharCode(...machine.ram.subarray(0x200, 0x203))).toBe('one')
  })

  test('the DMA register says that it is there, whole and in parts', () => {
    const { machine } = mapped()
    expect(machine.load64(MMIO + 16)).toBe(0x4746_4320_554d_4551n)
    expect([machine.load(MMIO + 20, 4), machine.load(MMIO + 17, 1)]).toEqual([0x4746_4320, 0x45])
  })
})
