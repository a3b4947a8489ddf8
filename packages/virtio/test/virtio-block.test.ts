import { TestDisk, turn } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { VirtioBlock, type VirtioBlockOptions, VirtioPci } from '../src/index.ts'
import { NEEDS_RESET, PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const PLACE = { size: 16, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }
const HEADER = 0x5000
const DATA = 0x8000
const STATUS = 0x6000
const FLUSH_FEATURE = 9
const WRITEBACK_FEATURE = 11

/** A driver of a disk: requests of a header, data, and a status. */
class BlockDriver {
  readonly disk: TestDisk
  readonly machine: VirtioMachine
  readonly driver: PciDriver
  readonly model: VirtioPci
  ring: SplitDriver
  readonly #bits: readonly number[]

  constructor(
    given: Partial<VirtioBlockOptions> = {},
    bits: readonly number[] = [FLUSH_FEATURE],
    disk = new TestDisk(64 * 512),
  ) {
    this.disk = disk
    this.model = new VirtioPci(new VirtioBlock({ medium: disk, queueSize: 16, ...given }), { device: 3 })
    this.machine = new VirtioMachine(this.model)
    this.driver = new PciDriver(this.machine)
    this.#bits = bits
    this.ring = this.restart()
  }

  /** Resets the device, and begins anew. */
  restart(): SplitDriver {
    expect(this.driver.negotiate([32, ...this.#bits])).toBe(true)
    this.driver.setQueue(0, PLACE)
    this.driver.start()
    return (this.ring = new SplitDriver(this.machine.view, PLACE))
  }

  send(type: number, sector: number, data: Uint8Array | number, write = typeof data === 'number'): void {
    const { view, ram } = this.machine
    view.setUint32(HEADER, type, true)
    view.setUint32(HEADER + 8, sector % 2 ** 32, true)
    view.setUint32(HEADER + 12, Math.floor(sector / 2 ** 32), true)
    ram[STATUS] = 0xee
    const length = typeof data === 'number' ? data : data.length
    if (typeof data !== 'number') ram.set(data, DATA)
    const pieces = [
      { gpa: HEADER, length: 16, write: false },
      ...(length > 0 ? [{ gpa: DATA, length, write }] : []),
      { gpa: STATUS, length: 1, write: true },
    ]
    this.ring.add(pieces, 1)
    this.ring.publish()
    this.driver.notify(0)
  }

  async done(): Promise<{ status: number; written: number }> {
    for (let i = 0; i < 5; i++) {
      await turn()
      this.machine.advance(100_000)
    }
    const [done] = this.ring.reap()
    return { status: this.machine.ram[STATUS]!, written: done?.written ?? -1 }
  }

  async request(type: number, sector: number, data: Uint8Array | number): Promise<{ status: number; written: number }> {
    this.send(type, sector, data)
    return this.done()
  }
}

const range = (sector: number, sectors: number, flags = 0): Uint8Array =>
  new Uint8Array(Uint32Array.of(sector, 0, sectors, flags).buffer)

describe('requests (VIRTIO 1.2, §5.2.6)', () => {
  test('a read, a write and a flush', async () => {
    const block = new BlockDriver()
    const { disk, machine } = block
    expect(await block.request(0, 3, 1024)).toEqual({ status: 0, written: 1025 })
    expect(machine.ram.slice(DATA, DATA + 1024)).toEqual(disk.bytes.slice(3 * 512, 5 * 512))
    expect(await block.request(1, 5, new Uint8Array(512).fill(9))).toEqual({ status: 0, written: 1 })
    expect(disk.bytes[5 * 512]).toBe(9)
    expect(await block.request(4, 0, 0)).toEqual({ status: 0, written: 1 })
    expect(disk.log).toEqual(['read 1536+1024', 'write 2560+512', 'flush'])
  })

  test.each([
    { name: 'beyond the end', type: 0, sector: 63, data: 1024, status: 1 },
    { name: 'far beyond the end', type: 0, sector: 2 ** 63, data: 512, status: 1 },
    { name: 'a write beyond the end', type: 1, sector: 64, data: new Uint8Array(512), status: 1 },
    { name: 'a part of a sector', type: 0, sector: 0, data: 100, status: 1 },
    { name: 'a type that there is not', type: 99, sector: 0, data: 0, status: 2 },
    { name: 'a SCSI command of old', type: 2, sector: 0, data: 0, status: 2 },
    { name: 'a discard with a flag', type: 11, sector: 0, data: range(0, 1, 1), status: 2 },
    { name: 'a discard beyond the end', type: 11, sector: 0, data: range(60, 5), status: 1 },
    { name: 'a discard without a range', type: 11, sector: 0, data: 0, status: 1 },
    { name: 'a part of a range', type: 11, sector: 0, data: new Uint8Array(15), status: 1 },
    { name: 'zeros with a flag that there is not', type: 13, sector: 0, data: range(0, 1, 2), status: 2 },
    { name: 'zeros of too many sectors', type: 13, sector: 0, data: range(0, 0x80_0000), status: 1 },
  ])('$name: status $status, and the medium hears nothing', async ({ type, sector, data, status }) => {
    const block = new BlockDriver()
    const answer = await block.request(type, sector, data)
    expect(answer.status).toBe(status)
    expect(block.disk.log).toEqual([])
    expect(block.driver.status & NEEDS_RESET).toBe(0)
  })

  test('discard and zeros', async () => {
    const block = new BlockDriver()
    const two = Uint8Array.of(...range(2, 3), ...range(8, 1))
    expect(await block.request(11, 0, two)).toEqual({ status: 0, written: 1 })
    expect(await block.request(13, 0, range(4, 2, 1))).toEqual({ status: 0, written: 1 })
    expect(block.disk.log).toEqual(['discard 1024+1536', 'discard 4096+512', 'zeroes 2048+1024'])
  })

  test('the serial number', async () => {
    const block = new BlockDriver({ serialNumber: 'AB-12' })
    expect(await block.request(8, 0, 20)).toEqual({ status: 0, written: 21 })
    expect(Buffer.from(block.machine.ram.slice(DATA, DATA + 20)).toString()).toBe(`AB-12${'\0'.repeat(15)}`)
  })

  test('a medium that fails', async () => {
    const block = new BlockDriver()
    block.disk.bad = 'ERR_MEDIUM'
    expect(await block.request(0, 0, 512)).toEqual({ status: 1, written: 0 })
    expect(await block.request(1, 0, new Uint8Array(512))).toEqual({ status: 1, written: 1 })
    expect(await block.request(4, 0, 0)).toEqual({ status: 1, written: 1 })
  })

  test('a chain without a header or a status needs a reset', () => {
    for (const piece of [
      { gpa: HEADER, length: 15, write: false },
      { gpa: HEADER, length: 16, write: false },
      { gpa: HEADER, length: 16, write: true },
    ]) {
      const { ring, driver } = new BlockDriver()
      ring.add([piece], 1)
      ring.publish()
      driver.notify(0)
      expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
    }
  })

  const one = new Uint8Array(512)
  const most = [range(0, 0x80_0000), range(0, 0x7f_ffff)]
  // Types, sectors and data of requests, and their status.
  test.each([
    ['of 1 TiB', [9], { bytes: 2 ** 40 }, [[11, 0, most[0]!, 1], [11, 0, most[1]!, 0]], ['discard 0+4294966784']], // prettier-ignore
    ['that discards nothing, even with the flag of a barrier', [9], { discards: false }, [[0x8000_000b, 0, range(0, 1), 2]], []], // prettier-ignore
    ['that is read-only', [5], { readOnly: true }, [[1, 0, one, 1], [13, 0, range(0, 1), 2]], []], // prettier-ignore
    ['that takes so much at a time', [], { maximumBytes: 1100 }, [[0, 0, 2560, 0]], ['read 0+1024', 'read 1024+1024', 'read 2048+512']], // prettier-ignore
    ['of blocks of 4 KiB', [6], { blockBytes: 4096 }, [[0, 1, 4096, 1], [0, 8, 512, 1], [0, 8, 4096, 0]], ['read 4096+4096']], // prettier-ignore
  ] as const)('a disk %s', async (_, features, given, requests, log) => {
    const disk = new TestDisk(64 * 512)
    disk.given = given
    const block = new BlockDriver({}, [...features], disk)
    for (const [type, at, data, status] of requests) expect((await block.request(type, at, data)).status).toBe(status)
    expect([disk.log, block.driver.config(20, 4)]).toEqual([log, disk.properties.blockBytes])
  })
})

describe('durability (§5.2.6.2)', () => {
  test.each([
    { bits: [], mode: undefined, durable: true },
    { bits: [FLUSH_FEATURE], mode: undefined, durable: false },
    { bits: [FLUSH_FEATURE, WRITEBACK_FEATURE], mode: undefined, durable: false },
    { bits: [FLUSH_FEATURE, WRITEBACK_FEATURE], mode: 0, durable: true },
    { bits: [FLUSH_FEATURE, WRITEBACK_FEATURE], mode: 1, durable: false },
  ])('features $bits, mode $mode: a write is durable: $durable', async ({ bits, mode, durable }) => {
    const block = new BlockDriver({}, bits)
    if (mode !== undefined) block.machine.write(4, 0x2000 + 32, 1, mode)
    await block.request(1, 0, new Uint8Array(512))
    expect(block.disk.log).toEqual([durable ? 'write 0+512 durable' : 'write 0+512'])
  })
})

describe('configuration (§5.2.4)', () => {
  test('size, limits, topology, queues', () => {
    const { driver } = new BlockDriver({ queues: 3 })
    expect([driver.config(0, 4), driver.config(4, 4)]).toEqual([64, 0])
    expect([driver.config(8, 4), driver.config(12, 4), driver.config(20, 4)]).toEqual([0x1_0000, 14, 512])
    expect([driver.config(24, 1), driver.config(26, 2), driver.config(34, 2)]).toEqual([3, 8, 3])
    expect(driver.features(0) & 0x7fff).toBe(0b111_1110_0100_0110)
  })

  test('a medium that grows is told to the guest', () => {
    const { driver, disk, machine } = new BlockDriver()
    disk.change({ bytes: 512 * 5 + 100 })
    expect([driver.config(0, 4), driver.isr(), machine.read(4, 21, 1)]).toEqual([5, 2, 1])
  })

  test.each([
    { given: { queues: 0 }, message: '0 queues' },
    { given: { queueSize: 12 }, message: 'queues of 12 entries' },
    { given: { serialNumber: 'x'.repeat(21) }, message: 'serial number' },
  ])('a disk that cannot be is refused: $message', ({ given, message }) => {
    expect(() => new BlockDriver(given)).toThrow(message)
  })
})

test('a reset cancels requests, and no later one overtakes them', async () => {
  const block = new BlockDriver()
  block.disk.hold = true
  block.send(1, 0, new Uint8Array(512).fill(1))
  await turn()
  block.driver.status = 0
  expect(block.driver.status).not.toBe(0)
  expect(block.disk.signals.map((signal) => signal?.aborted)).toEqual([true])
  block.disk.release()
  await turn()
  await turn()
  // Its instant is the guest's, not the host's.
  expect(block.driver.status).not.toBe(0)
  block.machine.advance(1000)
  await turn()
  await turn()
  expect(block.driver.status).toBe(0)
  expect(block.machine.ram[STATUS]).toBe(0xee)
})

describe('requests take no more host memory than the budget', () => {
  /** Of 64 MiB in all, these leave 128 KiB and a half. */
  const MOST = (1022 << 16) - 512

  function bigDisk(): BlockDriver {
    const disk = new TestDisk(1 << 20)
    disk.given = { bytes: 2 ** 40, maximumBytes: 1 << 30 }
    return new BlockDriver({ queueSize: 1024 }, [FLUSH_FEATURE], disk)
  }

  function read(block: BlockDriver, count: number): void {
    const pieces = [
      { gpa: HEADER, length: 16, write: false },
      { gpa: DATA, length: MOST + 1, write: true },
    ]
    for (let i = 0; i < count; i++) block.ring.add(pieces, i)
    block.ring.publish()
    block.driver.notify(0)
  }

  test('the second one waits until the answer of the first has taken effect', async () => {
    const block = bigDisk()
    read(block, 2)
    await turn()
    expect(block.disk.log).toEqual([`read 0+${MOST}`])
    block.machine.advance(100_000)
    await turn()
    expect(block.disk.log.length).toBe(2)
  })

  test('a reset gives it back', async () => {
    const block = bigDisk()
    for (let i = 1; i <= 3; i++) {
      read(block, 1)
      await turn()
      expect(block.disk.log.length).toBe(i)
      block.restart()
      block.machine.advance(1000)
    }
  })

  test('a machine that is saved waits for all of them', async () => {
    const block = bigDisk()
    read(block, 3)
    await block.model.quiesce(1000)
    expect(block.disk.log.length).toBe(3)
  })

  test('a write whose data went out of reach while it waited is made later', async () => {
    const block = bigDisk()
    read(block, 1)
    const data = new Uint8Array(512 << 9).fill(7)
    block.machine.view.setUint32(HEADER, 1, true)
    block.send(1, 0, data)
    // Without the right to reach memory.
    block.machine.fn!.configWrite(4, 2, 3)
    await block.done()
    expect(block.disk.log).toEqual([`read 0+${MOST}`])
    block.machine.fn!.configWrite(4, 2, 7)
    await block.done()
    await block.done()
    expect(block.disk.bytes[0]).toBe(7)
  })
})

test('an answer that came while the device could not reach memory: the request is made again', async () => {
  const block = new BlockDriver()
  block.disk.hold = true
  block.send(0, 3, 512)
  block.machine.fn!.configWrite(4, 2, 3)
  await turn()
  block.disk.release()
  expect(await block.done()).toEqual({ status: 0xee, written: -1 })
  block.disk.hold = false
  block.machine.fn!.configWrite(4, 2, 7)
  expect(await block.done()).toEqual({ status: 0, written: 513 })
  expect(block.machine.ram.slice(DATA, DATA + 512)).toEqual(block.disk.bytes.slice(3 * 512, 4 * 512))
})

describe('data that the medium moves without a wait', () => {
  const atOnce = (bits?: readonly number[]): BlockDriver => {
    const block = new BlockDriver({}, bits)
    block.machine.clock.realTime = true
    block.disk.inPlace = true
    return block
  }
  const answer = ({ ring, machine }: BlockDriver): readonly (number | undefined)[] => [
    ...ring.reap().map(({ written }) => written),
    machine.ram[STATUS],
  ]

  test('a request is answered when the driver has told of it', () => {
    const block = atOnce()
    const { disk, machine } = block
    block.send(0, 3, 1024)
    expect(answer(block)).toEqual([1025, 0])
    expect(machine.ram.slice(DATA, DATA + 1024)).toEqual(disk.bytes.slice(3 * 512, 5 * 512))
    block.send(1, 5, new Uint8Array(512).fill(9))
    expect(answer(block)).toEqual([1, 0])
    expect(disk.bytes.slice(5 * 512, 6 * 512)).toEqual(new Uint8Array(512).fill(9))
    expect(disk.log).toEqual(['read 1536+1024 in place', 'write 2560+512 in place'])
  })

  test('a failure is answered too', () => {
    const block = atOnce()
    block.disk.bad = 'ERR_MEDIUM'
    block.send(0, 0, 512)
    expect(answer(block)).toEqual([0, 1])
    block.send(1, 0, new Uint8Array(512))
    expect(answer(block)).toEqual([1, 1])
  })

  test.each([
    { name: 'on time that is not the host’s', realTime: false, log: ['read 0+512', 'write 0+512'] },
    { name: 'where the medium would wait', inPlace: false, log: ['read 0+512', 'write 0+512'] },
    { name: 'of a write without a flush after it', bits: [], log: ['read 0+512 in place', 'write 0+512 durable'] },
  ])('it is not moved so $name', async ({ realTime = true, inPlace = true, bits, log }) => {
    const block = atOnce(bits)
    block.machine.clock.realTime = realTime
    block.disk.inPlace = inPlace
    expect(await block.request(0, 0, 512)).toEqual({ status: 0, written: 513 })
    expect(await block.request(1, 0, new Uint8Array(512))).toEqual({ status: 0, written: 1 })
    expect(block.disk.log).toEqual(log)
  })

  test('a request of more than the medium takes at a time, or beyond its end, is not moved so', async () => {
    const block = atOnce()
    block.disk.given = { maximumBytes: 512 }
    expect((await block.request(0, 0, 1024)).status).toBe(0)
    expect((await block.request(0, 64, 512)).status).toBe(1)
    expect(block.disk.log).toEqual(['read 0+512', 'read 512+512'])
  })

  test('a read-only disk is not written', async () => {
    const block = atOnce()
    block.disk.given = { readOnly: true }
    expect((await block.request(1, 0, new Uint8Array(512))).status).toBe(1)
    expect(block.disk.log).toEqual([])
  })
})
