import { turn } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { VirtioPci } from '../src/index.ts'
import { NEEDS_RESET, PciDriver } from './support/pci-driver.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const SIZE = 8
const DESCRIPTORS = 0x1000
const DRIVER_AREA = 0x2000
const DEVICE_AREA = 0x3000
const TABLE = 0x5000
/** RAM of a test machine ends there. */
const RAM_BYTES = 0x10_0000
const NEXT = 1
const WRITE = 2
const INDIRECT = 4
const AVAILABLE = 0x80

type Entry = readonly [gpa: number, length: number, flags: number, next: number, high?: number]

/** A device with a queue of eight entries, whose descriptors are as given, and whose first chain is available. */
function run(
  entries: readonly Entry[],
  given: { packed?: boolean; table?: readonly Entry[]; tableAt?: number; indirect?: boolean },
): PciDriver {
  const { packed = false, table = [], tableAt = TABLE, indirect = true } = given
  const device = { name: 'plain', type: 4, queues: [{ size: SIZE, handle: () => 0 }] }
  const machine = new VirtioMachine(new VirtioPci(device, { device: 3, packed }))
  const driver = new PciDriver(machine)
  driver.negotiate([32, ...(packed ? [34] : []), ...(indirect ? [28] : [])])
  driver.setQueue(0, { size: SIZE, descriptors: DESCRIPTORS, driver: DRIVER_AREA, device: DEVICE_AREA })
  driver.start()
  const put = (at: number, [gpa, length, flags, next, high = 0]: Entry): void => {
    machine.view.setUint32(at, gpa, true)
    machine.view.setUint32(at + 4, high, true)
    machine.view.setUint32(at + 8, length, true)
    // A packed ring has the flags last.
    machine.view.setUint16(at + (packed ? 14 : 12), flags, true)
    machine.view.setUint16(at + (packed ? 12 : 14), next, true)
  }
  entries.forEach((entry, i) => put(DESCRIPTORS + 16 * i, entry))
  table.forEach((entry, i) => put(tableAt + 16 * i, entry))
  if (!packed) machine.view.setUint16(DRIVER_AREA + 2, 1, true)
  driver.notify(0)
  return driver
}

describe('split rings that break a rule', () => {
  test.each<{ name: string; entries: Entry[]; table?: Entry[]; indirect?: boolean }>([
    { name: 'a loop of one', entries: [[0x8000, 1, NEXT, 0]] },
    {
      name: 'a loop of two',
      entries: [
        [0x8000, 1, NEXT, 1],
        [0x8000, 1, NEXT, 0],
      ],
    },
    { name: 'a next descriptor beyond the table', entries: [[0x8000, 1, NEXT, SIZE]] },
    { name: 'an empty piece', entries: [[0x8000, 0, 0, 0]] },
    { name: 'an address of 64 bits', entries: [[0, 1, 0, 0, 0x8000_0000]] },
    {
      name: 'a piece to read behind one to write',
      entries: [
        [0x8000, 1, WRITE | NEXT, 1],
        [0x8000, 1, 0, 0],
      ],
    },
    {
      name: 'more than 4 GiB in all',
      entries: [
        [0x8000, 0xffff_ffff, NEXT, 1],
        [0x8000, 2, 0, 0],
      ],
    },
    { name: 'a table within a table', entries: [[TABLE, 16, INDIRECT, 0]], table: [[TABLE, 16, INDIRECT, 0]] },
    { name: 'a table of a part of a descriptor', entries: [[TABLE, 17, INDIRECT, 0]], table: [[0x8000, 1, 0, 0]] },
    { name: 'an empty table', entries: [[TABLE, 0, INDIRECT, 0]] },
    { name: 'a table with a next descriptor', entries: [[TABLE, 16, INDIRECT | NEXT, 1]], table: [[0x8000, 1, 0, 0]] },
    { name: 'a table outside RAM', entries: [[0x8000_0000, 16, INDIRECT, 0]] },
    {
      name: 'a table that was not negotiated',
      entries: [[TABLE, 16, INDIRECT, 0]],
      table: [[0x8000, 1, 0, 0]],
      indirect: false,
    },
    {
      name: 'a table longer than the queue',
      entries: [[TABLE, 16 * 9, INDIRECT, 0]],
      table: Array.from({ length: 9 }, (_, i): Entry => [0x8000, 1, i < 8 ? NEXT : 0, i + 1]),
    },
  ])('$name', ({ entries, table, indirect }) => {
    const driver = run(entries, { ...(table && { table }), ...(indirect !== undefined && { indirect }) })
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
    // The driver is told, and a reset helps.
    expect(driver.isr() & 2).toBe(2)
    driver.status = 0
    expect(driver.status).toBe(0)
  })

  test('a table as long as the queue is in order', () => {
    const table = Array.from({ length: 8 }, (_, i): Entry => [0x8000, 1, i < 7 ? NEXT : 0, i + 1])
    expect(run([[TABLE, 16 * 8, INDIRECT, 0]], { table }).status & NEEDS_RESET).toBe(0)
  })

  test('a chain may use few of the descriptors of its table, wherever they are', () => {
    const table = Array.from({ length: 20 }, (_, i): Entry => [0x8000, 1, i === 0 ? NEXT : 0, 19])
    expect(run([[TABLE, 16 * 20, INDIRECT, 0]], { table }).status & NEEDS_RESET).toBe(0)
    const tableAt = RAM_BYTES - 16
    expect(run([[tableAt, 16 * 8, INDIRECT, 0]], { table: [[0x8000, 1, 0, 0]], tableAt }).status & NEEDS_RESET).toBe(0)
    expect(run([[tableAt, 16 * 8, INDIRECT, 0]], { table: [[0x8000, 1, NEXT, 1]], tableAt }).status & NEEDS_RESET).toBe(
      NEEDS_RESET,
    )
  })
})

describe('packed rings that break a rule', () => {
  const all = (flags: number): Entry[] => Array.from({ length: SIZE }, () => [0x8000, 1, flags | AVAILABLE, 0])
  test.each<{ name: string; entries: Entry[]; table?: Entry[] }>([
    { name: 'a chain without an end', entries: all(NEXT) },
    { name: 'an empty piece', entries: [[0x8000, 0, AVAILABLE, 0]] },
    {
      name: 'a table as a part of a chain',
      entries: [
        [0x8000, 1, AVAILABLE | NEXT, 0],
        [TABLE, 16, INDIRECT, 0],
      ],
    },
    {
      name: 'a table within a table',
      entries: [[TABLE, 16, AVAILABLE | INDIRECT, 0]],
      table: [[TABLE, 16, INDIRECT, 0]],
    },
    { name: 'a table of a part of a descriptor', entries: [[TABLE, 24, AVAILABLE | INDIRECT, 0]] },
    { name: 'a table that is too long', entries: [[TABLE, 0xffff_fff0, AVAILABLE | INDIRECT, 0]] },
  ])('$name', ({ entries, table }) => {
    expect(run(entries, { packed: true, ...(table && { table }) }).status & NEEDS_RESET).toBe(NEEDS_RESET)
  })
})

describe('queues that cannot be', () => {
  const place = { size: SIZE, descriptors: DESCRIPTORS, driver: DRIVER_AREA, device: DEVICE_AREA }
  test.each([
    { ...place, size: 3 },
    { ...place, size: 16 },
    { ...place, size: 0 },
    { ...place, descriptors: 0x1008 },
    { ...place, driver: 0x2001 },
    { ...place, device: 0x3002 },
    { ...place, driver: 0x4000_0000 },
    { ...place, driver: 2 ** 63 },
  ])('$size entries, $descriptors, $driver, $device', (given) => {
    const device = { name: 'plain', type: 4, queues: [{ size: SIZE, handle: () => 0 }] }
    const driver = new PciDriver(new VirtioMachine(new VirtioPci(device, { device: 3 })))
    driver.negotiate([32])
    driver.setQueue(0, given)
    driver.start()
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
  })

  test('an index that is further ahead than there are entries', () => {
    const driver = run([[0x8000, 1, 0, 0]], {})
    driver.machine.view.setUint16(DRIVER_AREA + 2, 10, true)
    driver.notify(0)
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
  })

  test('one chain that is made available again and again while it is under way', async () => {
    const device = {
      name: 'slow',
      type: 4,
      queues: [{ size: SIZE, handle: (): Promise<number> => new Promise<number>(() => {}) }],
    }
    const machine = new VirtioMachine(new VirtioPci(device, { device: 3 }))
    const driver = new PciDriver(machine)
    driver.negotiate([32])
    driver.setQueue(0, place)
    driver.start()
    machine.view.setUint32(DESCRIPTORS, 0x8000, true)
    machine.view.setUint32(DESCRIPTORS + 8, 1, true)
    for (let index = 1; index <= SIZE; index++) {
      machine.view.setUint16(DRIVER_AREA + 2, index, true)
      driver.notify(0)
    }
    expect(driver.status & NEEDS_RESET).toBe(0)
    machine.view.setUint16(DRIVER_AREA + 2, SIZE + 1, true)
    driver.notify(0)
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
    await turn()
  })
})
