import { TestDisk, turn } from '@retrap/device/test-machine'
import { ScsiCd, ScsiDisk, type ScsiUnit } from '@retrap/scsi'
import { describe, expect, test } from 'vitest'
import { VirtioPci } from '../src/index.ts'
import { VirtioScsi } from '../src/scsi.ts'
import { NEEDS_RESET, PciDriver } from './support/pci-driver.ts'
import { type RingPlace, SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const place = (at: number): RingPlace => ({
  size: 16,
  descriptors: at,
  driver: at + 0x400,
  device: at + 0x800,
  eventIndex: false,
})
const PLACES = [place(0x1000), place(0x2000), place(0x3000)] as const
const HEADER = 0x5000
const ANSWER = 0x6000
const DATA = 0x8000
const EVENTS = 0x7000
const SENSE_AT = 12
const HOTPLUG = 1
const CHANGE = 2
const UNIT_0 = [1, 0, 0x40, 0, 0, 0, 0, 0]
const unitOf = (target: number): number[] => UNIT_0.with(1, target)
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

const diskUnit = (medium: TestDisk): ScsiUnit => new ScsiDisk({ medium, serialNumber: 'S-1' })

/** A driver of the controller: one command at a time, or several. */
class ScsiDriver {
  readonly disk = new TestDisk(64 * 512)
  readonly device = new VirtioScsi({ targets: new Map([[0, diskUnit(this.disk)]]), queueSize: 16 })
  readonly model = new VirtioPci(this.device, { device: 3 })
  readonly machine: VirtioMachine = new VirtioMachine(this.model)
  readonly driver = new PciDriver(this.machine)
  rings: SplitDriver[] = []
  #tokens = 0

  constructor() {
    this.restart()
  }

  restart(): void {
    expect(this.driver.negotiate([32, HOTPLUG, CHANGE])).toBe(true)
    this.machine.ram.fill(0, 0x1000, 0x4000)
    PLACES.forEach((at, index) => this.driver.setQueue(index, at))
    this.driver.start()
    this.rings = PLACES.map((at) => new SplitDriver(this.machine.view, at))
  }

  /** Sends bytes to a queue. @returns the place of the answer */
  send(queue: number, bytes: readonly number[], room: number, out: Uint8Array = new Uint8Array(0)): number {
    const slot = this.#tokens++ % 4
    const [header, answer, data] = [HEADER + 0x100 * slot, ANSWER + 0x100 * slot, DATA + 0x4000 * slot]
    const { ram } = this.machine
    ram.set(bytes, header)
    ram.set(out, data)
    ram.fill(0xee, answer, answer + 0x100)
    this.rings[queue]!.add(
      [
        { gpa: header, length: bytes.length, write: false },
        ...(out.length > 0 ? [{ gpa: data, length: out.length, write: false }] : []),
        { gpa: answer, length: queue === 0 ? 8 : 108, write: true },
        ...(room > 0 ? [{ gpa: data, length: room, write: true }] : []),
      ],
      slot,
    )
    this.rings[queue]!.publish()
    this.driver.notify(queue)
    return slot
  }

  command(
    cdb: readonly number[],
    given: { room?: number; out?: Uint8Array; unit?: readonly number[]; id?: number } = {},
  ) {
    const { room = 0, out, unit = UNIT_0, id = 7 } = given
    const command = [...cdb, ...Array.from({ length: 32 - cdb.length }, () => 0)]
    return this.send(2, [...unit, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...command], room, out)
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await turn()
      this.machine.advance(100_000)
    }
  }

  answer(slot: number) {
    const { ram, view } = this.machine
    const at = ANSWER + 0x100 * slot
    const sense = ram.subarray(at + SENSE_AT, at + SENSE_AT + view.getUint32(at, true))
    return {
      status: ram[at + 10],
      response: ram[at + 11],
      residual: view.getUint32(at + 4, true),
      sense: sense.length === 0 ? null : [sense[2], sense[12], sense[13]],
      data: ram.subarray(DATA + 0x4000 * slot),
    }
  }

  async run(cdb: readonly number[], given: Parameters<ScsiDriver['command']>[1] = {}) {
    const slot = this.command(cdb, given)
    await this.settle()
    expect(this.rings[2]!.reap().map(({ token }) => token)).toEqual([slot])
    return this.answer(slot)
  }

  /** Takes the unit attention that follows power-on. */
  async ready(): Promise<this> {
    expect((await this.run([0])).sense).toEqual([6, 0x29, 0])
    return this
  }

  async manage(kind: number, id = 0, unit: readonly number[] = UNIT_0): Promise<number> {
    const slot = this.send(0, [0, 0, 0, 0, kind, 0, 0, 0, ...unit, id, 0, 0, 0, 0, 0, 0, 0], 0)
    await this.settle()
    return this.machine.ram[ANSWER + 0x100 * slot]!
  }
}

const start = (): Promise<ScsiDriver> => new ScsiDriver().ready()

describe('commands (VIRTIO 1.2, 5.6.6.1; SPC-4; SBC-3)', () => {
  test('INQUIRY and REPORT LUNS come before the unit attention, and leave it', async () => {
    const scsi = new ScsiDriver()
    const { data, status, residual } = await scsi.run([0x12, 0, 0, 0, 96], { room: 96 })
    expect([status, residual, data[0], text(data.subarray(8, 14))]).toEqual([0, 60, 0, 'RETRAP'])
    const luns = await scsi.run([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16], { room: 16 })
    expect([...luns.data.subarray(0, 16)]).toEqual([0, 0, 0, 8, ...Array.from({ length: 12 }, () => 0)])
    expect((await scsi.run([0])).sense).toEqual([6, 0x29, 0])
    expect(await scsi.run([0])).toMatchObject({ status: 0, response: 0, sense: null })
  })

  test.each([
    { page: 0x00, begins: [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2] },
    { page: 0x80, begins: [0, 0x80, 0, 3, 0x53, 0x2d, 0x31] },
    { page: 0x83, begins: [0, 0x83, 0, 15, 2, 1, 0, 11] },
    // At most 8192 blocks a command; 256 ranges; a granularity of 8 blocks.
    {
      page: 0xb0,
      begins: [
        0, 0xb0, 0, 60, 1, 0, 0, 1, 0, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8,
      ],
    },
    { page: 0xb1, begins: [0, 0xb1, 0, 60, 0, 1] },
    { page: 0xb2, begins: [0, 0xb2, 0, 4, 0, 0xe0, 2, 0] },
  ])('vital product data page $page', async ({ page, begins }) => {
    const { data, status } = await (await start()).run([0x12, 1, page, 0, 255], { room: 255 })
    expect([status, ...data.subarray(0, begins.length)]).toEqual([0, ...begins])
  })

  test('capacities', async () => {
    const scsi = await start()
    const short = await scsi.run([0x25], { room: 8 })
    expect([...short.data.subarray(0, 8)]).toEqual([0, 0, 0, 63, 0, 0, 2, 0])
    const long = await scsi.run([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], { room: 32 })
    const zeros = Array.from({ length: 17 }, () => 0)
    expect([...long.data.subarray(0, 32)]).toEqual([0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 2, 0, 0, 3, 0x80, ...zeros])
    // A longer buffer gets no more.
    const room = await scsi.run([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64], { room: 64 })
    expect(room).toMatchObject({ status: 0, residual: 32 })
  })

  test.each([
    { name: 'READ(6)', cdb: [0x08, 0, 0, 2, 3] },
    { name: 'READ(10)', cdb: [0x28, 0, 0, 0, 0, 2, 0, 0, 3] },
    { name: 'READ(12)', cdb: [0xa8, 0, 0, 0, 0, 2, 0, 0, 0, 3] },
    { name: 'READ(16)', cdb: [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3] },
  ])('$name', async ({ cdb }) => {
    const scsi = await start()
    const { data, status, residual } = await scsi.run(cdb, { room: 2048 })
    expect([status, residual]).toEqual([0, 512])
    expect(data.subarray(0, 1536)).toEqual(scsi.disk.bytes.subarray(1024, 2560))
  })

  test.each([
    { name: 'WRITE(6)', cdb: [0x0a, 0, 0, 2, 1], durable: '' },
    { name: 'WRITE(10)', cdb: [0x2a, 0, 0, 0, 0, 2, 0, 0, 1], durable: '' },
    { name: 'WRITE(12)', cdb: [0xaa, 0x08, 0, 0, 0, 2, 0, 0, 0, 1], durable: ' durable' },
    { name: 'WRITE(16)', cdb: [0x8a, 0x08, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1], durable: ' durable' },
  ])('$name', async ({ cdb, durable }) => {
    const scsi = await start()
    const out = Uint8Array.from({ length: 512 }, (_, i) => i * 7)
    expect(await scsi.run(cdb, { out })).toMatchObject({ status: 0, sense: null })
    expect(scsi.disk.bytes.subarray(1024, 1536)).toEqual(out)
    expect(scsi.disk.log).toEqual([`write 1024+512${durable}`])
  })

  test('flush, zeroes, and blocks that are not needed', async () => {
    const scsi = await start()
    expect((await scsi.run([0x35])).status).toBe(0)
    const zeroes = await scsi.run([0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2], { out: new Uint8Array(512) })
    expect(zeroes.status).toBe(0)
    const list = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0]
    const unmap = await scsi.run([0x42, 0, 0, 0, 0, 0, 0, 0, 24], { out: Uint8Array.from(list) })
    expect(unmap.sense).toBeNull()
    expect(scsi.disk.log).toEqual(['flush', 'zeroes 2048+1024', 'discard 4096+1536'])
  })

  test('a block is written over and over, in parts that the medium takes', async () => {
    const scsi = await start()
    const out = Uint8Array.from({ length: 512 }, (_, i) => i * 5 + 1)
    scsi.disk.given = { maximumBytes: 1024 }
    expect(await scsi.run([0x41, 0, 0, 0, 0, 4, 0, 0, 5], { out })).toMatchObject({ status: 0, sense: null })
    expect(scsi.disk.log).toEqual(['write 2048+1024', 'write 3072+1024', 'write 4096+512'])
    for (let block = 4; block < 9; block++)
      expect(scsi.disk.bytes.subarray(512 * block, 512 * block + 512)).toEqual(out)
  })

  test.each([
    { why: 'a block behind the end', cdb: [0x28, 0, 0, 0, 0, 63, 0, 0, 2], sense: [5, 0x21, 0] },
    { why: 'an unknown command', cdb: [0xc1], sense: [5, 0x20, 0] },
    { why: 'more than a command may move', cdb: [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], sense: [5, 0x21, 0] },
    { why: 'an unknown page', cdb: [0x12, 1, 0xb9, 0, 255], sense: [5, 0x24, 0] },
    { why: 'saved mode pages', cdb: [0x1a, 0, 0xff, 0, 255], sense: [5, 0x39, 0] },
    { why: 'a comparison with data', cdb: [0x2f, 2, 0, 0, 0, 0, 0, 0, 1], sense: [5, 0x24, 0] },
  ])('$why is refused', async ({ cdb, sense }) => {
    const scsi = await start()
    expect(await scsi.run(cdb, { room: 512, out: new Uint8Array(512).fill(1) })).toMatchObject({ status: 2, sense })
    expect(scsi.disk.log).toEqual([])
  })

  test.each([
    { code: 'ERR_MEDIUM', cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1], sense: [3, 0x11, 0] },
    { code: 'ERR_NO_SPACE', cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1], sense: [7, 0x27, 7] },
    { code: 'ERR_MEDIUM', cdb: [0x35], sense: [3, 0x0c, 0] },
  ] as const)('$code of the medium', async ({ code, cdb, sense }) => {
    const scsi = await start()
    scsi.disk.bad = code
    expect(await scsi.run(cdb, { room: 512, out: new Uint8Array(512) })).toMatchObject({ status: 2, sense })
  })

  test('a disk that cannot be written says so, and does not write', async () => {
    const scsi = await start()
    scsi.disk.given = { readOnly: true }
    expect((await scsi.run([0x1a, 0, 8, 0, 64], { room: 64 })).data[2]).toBe(0x90)
    expect((await scsi.run([0x2a, 0, 0, 0, 0, 0, 0, 0, 1], { out: new Uint8Array(512) })).sense).toEqual([7, 0x27, 0])
    expect(scsi.disk.log).toEqual([])
  })

  test.each([
    { why: 'another target', unit: unitOf(9), answer: { response: 3 } },
    { why: 'another unit', unit: UNIT_0.with(3, 1), answer: { response: 0, status: 2, sense: [5, 0x25, 0] } },
    { why: 'an address of another form', unit: UNIT_0.with(0, 9), answer: { response: 3 } },
    ...[4, 5, 6, 7].map((level) => ({
      why: `a unit below another, by byte ${level},`,
      unit: UNIT_0.with(level, 0x80),
      answer: { response: 0, status: 2, sense: [5, 0x25, 0] },
    })),
  ])('$why is not there', async ({ unit, answer }) => {
    const scsi = await start()
    expect(await scsi.run([0], { unit })).toMatchObject(answer)
  })

  test('a buffer that is too small overruns, and no byte is moved', async () => {
    const scsi = await start()
    for (const room of [0, 512, 1023]) {
      expect(await scsi.run([0x28, 0, 0, 0, 0, 0, 0, 0, 2], { room })).toMatchObject({ response: 1 })
      expect(await scsi.run([0x2a, 0, 0, 0, 0, 0, 0, 0, 2], { out: new Uint8Array(room) })).toMatchObject({
        response: 1,
      })
    }
    expect(scsi.disk.log).toEqual([])
    expect(await scsi.run([0x28, 0, 0, 0, 0, 0, 0, 0, 2], { room: 1024 })).toMatchObject({ response: 0 })
    expect(await scsi.run([0x2a, 0, 0, 0, 0, 0, 0, 0, 2], { out: new Uint8Array(1024) })).toMatchObject({ response: 0 })
  })

  test('a request without room for an answer stops the device', async () => {
    const scsi = await start()
    scsi.rings[2]!.add([{ gpa: HEADER, length: 51, write: false }], 0)
    scsi.rings[2]!.publish()
    scsi.driver.notify(2)
    expect(scsi.driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
  })
})

describe('task management (VIRTIO 1.2, 5.6.6.2)', () => {
  test.each([
    { kind: 0, name: 'ABORT TASK', ended: 2 },
    { kind: 1, name: 'ABORT TASK SET', ended: 2 },
    { kind: 5, name: 'LOGICAL UNIT RESET', ended: 4 },
  ])('$name answers when the medium has ended, and the command ends so', async ({ kind, ended }) => {
    const scsi = await start()
    // On deterministic time the guest waits for its first command.
    scsi.machine.clock.realTime = true
    scsi.disk.hold = true
    const slot = scsi.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], { room: 512, id: 9 })
    await scsi.settle()
    expect(await scsi.manage(6, 9)).toBe(10)
    const management = scsi.manage(kind, 9)
    await turn()
    expect(scsi.rings[0]!.reap().length).toBe(1)
    expect(scsi.disk.signals[0]!.aborted).toBe(true)
    scsi.disk.release()
    await management
    await scsi.settle()
    expect(scsi.rings[0]!.reap().length).toBe(1)
    expect(scsi.answer(slot).response).toBe(ended)
    expect(await scsi.manage(6, 9)).toBe(0)
    scsi.rings[2]!.reap()
    scsi.disk.hold = false
    expect((await scsi.run([0])).sense).toEqual(kind === 5 ? [6, 0x29, 0] : null)
  })

  test('of a unit that is not there is refused', async () => {
    const scsi = await start()
    expect(await scsi.manage(5, 0, unitOf(3))).toBe(3)
    expect(await scsi.manage(5, 0, UNIT_0.with(3, 1))).toBe(12)
    expect(await scsi.manage(99)).toBe(11)
  })

  test('asks for no events that a unit has not', async () => {
    const scsi = await start()
    const slot = scsi.send(0, [1, 0, 0, 0, ...UNIT_0, 0xff, 0, 0, 0], 0)
    await scsi.settle()
    expect([...scsi.machine.ram.subarray(ANSWER + 0x100 * slot).subarray(0, 5)]).toEqual([0, 0, 0, 0, 0])
  })
})

describe('events (VIRTIO 1.2, 5.6.6.3)', () => {
  const give = (scsi: ScsiDriver, count: number): void => {
    for (let i = 0; i < count; i++) scsi.rings[1]!.add([{ gpa: EVENTS + 16 * i, length: 16, write: true }], i)
    scsi.rings[1]!.publish()
    scsi.driver.notify(1)
  }
  const event = (scsi: ScsiDriver, index: number): readonly number[] => {
    const at = EVENTS + 16 * index
    return [
      scsi.machine.view.getUint32(at, true),
      scsi.machine.ram[at + 5]!,
      scsi.machine.view.getUint32(at + 12, true),
    ]
  }

  test('tell of targets that come and go, and of a medium that changes', async () => {
    const scsi = await start()
    scsi.device.plug(5, diskUnit(new TestDisk(512)))
    give(scsi, 4)
    scsi.disk.change({ bytes: 32 * 512 })
    await scsi.device.unplug(5)
    expect([0, 1, 2].map((i) => event(scsi, i))).toEqual([
      [1, 5, 1],
      [3, 0, 0x092a],
      [1, 5, 2],
    ])
    expect((await scsi.run([0])).sense).toEqual([6, 0x2a, 9])
    expect(await scsi.run([0], { unit: unitOf(5) })).toMatchObject({ response: 3 })
    expect(() => scsi.device.plug(0, diskUnit(scsi.disk))).toThrow('target 0: expected a free one')
  })

  test('are heard of no more from the medium of a target that is gone, or when the controller is out', async () => {
    const scsi = await start()
    let listeners = 0
    class Counting extends TestDisk {
      override onChange(listener: () => void): () => void {
        const stop = super.onChange(listener)
        listeners++
        return () => {
          stop()
          listeners--
        }
      }
    }
    const [gone, kept] = [diskUnit(new Counting(512)), diskUnit(new Counting(512))]
    scsi.device.plug(5, gone)
    scsi.device.plug(6, kept)
    // Each unit has one, and the controller has one of each.
    expect(listeners).toBe(4)
    await scsi.device.unplug(5)
    expect(listeners).toBe(2)
    scsi.device.removed()
    expect(listeners).toBe(0)
  })

  test('that a driver takes none of are lost, and it is told', async () => {
    const scsi = await start()
    for (let i = 0; i < 100; i++) scsi.disk.change({ bytes: 512 })
    give(scsi, 1)
    expect(event(scsi, 0)[0]).toBe(0x8000_0003)
  })

  test('an unplugged disk is not used any more', async () => {
    const scsi = await start()
    scsi.disk.hold = true
    const slot = scsi.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], { room: 512 })
    await scsi.settle()
    let gone = false
    const unplugged = scsi.device.unplug(0).then(() => (gone = true))
    await scsi.settle()
    expect(gone).toBe(false)
    scsi.disk.release()
    await unplugged
    await scsi.settle()
    expect(scsi.answer(slot).response).toBe(3)
  })
})

describe('a disc that is exchanged', () => {
  /** A CD drive at target 1, whose disc is read block by block, with its unit attention taken. */
  async function withDisc() {
    const scsi = await start()
    const disc = new TestDisk(16 * 2048, { blockBytes: 2048, maximumBytes: 2048 })
    scsi.device.plug(1, new ScsiCd({ medium: disc }))
    expect((await scsi.run([0], { unit: unitOf(1) })).sense).toEqual([6, 0x29, 0])
    return { scsi, disc }
  }
  const read = (first: number, count: number): number[] => [0x28, 0, 0, 0, 0, first, 0, 0, count]

  test.each([
    { what: 'by another', bytes: 16 * 2048, sense: [6, 0x28, 0] },
    { what: 'by none', bytes: 0, sense: [2, 0x3a, 0] },
  ])('$what during a read of several requests fails it: no data of two discs', async ({ bytes, sense }) => {
    const { scsi, disc } = await withDisc()
    disc.hold = true
    const slot = scsi.command(read(0, 3), { unit: unitOf(1), room: 3 * 2048 })
    await scsi.settle()
    disc.release()
    await scsi.settle()
    disc.bytes.fill(0xcd)
    disc.change({ bytes })
    // A second read, after the exchange, has bytes of the new disc alone; the first one fails all the same.
    disc.hold = false
    if (bytes > 0) scsi.command([0], { unit: unitOf(1) })
    disc.release()
    await scsi.settle()
    expect(scsi.answer(slot)).toMatchObject({ status: 2, sense })
    expect(scsi.rings[2]!.reap()).toHaveLength(bytes > 0 ? 2 : 1)
  })

  test('is told by an event with its own reason', async () => {
    const { scsi, disc } = await withDisc()
    scsi.rings[1]!.add([{ gpa: EVENTS, length: 16, write: true }], 1)
    scsi.rings[1]!.add([{ gpa: EVENTS + 0x100, length: 16, write: true }], 2)
    scsi.rings[1]!.publish()
    scsi.driver.notify(1)
    disc.change({})
    const { ram } = scsi.machine
    expect([...ram.subarray(EVENTS + 0x100, EVENTS + 0x110)]).toEqual([
      3, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0x28, 0, 0, 0,
    ])
  })
})

describe('a machine', () => {
  test('no byte of a command reaches the guest after a reset', async () => {
    const scsi = await start()
    scsi.disk.hold = true
    scsi.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], { room: 512 })
    await scsi.settle()
    scsi.driver.status = 0
    expect(scsi.driver.status).not.toBe(0)
    const before = scsi.machine.ram.slice()
    scsi.disk.release()
    await scsi.settle()
    expect(scsi.driver.status).toBe(0)
    expect(Buffer.compare(scsi.machine.ram, before)).toBe(0)
    scsi.disk.hold = false
    scsi.restart()
    expect((await scsi.run([0])).sense).toEqual([6, 0x29, 0])
  })

  test('a saved controller has its unit attentions and events', async () => {
    const scsi = await start()
    expect(scsi.model.isAtRest()).toBe(true)
    scsi.disk.change({ bytes: 512 * 16 })
    // Without buffers, nothing comes of another look.
    expect(scsi.model.isAtRest()).toBe(true)
    const waiting = await start()
    waiting.disk.change({ bytes: 512 * 16 })
    waiting.rings[1]!.add([{ gpa: HEADER, length: 16, write: true }], 0)
    waiting.rings[1]!.publish()
    expect(waiting.model.isAtRest()).toBe(false)
    await scsi.model.quiesce(1000)
    const other = await start()
    other.model.restore(structuredClone(scsi.model.save()))
    other.machine.ram.set(scsi.machine.ram)
    other.rings = scsi.rings
    for (const ring of other.rings) ring.move(other.machine.view)
    other.model.resume()
    expect((await other.run([0])).sense).toEqual([6, 0x2a, 9])
    const fewer = new VirtioPci(new VirtioScsi({ targets: new Map() }), { device: 3 })
    void new VirtioMachine(fewer)
    expect(() => fewer.restore(scsi.model.save())).toThrow()
  })

  test.each([
    { options: { targets: new Map(), queues: 0 }, message: '0 queues' },
    { options: { targets: new Map(), queueSize: 3 }, message: 'queues of 3 entries' },
    { options: { targets: new Map([[256, diskUnit(new TestDisk(512))]]) }, message: 'target 256' },
  ])('$message is refused', ({ options, message }) => {
    expect(() => new VirtioScsi(options)).toThrow(message)
  })
})
