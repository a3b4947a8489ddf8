import { describe, expect, test } from 'vitest'
import { BSY, DATA, ERR, IdeMachine, READY, SRST } from '../support/ide-machine.ts'
import { TestDisk } from '@retrap/device/test-machine'
import { TestMedium } from '../support/test-medium.ts'

const disk = (): { ide: IdeMachine; medium: TestMedium } => {
  const medium = new TestMedium(4096 * 512)
  return { ide: new IdeMachine([{ kind: 'disk', medium, serialNumber: 'S123' }]), medium }
}

describe('bus master (Programming Interface for Bus Master IDE Controller 1.0)', () => {
  test.each([
    { name: 'READ DMA', start: (ide: IdeMachine) => ide.command28(0xc8, 64, 200) },
    { name: 'READ DMA EXT', start: (ide: IdeMachine) => ide.command48(0x25, 64, 200) },
  ])('$name fills what the table names, a count of 0 being 64 KiB', async ({ start }) => {
    const { ide, medium } = disk()
    ide.prds([DATA, 0], [DATA + 0x1_0100, 200 * 512 - 0x1_0000])
    start(ide)
    ide.writeBusMaster(0, 9)
    expect(ide.readBusMaster(2)).toBe(1)
    await ide.ready()
    expect([ide.alternateStatus, ide.readBusMaster(2), ide.line.edges]).toEqual([READY, 4, 1])
    const { ram } = ide.machine
    const expected = medium.bytes.subarray(64 * 512, 264 * 512)
    expect(ram.slice(DATA, DATA + 0x1_0000)).toEqual(expected.slice(0, 0x1_0000))
    expect(ram.slice(DATA + 0x1_0100, DATA + 0x1_0100 + 0x9000)).toEqual(expected.slice(0x1_0000))
    expect(ram.subarray(DATA + 0x1_0000, DATA + 0x1_0100).every((byte) => byte === 0)).toBe(true)
  })

  test.each([
    { name: 'WRITE DMA', opcode: 0xca, line: 'write 1024+66560' },
    { name: 'WRITE DMA FUA EXT', opcode: 0x3d, line: 'durable write 1024+65536' },
  ])('$name takes bytes from there', async ({ opcode, line }) => {
    const { ide, medium } = disk()
    for (let i = 0; i < 0x1_0400; i++) ide.machine.ram[DATA + i] = i * 7
    ide.prds([DATA, 0], [DATA + 0x1_0000, 0x400])
    if (opcode === 0xca) ide.command28(opcode, 2, 130)
    else ide.command48(opcode, 2, 130)
    ide.writeBusMaster(0, 1)
    expect(await ide.ready()).toBe(READY)
    expect(medium.bytes.slice(1024, 1024 + 0x1_0400)).toEqual(ide.machine.ram.slice(DATA, DATA + 0x1_0400))
    expect(medium.log[0]).toBe(line.replace('66560', '65536'))
  })

  test('a table that ends where RAM does, and one that the guest writes on while it is used', async () => {
    const { ide, medium } = disk()
    const end = ide.machine.ram.length
    const view = new DataView(ide.machine.ram.buffer)
    view.setUint32(end - 16, DATA, true)
    view.setUint32(end - 12, 512, true)
    ide.writeBusMaster(4, end - 16, 4)
    ide.command28(0xc8, 3, 2)
    ide.writeBusMaster(0, 9)
    view.setUint32(end - 8, DATA + 0x1000, true)
    view.setUint32(end - 4, 0x8000_0000 + 512, true)
    expect(await ide.ready()).toBe(READY)
    expect(ide.machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(3 * 512, 4 * 512))
    expect(ide.machine.ram.slice(DATA + 0x1000, DATA + 0x1200)).toEqual(medium.bytes.slice(4 * 512, 5 * 512))
  })

  test('a table is read anew for each part of the drive’s buffer', async () => {
    const { ide, medium } = disk()
    ide.prds([DATA, 0], [0x4000_0000, 512])
    ide.command28(0xc8, 0, 129)
    ide.writeBusMaster(0, 9)
    await ide.pass()
    // The first part has been moved, and the second one has not been read.
    expect(ide.alternateStatus & BSY).toBe(BSY)
    ide.prds([DATA, 0], [DATA + 0x1_0000, 512])
    expect(await ide.ready()).toBe(READY)
    expect(ide.machine.ram.slice(DATA + 0x1_0000, DATA + 0x1_0200)).toEqual(medium.bytes.slice(128 * 512, 129 * 512))
  })

  test('it may be started before the command', async () => {
    const { ide, medium } = disk()
    ide.prds([DATA, 512])
    ide.writeBusMaster(0, 9)
    ide.command28(0xc8, 3, 1)
    await ide.ready()
    expect(ide.machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(1536, 2048))
  })

  test('a table that is too short leaves the drive waiting: not active, no interrupt, no error', async () => {
    const { ide } = disk()
    ide.prds([DATA, 512])
    ide.command28(0xc8, 3, 2)
    ide.writeBusMaster(0, 9)
    for (let i = 0; i < 5; i++) await ide.pass()
    expect([ide.readBusMaster(2), ide.line.level, ide.alternateStatus & BSY]).toEqual([0, false, BSY])
  })

  test('a table that is too long stays active when the drive has ended', async () => {
    const { ide } = disk()
    ide.prds([DATA, 4096])
    ide.command28(0xc8, 3, 2)
    ide.writeBusMaster(0, 9)
    await ide.ready()
    expect([ide.readBusMaster(2), ide.line.level]).toEqual([5, true])
  })

  test.each([
    { name: 'reaches beyond 4 GiB', entry: [0xffff_ff00, 0x200] },
    { name: 'is not RAM', entry: [0x4000_0000, 0x200] },
  ] as const)('an entry that $name sets the error bit, and nothing is moved', async ({ entry }) => {
    const { ide } = disk()
    ide.prds(entry)
    ide.command28(0xc8, 3, 1)
    ide.writeBusMaster(0, 9)
    for (let i = 0; i < 5; i++) await ide.pass()
    expect([ide.readBusMaster(2), ide.line.level]).toEqual([2, false])
    expect(ide.machine.ram.subarray(DATA).every((byte) => byte === 0)).toBe(true)
  })

  test.each([
    { name: 'crosses 64 KiB', at: DATA + 0xff00, count: 0x200 },
    { name: 'of 64 KiB is not aligned to it', at: DATA + 2, count: 0 },
  ])('an entry that $name is moved whole: the driver of EDK II makes such', async ({ at, count }) => {
    const { ide, medium } = disk()
    ide.prds([at, count])
    ide.command28(0xc8, 3, (count || 0x1_0000) / 512)
    ide.writeBusMaster(0, 9)
    await ide.ready()
    expect([ide.readBusMaster(2), ide.line.level]).toEqual([4, true])
    const expected = new Uint8Array(count || 0x1_0000)
    await medium.read(3 * 512, expected)
    expect(ide.machine.ram.slice(at, at + expected.length)).toEqual(expected)
  })

  test('a table that is not RAM, also at the end of the address space, and a wrong direction set the error bit', async () => {
    const { ide } = disk()
    for (const table of [0x4000_0000, 0xffff_fffc]) {
      ide.writeBusMaster(4, table, 4)
      ide.command28(0xc8, 3, 1)
      ide.writeBusMaster(0, 9)
      for (let i = 0; i < 5; i++) await ide.pass()
      expect(ide.readBusMaster(2)).toBe(2)
      ide.control(SRST)
      ide.control(0)
      ide.writeBusMaster(2, 2)
      ide.writeBusMaster(0, 0)
    }
    ide.prds([DATA, 512])
    ide.command28(0xc8, 3, 1)
    ide.writeBusMaster(0, 1)
    for (let i = 0; i < 5; i++) await ide.pass()
    expect(ide.readBusMaster(2)).toBe(2)
  })

  test('interrupt and error are cleared by ones; the drive bits are kept', () => {
    const { ide } = disk()
    ide.out(7, 0xec)
    ide.writeBusMaster(2, 0x60)
    expect(ide.readBusMaster(2)).toBe(0x64)
    ide.writeBusMaster(2, 0x24)
    expect(ide.readBusMaster(2)).toBe(0x20)
    ide.writeBusMaster(4, 0x1234_5677, 4)
    expect([4, 5, 6, 7].map((at) => ide.readBusMaster(at))).toEqual([0x74, 0x56, 0x34, 0x12])
  })

  test('without its bus master bit the function writes no memory, until it has it', async () => {
    const { ide, medium } = disk()
    const { config, options } = ide.machine.functions.get(9)!
    config[4] = 1
    ide.prds([DATA, 512])
    ide.command28(0xc8, 3, 1)
    ide.writeBusMaster(0, 9)
    for (let i = 0; i < 5; i++) await ide.pass()
    expect(ide.machine.ram.subarray(DATA).every((byte) => byte === 0)).toBe(true)
    config[4] = 5
    options.onWrite?.(4, 2)
    expect(ide.machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(1536, 2048))
    expect(ide.alternateStatus).toBe(READY)
  })
})

describe('an end with a request in flight', () => {
  const CLEAN = (ide: IdeMachine): boolean => ide.machine.ram.subarray(DATA).every((byte) => byte === 0)

  test.each([
    { name: 'the bus master is stopped', end: (ide: IdeMachine) => ide.writeBusMaster(0, 8) },
    { name: 'software resets the drives', end: (ide: IdeMachine) => ide.control(SRST) },
    { name: 'the machine is reset', end: (ide: IdeMachine) => ide.model.reset() },
  ])('no byte is moved after $name', async ({ end }) => {
    const { ide, medium } = disk()
    medium.hold = true
    ide.prds([DATA, 0])
    ide.command28(0xc8, 0, 128)
    ide.writeBusMaster(0, 9)
    await ide.pass()
    expect(medium.held).toBe(1)
    end(ide)
    const edges = ide.line.edges
    await medium.release()
    for (let i = 0; i < 5; i++) await ide.pass()
    expect([CLEAN(ide), ide.line.edges - edges]).toEqual([true, 0])
  })

  test('the drive takes commands at once, and their data is not mixed with late data', async () => {
    const { ide, medium } = disk()
    medium.hold = true
    ide.command28(0x20, 9, 1)
    await ide.pass()
    ide.control(SRST)
    expect(ide.alternateStatus).toBe(BSY)
    ide.control(0)
    expect(ide.in(7)).toBe(READY)
    ide.out(7, 0xec)
    await medium.release()
    const bytes = ide.data(512)
    // The serial number, its characters swapped in words.
    expect(Buffer.from(bytes.subarray(20, 24)).toString()).toBe('1S32')
    expect(bytes.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
  })

  test('a write that was given up does not come after one that follows', async () => {
    const { ide, medium } = disk()
    medium.hold = true
    ide.command28(0x30, 9, 1)
    ide.feed(new Uint8Array(512).fill(1))
    await ide.pass()
    ide.control(SRST)
    ide.control(0)
    ide.command28(0x30, 9, 1)
    ide.feed(new Uint8Array(512).fill(2))
    await ide.pass()
    expect(medium.log).toHaveLength(1)
    await medium.release()
    expect(await ide.ready()).toBe(READY)
    expect(medium.bytes.subarray(9 * 512, 10 * 512).every((byte) => byte === 2)).toBe(true)
  })

  test('quiesce waits for the medium, and the guest has its answer after resume', async () => {
    const { ide, medium } = disk()
    // On deterministic time a machine that waits for its medium has the answer before it is at rest.
    ide.machine.clock.realTime = true
    medium.hold = true
    ide.prds([DATA, 512])
    ide.command28(0xc8, 3, 1)
    ide.writeBusMaster(0, 9)
    await ide.pass()
    let quiet = false
    const done = ide.model.quiesce().then(() => (quiet = true))
    await ide.pass()
    expect(quiet).toBe(false)
    await medium.release()
    await done
    expect([CLEAN(ide), ide.line.level]).toEqual([true, false])
    ide.model.resume()
    expect([CLEAN(ide), ide.line.level, ide.readBusMaster(2)]).toEqual([false, true, 4])
  })
})

describe('data that the medium moves without a wait', () => {
  const ready = (): { ide: IdeMachine; medium: TestDisk } => {
    const medium = new TestDisk(4096 * 512)
    medium.inPlace = true
    const ide = new IdeMachine([{ kind: 'disk', medium }])
    ide.machine.clock.realTime = true
    return { ide, medium }
  }

  test('READ DMA and WRITE DMA end when the bus master is started', () => {
    const { ide, medium } = ready()
    ide.prds([DATA, 0], [DATA + 0x1_0000, 0x400])
    ide.command28(0xc8, 64, 130)
    expect(ide.alternateStatus & BSY).toBe(BSY)
    ide.writeBusMaster(0, 9)
    expect([ide.alternateStatus, ide.readBusMaster(2), ide.line.edges]).toEqual([READY, 4, 1])
    expect(ide.machine.ram.slice(DATA, DATA + 0x1_0400)).toEqual(medium.bytes.slice(64 * 512, 194 * 512))
    ide.in(7)
    ide.writeBusMaster(0, 0)
    ide.command28(0xca, 2, 130)
    ide.writeBusMaster(0, 1)
    expect([ide.alternateStatus, ide.line.edges]).toEqual([READY, 2])
    expect(medium.bytes.slice(1024, 1024 + 0x1_0400)).toEqual(ide.machine.ram.slice(DATA, DATA + 0x1_0400))
    expect(medium.log).toEqual([
      'read 32768+65536 in place',
      'read 98304+1024 in place',
      'write 1024+65536 in place',
      'write 66560+1024 in place',
    ])
  })

  test('the most sectors that a command has are moved', () => {
    const { ide, medium } = ready()
    medium.given = { bytes: 0x1_0000 * 512 }
    ide.prds(...Array.from({ length: 512 }, (_, i) => [DATA, 0, i === 511] as const))
    ide.command48(0x25, 0, 0)
    ide.writeBusMaster(0, 9)
    expect([ide.alternateStatus, ide.readBusMaster(2), ide.line.edges]).toEqual([READY, 4, 1])
    expect([medium.log.length, medium.log.at(-1)]).toEqual([512, `read ${511 * 0x1_0000}+65536 in place`])
  })

  test('a failure ends the command', () => {
    const { ide, medium } = ready()
    medium.bad = 'ERR_MEDIUM'
    ide.prds([DATA, 512])
    ide.command28(0xc8, 3, 1)
    expect([ide.alternateStatus & (BSY | ERR), ide.in(1), ide.line.edges]).toEqual([ERR, 0x40, 1])
  })

  test.each([
    { name: 'on time that is not the host’s', realTime: false },
    { name: 'where the medium would wait', inPlace: false },
    { name: 'of more than it takes at a time', maximumBytes: 512 },
    { name: 'by PIO', opcode: 0x20 },
  ])('it is not moved so $name', async ({ realTime = true, inPlace = true, maximumBytes = 4096, opcode = 0xc8 }) => {
    const { ide, medium } = ready()
    ide.machine.clock.realTime = realTime
    medium.inPlace = inPlace
    medium.given = { maximumBytes }
    ide.prds([DATA, 1024])
    ide.command28(opcode, 3, 2)
    ide.writeBusMaster(0, 9)
    expect(ide.alternateStatus & BSY).toBe(BSY)
    expect(medium.log.filter((line) => line.endsWith('in place'))).toEqual([])
    expect(medium.log.length).toBeGreaterThan(0)
  })

  test('a write with forced unit access waits until it is durable', async () => {
    const { ide, medium } = ready()
    ide.prds([DATA, 1024])
    ide.command48(0x3d, 3, 2)
    ide.writeBusMaster(0, 1)
    expect(ide.alternateStatus & BSY).toBe(BSY)
    expect(medium.log).toEqual(['write 1536+1024 durable'])
  })
})
