import { turn } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import {
  EmptyVirtioMmio,
  type VirtioDevice,
  VirtioMmio,
  VirtioPci,
  type VirtioPciOptions,
  type VirtioQueue,
} from '../src/index.ts'
import { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, PciDriver } from './support/pci-driver.ts'
import { PackedDriver, type RingPlace, SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const PLACE: RingPlace = { size: 8, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }
const EVENTS: RingPlace = { ...PLACE, eventIndex: true }

/** Answers each request with a byte, at once. */
const plain = (over: Partial<VirtioDevice> = {}): VirtioDevice => ({
  name: 'plain',
  type: 2,
  queues: [{ size: 8, handle: (chain) => (chain.writable.write(0, Uint8Array.of(7)) ? 1 : 0) }],
  features: [3, 41],
  config: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  ...over,
})

function pci(device = plain(), options: Partial<VirtioPciOptions> = {}): { machine: VirtioMachine; driver: PciDriver } {
  const machine = new VirtioMachine(new VirtioPci(device, { device: 3, ...options }))
  return { machine, driver: new PciDriver(machine) }
}

const config16 = ({ fn }: VirtioMachine, at: number): number => fn!.configRead(at, 2)

/** Types of the vendor capabilities, with bar, offset and length (§4.1.4). */
function structures({ fn }: VirtioMachine): Record<number, number[]> {
  const found: Record<number, number[]> = {}
  for (let at = fn!.configRead(0x34, 1); at !== 0; at = fn!.configRead(at + 1, 1)) {
    if (fn!.configRead(at, 1) !== 9) continue
    found[fn!.configRead(at + 3, 1)] = [
      fn!.configRead(at + 4, 1),
      fn!.configRead(at + 8, 4),
      fn!.configRead(at + 12, 4),
    ]
  }
  return found
}

describe('identity (§4.1.2)', () => {
  test.each([
    { options: {}, device: 0x1001, revision: 0, subsystem: 2 },
    { options: { legacy: false }, device: 0x1042, revision: 1, subsystem: 0x1100 },
    { options: { modern: false }, device: 0x1001, revision: 0, subsystem: 2 },
  ])('$options', ({ options, device, revision, subsystem }) => {
    const { machine } = pci(plain(), options)
    expect(config16(machine, 0)).toBe(0x1af4)
    expect(config16(machine, 2)).toBe(device)
    expect(machine.fn!.configRead(8, 1)).toBe(revision)
    expect(config16(machine, 0x2e)).toBe(subsystem)
  })

  test('each structure has a capability; a legacy function has none', () => {
    expect(structures(pci().machine)).toEqual({
      1: [4, 0, 56],
      2: [4, 0x3000, 4],
      3: [4, 0x1000, 1],
      4: [4, 0x2000, 8],
      5: [0, 0, 0],
    })
    expect(structures(pci(plain(), { modern: false }).machine)).toEqual({})
  })

  test.each([
    { device: plain({ type: 18 }), options: { legacy: true }, message: 'no legacy interface' },
    { device: plain(), options: { modern: false, legacy: false }, message: 'neither modern nor legacy' },
    { device: plain({ queues: [{ size: 3, notify: () => {} }] }), options: {}, message: 'a queue of 3 entries' },
    { device: plain({ queues: [{ size: 4 }] }), options: {}, message: 'either handle or notify' },
    { device: plain({ features: [28] }), options: {}, message: 'feature bit 28' },
  ])('a device that cannot be is refused: $message', ({ device, options, message }) => {
    expect(() => pci(device, options)).toThrow(message)
  })
})

describe('negotiation (§3.1.1)', () => {
  test('the features of the device and of rings are offered; words beyond them are 0', () => {
    const { driver } = pci()
    expect(driver.features(0)).toBe(((1 << 3) | (1 << 28) | (1 << 29)) >>> 0)
    expect(driver.features(1)).toBe((1 << 0) | (1 << 9))
    expect(driver.features(2)).toBe(0)
    expect(pci(plain(), { packed: true }).driver.features(1)).toBe((1 << 0) | (1 << 2) | (1 << 9))
  })

  test.each([
    { bits: [32], accepted: true },
    { bits: [32, 3, 28, 29, 41], accepted: true },
    { bits: [3], accepted: false, why: 'version 1 is not accepted' },
    { bits: [32, 5], accepted: false, why: 'bit 5 was not offered' },
    { bits: [32, 34], accepted: false, why: 'packed rings were not offered' },
  ])('$bits: FEATURES_OK $accepted', ({ bits, accepted }) => {
    expect(pci().driver.negotiate(bits)).toBe(accepted)
  })

  test('a device may refuse a set', () => {
    const { driver } = pci(plain({ accepts: (features) => features.has(3) }))
    expect(driver.negotiate([32])).toBe(false)
    expect(driver.negotiate([32, 3])).toBe(true)
  })

  test('features do not change after FEATURES_OK; DRIVER_OK without it is dropped', () => {
    const { driver, machine } = pci()
    expect(driver.negotiate([32])).toBe(true)
    driver.accept([32, 3])
    machine.write(4, 8, 4, 0)
    expect(machine.read(4, 12, 4)).toBe(0)
    driver.status = 0
    driver.status = ACKNOWLEDGE | DRIVER | DRIVER_OK
    expect(driver.status).toBe(ACKNOWLEDGE | DRIVER)
  })

  test('a reset clears queues, vectors and features', () => {
    const { driver, machine } = pci()
    driver.negotiate([32])
    driver.setQueue(0, PLACE)
    machine.write(4, 16, 2, 1)
    driver.start()
    driver.status = 0
    expect([16, 24, 26, 28].map((at) => machine.read(4, at, 2))).toEqual([0xffff, 8, 0xffff, 0])
    expect([32, 36, 40, 48, 12].map((at) => machine.read(4, at, 4))).toEqual([0, 0, 0, 0, 0])
  })
})

describe('interrupts', () => {
  const run = (machine: VirtioMachine, driver: PciDriver): void => {
    driver.negotiate([32])
    driver.setQueue(0, PLACE)
    driver.start()
    const ring = new SplitDriver(machine.view, PLACE)
    ring.add([{ gpa: 0x8000, length: 1, write: true }], 1)
    ring.publish()
    driver.notify(0)
  }

  test('INTx is raised, and reading the status clears it', () => {
    const { machine, driver } = pci()
    run(machine, driver)
    expect(machine.level).toBe(true)
    expect(driver.isr()).toBe(1)
    expect(machine.level).toBe(false)
    expect(driver.isr()).toBe(0)
  })

  test('with MSI-X a queue sends its vector; the status stays 0', () => {
    const { machine, driver } = pci(plain({ queues: [{ size: 8, handle: () => 0 }] }), { vectors: 2 })
    machine.enableMsix(2)
    driver.negotiate([32])
    driver.setQueue(0, PLACE)
    machine.write(4, 26, 2, 1)
    driver.start()
    const ring = new SplitDriver(machine.view, PLACE)
    ring.add([{ gpa: 0x8000, length: 1, write: true }], 1)
    ring.publish()
    driver.notify(0)
    expect(machine.messages).toEqual([1])
    expect([machine.level, driver.isr()]).toEqual([false, 0])
  })

  test('a vector that there is not reads back as none', () => {
    const { machine } = pci()
    for (const at of [16, 26]) {
      machine.write(4, at, 2, 2)
      expect(machine.read(4, at, 2)).toBe(0xffff)
      machine.write(4, at, 2, 1)
      expect(machine.read(4, at, 2)).toBe(1)
    }
  })

  test('a driver that wants none gets none; by index only where the index is passed', () => {
    const { machine, driver } = pci()
    driver.negotiate([32, 29])
    driver.setQueue(0, EVENTS)
    driver.start()
    const ring = new SplitDriver(machine.view, EVENTS)
    const levels = [3, 1, 1, 1].map((count) => {
      for (let i = 0; i < count; i++) ring.add([{ gpa: 0x8000, length: 1, write: true }], i)
      ring.publish()
      driver.notify(0)
      const { level } = machine
      driver.isr()
      ring.reap()
      // It wants to hear of the fifth.
      machine.view.setUint16(EVENTS.driver + 4 + 2 * EVENTS.size, 4, true)
      return level
    })
    expect(levels).toEqual([true, false, true, false])
  })

  test('the same of a packed ring', () => {
    const { machine, driver } = pci(plain(), { packed: true })
    driver.negotiate([32, 29, 34])
    driver.setQueue(0, EVENTS)
    driver.start()
    const ring = new PackedDriver(machine.view, EVENTS)
    const levels = [3, 1, 1, 1, 3, 1, 1].map((count, round) => {
      for (let i = 0; i < count; i++) ring.add([{ gpa: 0x8000, length: 1, write: true }], i)
      ring.publish()
      driver.notify(0)
      const { level } = machine
      driver.isr()
      ring.reap()
      // It wants to hear of the fifth, then of the second of the next round.
      machine.view.setUint16(EVENTS.driver, round < 3 ? 4 | 0x8000 : 1, true)
      machine.view.setUint16(EVENTS.driver + 2, 2, true)
      return level
    })
    expect(levels).toEqual([true, false, true, false, false, true, false])
    // Whether something was written is told.
    expect(machine.view.getUint16(EVENTS.descriptors + 14, true) & 2).toBe(2)
  })

  test('a chain that becomes available while the device asks for a notification is not lost', () => {
    for (const packed of [false, true]) {
      const { machine, driver } = pci(plain(), { packed })
      driver.negotiate([32, 29, ...(packed ? [34] : [])])
      driver.setQueue(0, EVENTS)
      driver.start()
      const ring = packed ? new PackedDriver(machine.view, EVENTS) : new SplitDriver(machine.view, EVENTS)
      const add = (token: number): boolean => {
        ring.add([{ gpa: 0x8000, length: 1, write: true }], token)
        return ring.publish()
      }
      add(1)
      // The driver looks at what the device asks for just before it is written.
      let notifies: boolean | undefined
      const asked = packed ? EVENTS.device : EVENTS.device + 4 + 8 * EVENTS.size
      machine.onWrite = (gpa) => {
        if (gpa === asked && notifies === undefined) notifies = add(2)
      }
      driver.notify(0)
      expect(notifies).toBe(false)
      expect(ring.reap().map(({ token }) => token)).toEqual([1, 2])
    }
  })
})

describe('configuration (§2.5)', () => {
  test('it is read in any size; a change gives a new generation and an interrupt', () => {
    const config = Uint8Array.of(1, 2, 3, 4)
    let changed = (): void => {}
    const { driver, machine } = pci(plain({ config, attach: (host) => (changed = () => host.configChanged()) }))
    expect([driver.config(0, 4), driver.config(1, 2), driver.config(3, 1), driver.config(3, 4)]).toEqual([
      0x0403_0201, 0x0302, 4, 4,
    ])
    changed()
    expect([machine.read(4, 21, 1), machine.level]).toEqual([1, false])
    driver.negotiate([32])
    driver.start()
    changed()
    expect([machine.read(4, 21, 1), driver.isr()]).toEqual([2, 2])
  })

  test('a device hears of writes that lie within', () => {
    const heard: unknown[] = []
    const { machine } = pci(plain({ configWritten: (offset, bytes) => heard.push([offset, ...bytes]) }))
    machine.write(4, 0x2004, 2, 0x1234)
    machine.write(4, 0x2007, 4, 0)
    expect(heard).toEqual([[4, 0x34, 0x12]])
  })

  test('firmware reaches all of it through configuration space (§4.1.4.9)', () => {
    const { machine } = pci()
    const { fn } = machine
    const at = 0xa4
    const access = (offset: number, length: number): void => {
      fn!.configWrite(at + 4, 1, 4)
      fn!.configWrite(at + 8, 4, offset)
      fn!.configWrite(at + 12, 4, length)
    }
    access(20, 1)
    fn!.configWrite(at + 16, 1, ACKNOWLEDGE)
    expect(fn!.configRead(at + 16, 1)).toBe(ACKNOWLEDGE)
    expect(machine.read(4, 20, 1)).toBe(ACKNOWLEDGE)
    access(0x2004, 4)
    expect(fn!.configRead(at + 16, 4)).toBe(0x0807_0605)
    // What does not fit reaches nothing.
    for (const [offset, length] of [
      [0x2004, 3],
      [0x2001, 2],
      [0x4000, 4],
    ] as const) {
      access(offset, length)
      fn!.configWrite(at + 16, 4, 0x55)
      expect(fn!.configRead(at + 16, 4)).toBe(0x55)
    }
  })
})

describe('the legacy interface (§4.1.4.10)', () => {
  /** A queue of eight entries from page 2 on: its used ring is at the next page. */
  const LEGACY: RingPlace = { ...PLACE, descriptors: 0x2000, driver: 0x2080, device: 0x3000 }

  test.each([false, true])('a queue is in one run of pages; MSI-X %s moves the configuration', (msix) => {
    const { machine } = pci(plain(), { modern: false })
    if (msix) machine.enableMsix(2)
    const config = msix ? 24 : 20
    expect(machine.read(0, config, 4)).toBe(0x0403_0201)
    machine.write(0, 18, 1, 0)
    machine.write(0, 18, 1, ACKNOWLEDGE | DRIVER)
    expect(machine.read(0, 0, 4)).toBe(((1 << 3) | (1 << 27) | (1 << 28) | (1 << 29)) >>> 0)
    machine.write(0, 4, 4, 0)
    machine.write(0, 14, 2, 0)
    expect(machine.read(0, 12, 2)).toBe(8)
    machine.write(0, 8, 4, 2)
    expect(machine.read(0, 8, 4)).toBe(2)
    if (msix) machine.write(0, 22, 2, 1)
    const ring = new SplitDriver(machine.view, LEGACY)
    ring.add([{ gpa: 0x8000, length: 1, write: true }], 5)
    ring.publish()
    // A legacy driver may use its queues before DRIVER_OK.
    machine.write(0, 16, 2, 0)
    expect(ring.reap()).toEqual([{ token: 5, written: 1 }])
    expect(machine.messages).toEqual(msix ? [1] : [])
    expect(machine.read(0, 19, 1)).toBe(msix ? 0 : 1)
    machine.write(0, 8, 4, 0)
    expect(machine.read(0, 8, 4)).toBe(0)
    machine.write(0, 14, 2, 1)
    expect(machine.read(0, 12, 2)).toBe(0)
  })

  test('a queue that the modern interface has put above its pages reads as their low 32 bits', () => {
    const { machine, driver } = pci()
    driver.setQueue(0, { ...PLACE, descriptors: 0x00ff_0123_4567_8000 })
    expect(machine.read(0, 8, 4)).toBe(0x1234_5678)
    driver.status = 0
    driver.setQueue(0, { ...PLACE, descriptors: 2 ** 63 })
    expect(machine.read(0, 8, 4)).toBe(0)
  })

  test('a reset reads 0 at once, and requests that follow wait for the end of those before', async () => {
    const held: (() => void)[] = []
    const order: number[] = []
    const device = plain({
      queues: [
        {
          size: 8,
          handle: (chain) => {
            order.push(chain.readable.slice(0, 1)![0]!)
            return new Promise((resolve) => held.push(() => resolve(0)))
          },
        },
      ],
    })
    const { machine } = pci(device, { modern: false })
    const start = (byte: number): void => {
      machine.write(0, 18, 1, DRIVER)
      machine.write(0, 4, 4, 0)
      machine.ram.fill(0, 0x2000, 0x4000)
      machine.write(0, 8, 4, 2)
      machine.ram[0x8000] = byte
      const ring = new SplitDriver(machine.view, LEGACY)
      ring.add([{ gpa: 0x8000, length: 1, write: false }], 1)
      ring.publish()
      machine.write(0, 16, 2, 0)
    }
    start(1)
    machine.write(0, 18, 1, 0)
    expect(machine.read(0, 18, 1)).toBe(0)
    start(2)
    expect(order).toEqual([1])
    machine.advance(1000)
    await turn()
    expect(order).toEqual([1])
    held.shift()!()
    await turn()
    await turn()
    expect(order).toEqual([1, 2])
  })
})

describe('a device that takes chains itself', () => {
  function taker(): { machine: VirtioMachine; driver: PciDriver; queue: VirtioQueue; ring: SplitDriver } {
    let queue: VirtioQueue | undefined
    const { machine, driver } = pci(plain({ queues: [{ size: 8, notify: (given) => (queue = given) }] }))
    driver.negotiate([32])
    driver.setQueue(0, PLACE)
    driver.start()
    const ring = new SplitDriver(machine.view, PLACE)
    for (let i = 0; i < 3; i++) ring.add([{ gpa: 0x8000 + 16 * i, length: 16, write: true }], i)
    ring.publish()
    driver.notify(0)
    return { machine, driver, queue: queue!, ring }
  }

  test('several are given back at once, with one interrupt', () => {
    const { queue, ring, machine } = taker()
    const chains = [queue.take()!, queue.take()!]
    const seen: number[] = []
    machine.onWrite = () => seen.push(machine.view.getUint16(PLACE.device + 2, true))
    queue.completeTogether(chains, [16, 3])
    expect(new Set(seen)).toEqual(new Set([0]))
    expect(ring.reap()).toEqual([
      { token: 0, written: 16 },
      { token: 1, written: 3 },
    ])
  })

  test('a chain is given back once, and not more than it has room for is told', () => {
    const { queue, ring } = taker()
    const chain = queue.take()!
    chain.complete(99)
    chain.complete(1)
    expect(ring.reap()).toEqual([{ token: 0, written: 16 }])
  })

  test('what is given back without the right to reach memory waits for it', () => {
    const { queue, ring, machine, driver } = taker()
    const chain = queue.take()!
    machine.fn!.configWrite(4, 2, 3)
    expect(queue.ready).toBe(false)
    expect(chain.writable.write(0, Uint8Array.of(1))).toBe(false)
    chain.complete(5)
    expect(ring.reap()).toEqual([])
    machine.fn!.configWrite(4, 2, 7)
    expect(ring.reap()).toEqual([{ token: 0, written: 5 }])
    expect(driver.status & NEEDS_RESET).toBe(0)
  })

  test('a cancelled chain aborts its signal, and is dead', () => {
    const { queue, driver, ring } = taker()
    const chain = queue.take()!
    const { signal } = chain
    driver.status = 0
    expect([chain.cancelled, signal.aborted, chain.readable.read(0, new Uint8Array(0))]).toEqual([true, true, false])
    chain.complete(1)
    expect(ring.reap()).toEqual([])
  })
})

describe('MMIO (§4.2)', () => {
  test('a transport without a device has ID 0', () => {
    const machine = new VirtioMachine(new EmptyVirtioMmio({ base: 0x1000_0000, count: 2 }))
    for (const base of [0, 0x200]) {
      expect([0, 4, 8, 12].map((at) => machine.mmio!.read(base + at, 4))).toEqual([0x7472_6976, 2, 0, 0x7274_7072])
      void machine.mmio!.write(base, 4, 5)
      expect([machine.mmio!.read(base, 4), machine.mmio!.read(base + 0x100, 4), machine.mmio!.read(base, 2)]).toEqual([
        0x7472_6976, 0, 0,
      ])
    }
    expect(() => new EmptyVirtioMmio({ base: 0, count: 0 })).toThrow('virtio-mmio-empty: count 0: expected at least 1')
  })

  test('a driver finds the device, and a request goes through', () => {
    const model = new VirtioMmio(plain(), { base: 0x1000_0000, irq: 40 })
    const machine = new VirtioMachine(model)
    const read = (at: number): number => (machine.mmio!.read(at, 4) as number) >>> 0
    const write = (at: number, value: number): void => void machine.mmio!.write(at, 4, value)
    expect([0, 4, 8].map(read)).toEqual([0x7472_6976, 2, 2])
    write(0x70, 0)
    write(0x70, ACKNOWLEDGE | DRIVER)
    write(0x14, 1)
    expect(read(0x10)).toBe((1 << 0) | (1 << 9))
    write(0x24, 1)
    write(0x20, 1)
    write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK)
    expect(read(0x70)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK)
    write(0x30, 0)
    expect(read(0x34)).toBe(8)
    write(0x38, 8)
    for (const [at, gpa] of [
      [0x80, PLACE.descriptors],
      [0x90, PLACE.driver],
      [0xa0, PLACE.device],
    ] as const)
      write(at, gpa)
    write(0x44, 1)
    write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
    const ring = new SplitDriver(machine.view, PLACE)
    ring.add([{ gpa: 0x8000, length: 1, write: true }], 9)
    ring.publish()
    write(0x50, 0)
    expect(ring.reap()).toEqual([{ token: 9, written: 1 }])
    expect([machine.level, read(0x60)]).toEqual([true, 1])
    write(0x64, 1)
    expect([machine.level, read(0x60)]).toEqual([false, 0])
    expect(read(0x100)).toBe(0x0403_0201)
    expect([read(0xb0), read(0xfc)]).toEqual([0xffff_ffff, 0])
    write(0x30, 1)
    expect(read(0x34)).toBe(0)
  })
})
