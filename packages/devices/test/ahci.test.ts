import { describe, expect, test } from 'vitest'
import { Ahci } from '../src/ahci/index.ts'
import * as ahciMachine from './support/ahci-machine.ts'
import { AhciMachine } from './support/ahci-machine.ts'
import { TestMedium } from './support/test-medium.ts'

const SECTOR = 512

interface Parts {
  readonly machine: AhciMachine
  readonly disk: TestMedium
  readonly cd: TestMedium
}

/** A disk at port 0 and a CD drive at port 1, both started. */
function start(): Parts {
  const [disk, cd] = [new TestMedium(300 * SECTOR), new TestMedium(40 * 2048)]
  const machine = new AhciMachine([
    { kind: 'disk', medium: disk },
    { kind: 'cdrom', medium: cd },
  ])
  machine.start(0)
  machine.start(1)
  return { machine, disk, cd }
}

/** Another machine that takes over memory, time and a saved state, and goes on with `resume`. */
function restored(machine: AhciMachine, state = structuredClone(machine.model.save())): Parts {
  const other = start()
  other.machine.machine.ram.set(machine.machine.ram)
  other.machine.machine.time = machine.machine.time
  other.machine.model.restore(state)
  return other
}

/** Another machine that has gone on after requests of this one, which its disk holds up until now. */
async function moved({ machine, disk }: Parts): Promise<Parts> {
  const quiet = machine.model.quiesce()
  await disk.release()
  await quiet
  const other = restored(machine)
  other.machine.model.resume()
  await other.machine.pass()
  return other
}

const range = (machine: AhciMachine, gpa: number, bytes: number): Uint8Array =>
  machine.machine.ram.slice(gpa, gpa + bytes)

test('the controller says what it can (AHCI 1.3.1, 3.1)', () => {
  const { machine } = start()
  // S64A, SNCQ; SCLO, 3 Gbit/s, SAM, PMD, 32 slots, 6 ports.
  expect(machine.read(0) >>> 0).toBe(0xc124_9f05)
  expect([machine.read(0x0c), machine.read(0x10)]).toEqual([0x3f, 0x0001_0301])
})

describe('ports (AHCI 1.3.1, 3.3, "Port Registers")', () => {
  test('show what is at them: a disk, a packet device, nothing', () => {
    const { machine } = start()
    expect([0, 1, 2].map((port) => machine.port(ahciMachine.SSTS, port))).toEqual([0x123, 0x123, 0])
    expect([0, 1, 2].map((port) => machine.port(ahciMachine.SIG, port))).toEqual([0x101, 0xeb14_0101, 0xffff_ffff])
    expect([0, 1].map((port) => machine.port(ahciMachine.TFD, port))).toEqual([0x150, 0x100])
    // The drive's first frame is in memory.
    expect([...range(machine, ahciMachine.FRAMES + 0x40, 4)]).toEqual([0x34, 0, 0x50, 1])
  })

  test('a reset of a link is one port’s alone, and is told', async () => {
    const { machine } = start()
    machine.setPort(ahciMachine.CMD, 0x10)
    machine.setPort(ahciMachine.SCTL, 1)
    expect([machine.port(ahciMachine.SSTS), machine.port(ahciMachine.SSTS, 1), machine.port(ahciMachine.TFD)]).toEqual([
      0, 0x123, 0x7f,
    ])
    machine.setPort(ahciMachine.SCTL, 0)
    expect([machine.port(ahciMachine.SSTS), machine.port(ahciMachine.TFD), machine.port(ahciMachine.SERR)]).toEqual([
      0x123,
      0x150,
      1 << 26,
    ])
    expect(machine.port(ahciMachine.IS) & 0x40).toBe(0x40)
    // The bit is the error register's.
    machine.setPort(ahciMachine.IS, 0x40)
    expect(machine.port(ahciMachine.IS) & 0x40).toBe(0x40)
    machine.setPort(ahciMachine.SERR, 1 << 26)
    expect(machine.port(ahciMachine.IS) & 0x40).toBe(0)
  })

  test('a reset by software gives the signature again', async () => {
    const { machine } = start()
    await machine.execute({ opcode: 0, control: 4 })
    expect(machine.port(ahciMachine.TFD) & 0x80).toBe(0x80)
    await machine.execute({ opcode: 0, control: 0 })
    expect([machine.port(ahciMachine.TFD), machine.port(ahciMachine.CI)]).toEqual([0x150, 0])
  })

  test('a reset of the controller clears all but addresses', () => {
    const { machine } = start()
    machine.write(0x04, 1)
    expect([machine.read(0x04), machine.port(ahciMachine.CMD), machine.port(0x00)]).toEqual([0x8000_0000, 6, 0x1000])
    machine.start()
    expect(machine.port(ahciMachine.TFD)).toBe(0x150)
  })
})

describe('commands', () => {
  test('IDENTIFY DEVICE comes with a PIO setup frame and says that there is a queue', async () => {
    const { machine } = start()
    await machine.execute({ opcode: 0xec, parts: [[ahciMachine.DATA, 512]] })
    const words = new Uint16Array(range(machine, ahciMachine.DATA, 512).buffer)
    expect([words[75], words[76]]).toEqual([31, 0x106])
    expect([
      machine.port(ahciMachine.CI),
      machine.port(ahciMachine.TFD) & 0xff,
      machine.port(ahciMachine.IS) & 2,
      machine.moved(),
    ]).toEqual([0, 0x50, 2, 512])
    expect(range(machine, ahciMachine.FRAMES + 0x20, 1)[0]).toBe(0x5f)
  })

  test('READ DMA EXT fills the parts of its table, and the header says how much', async () => {
    const { machine, disk } = start()
    const parts = [
      [ahciMachine.DATA, 700],
      [ahciMachine.DATA + 0x1000, 2 * SECTOR - 700],
    ] as const
    await machine.execute({ opcode: 0x25, lba: 7, count: 2, parts })
    const got = [
      ...range(machine, ahciMachine.DATA, 700),
      ...range(machine, ahciMachine.DATA + 0x1000, 2 * SECTOR - 700),
    ]
    expect(got).toEqual([...disk.bytes.subarray(7 * SECTOR, 9 * SECTOR)])
    expect([machine.moved(), machine.port(ahciMachine.IS), machine.port(ahciMachine.CI), machine.level]).toEqual([
      1024,
      1,
      0,
      true,
    ])
    machine.setPort(ahciMachine.IS, 1)
    machine.write(0x08, 1)
    expect(machine.level).toBe(false)
  })

  test('WRITE DMA EXT writes, and only what is in the table', async () => {
    const { machine, disk } = start()
    machine.machine.ram.fill(0x5a, ahciMachine.DATA, ahciMachine.DATA + SECTOR)
    await machine.execute({ opcode: 0x35, lba: 3, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(disk.bytes.subarray(3 * SECTOR, 4 * SECTOR).every((byte) => byte === 0x5a)).toBe(true)
    const before = disk.bytes.slice()
    await machine.execute({ opcode: 0x35, lba: 5, count: 2, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(disk.bytes).toEqual(before)
    // An interface error: nothing goes on until the host restarts the port.
    expect(machine.port(ahciMachine.IS) & (1 << 27)).not.toBe(0)
    machine.setPort(ahciMachine.CMD, 0x10)
    expect(machine.port(ahciMachine.CI)).toBe(0)
  })

  test('data for which there is no room is lost, and that is told', async () => {
    const { machine } = start()
    await machine.execute({ opcode: 0x25, lba: 0, count: 2, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(machine.port(ahciMachine.IS) & (1 << 24)).not.toBe(0)
    expect(range(machine, ahciMachine.DATA + SECTOR, SECTOR).every((byte) => byte === 0)).toBe(true)
  })

  test('a packet reads a CD by DMA', async () => {
    const { machine, cd } = start()
    // Unit attention goes first.
    await machine.execute({ opcode: 0xa0, packet: Array.from({ length: 12 }, () => 0) }, 1)
    machine.setPort(ahciMachine.CMD, 0x10, 1)
    machine.setPort(ahciMachine.CMD, ahciMachine.START, 1)
    const packet = [0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0, 0, 0]
    await machine.execute({ opcode: 0xa0, feature: 1, packet, parts: [[0x1_0000 + ahciMachine.DATA, 4096]] }, 1)
    expect(range(machine, 0x1_0000 + ahciMachine.DATA, 4096)).toEqual(cd.bytes.slice(3 * 2048, 5 * 2048))
    expect([machine.moved(0, 1), machine.port(ahciMachine.CI, 1)]).toEqual([4096, 0])
  })

  test('an error ends the processing of commands until the port is restarted', async () => {
    const { machine, disk } = start()
    disk.bad = { at: 20 * SECTOR, code: 'ERR_MEDIUM' }
    machine.prepare(4, { opcode: 0x25, lba: 20, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    machine.prepare(5, { opcode: 0x25, lba: 0, count: 1, parts: [[ahciMachine.DATA + 0x1000, SECTOR]] })
    machine.issue(4, 5)
    await machine.pass()
    expect([
      machine.port(ahciMachine.TFD),
      machine.port(ahciMachine.CI),
      (machine.port(ahciMachine.CMD) >> 8) & 31,
    ]).toEqual([0x4051, 0x30, 4])
    expect(machine.port(ahciMachine.IS) & (1 << 30)).not.toBe(0)
    machine.setPort(ahciMachine.CMD, 0x10)
    machine.setPort(ahciMachine.CMD, ahciMachine.START)
    await machine.execute({ opcode: 0x25, lba: 0, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(range(machine, ahciMachine.DATA, SECTOR)).toEqual(disk.bytes.slice(0, SECTOR))
  })

  test('an address without memory is a fatal error of the bus', async () => {
    const { machine } = start()
    await machine.execute({ opcode: 0x25, lba: 0, count: 1, parts: [[0x7fff_0000, SECTOR]] })
    expect(machine.port(ahciMachine.IS) & (1 << 29)).not.toBe(0)
  })

  test('nothing is moved while bus mastering is off', async () => {
    const { machine, disk } = start()
    machine.config[4] = 2
    await machine.execute({ opcode: 0x25, lba: 1, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    expect([
      machine.port(ahciMachine.CI),
      range(machine, ahciMachine.DATA, SECTOR).every((byte) => byte === 0),
    ]).toEqual([1, true])
    machine.config[4] = 6
    machine.configWritten(4)
    await machine.pass()
    expect(range(machine, ahciMachine.DATA, SECTOR)).toEqual(disk.bytes.slice(SECTOR, 2 * SECTOR))
  })
})

describe('queued commands (ATA8-ACS, "READ FPDMA QUEUED")', () => {
  /** Puts queued commands into slots and issues them at once. */
  const queue = (machine: AhciMachine, reads: readonly (readonly [slot: number, lba: number])[]): void => {
    const bits = reads.reduce((all, [slot]) => all | (1 << slot), 0)
    for (const [slot, lba] of reads) {
      const parts = [[ahciMachine.DATA + 0x1000 * slot, SECTOR]] as const
      machine.prepare(slot, { opcode: 0x60, lba, feature: 1, count: slot << 3, parts })
    }
    machine.setPort(ahciMachine.SACT, bits)
    machine.setPort(ahciMachine.CI, bits)
  }

  test('are taken at once, and their ends are told by Set Device Bits', async () => {
    const { machine, disk } = start()
    disk.hold = true
    queue(
      machine,
      [
        [0, 10],
        [3, 11],
        [31, 12],
      ].slice(0, 2) as [number, number][],
    )
    expect([
      machine.port(ahciMachine.CI),
      machine.port(ahciMachine.SACT),
      machine.port(ahciMachine.TFD) & 0xff,
    ]).toEqual([0, 9, 0x50])
    await machine.pass()
    expect(machine.port(ahciMachine.SACT)).toBe(9)
    await disk.release()
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.IS) & 8]).toEqual([0, 8])
    expect(range(machine, ahciMachine.DATA, SECTOR)).toEqual(disk.bytes.slice(10 * SECTOR, 11 * SECTOR))
    expect(range(machine, ahciMachine.DATA + 0x3000, SECTOR)).toEqual(disk.bytes.slice(11 * SECTOR, 12 * SECTOR))
  })

  test('one that fails is in the log, and the others are still active', async () => {
    const { machine, disk } = start()
    disk.bad = { at: 11 * SECTOR, code: 'ERR_MEDIUM' }
    queue(machine, [
      [1, 10],
      [2, 11],
      [3, 12],
    ])
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.TFD)]).toEqual([0b1100, 0x4051])
    machine.setPort(ahciMachine.CMD, 0x10)
    machine.setPort(ahciMachine.CMD, ahciMachine.START)
    expect(machine.port(ahciMachine.SACT)).toBe(0)
    await machine.execute({ opcode: 0x2f, lba: 0x10, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    const page = range(machine, ahciMachine.DATA, SECTOR)
    expect([page[0], page[2], page[3], page[4]]).toEqual([2, 0x51, 0x40, 11])
    expect(page.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
  })

  test('are with the medium at the same time, and end as it has them on the host’s clock', async () => {
    const { machine, disk } = start()
    machine.machine.clock.realTime = true
    disk.hold = true
    queue(machine, [
      [0, 10],
      [3, 11],
    ])
    expect(disk.held).toBe(2)
    await machine.pass()
    disk.letGo(1)
    await machine.pass()
    expect(machine.port(ahciMachine.SACT)).toBe(1)
    expect(range(machine, ahciMachine.DATA + 0x3000, SECTOR)).toEqual(disk.bytes.slice(11 * SECTOR, 12 * SECTOR))
    // A command that is not queued comes after all that are.
    machine.prepare(5, { opcode: 0xec, parts: [[ahciMachine.DATA + 0x5000, SECTOR]] })
    machine.issue(5)
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.CI)]).toEqual([1, 1 << 5])
    await disk.release()
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.CI)]).toEqual([0, 0])
  })

  test('one that fails and then does not is told as done, and so are those that came with it', async () => {
    const { machine, disk } = start()
    disk.bad = { at: 11 * SECTOR, code: 'ERR_MEDIUM' }
    disk.hold = true
    queue(machine, [
      [1, 10],
      [2, 11],
      [3, 12],
    ])
    await disk.release()
    disk.bad = null
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.TFD)]).toEqual([0, 0x50])
    for (const slot of [1, 2, 3]) {
      const lba = 9 + slot
      expect(range(machine, ahciMachine.DATA + 0x1000 * slot, SECTOR)).toEqual(
        disk.bytes.slice(lba * SECTOR, (lba + 1) * SECTOR),
      )
    }
  })

  test('writes are durable where the command or the drive’s cache says so', async () => {
    const { machine, disk } = start()
    const write = async (device: number): Promise<string | undefined> => {
      machine.prepare(0, {
        opcode: 0x61,
        lba: 5,
        feature: 2,
        device,
        parts: [
          [ahciMachine.DATA, 600],
          [ahciMachine.DATA + 0x800, 600],
        ],
      })
      machine.setPort(ahciMachine.SACT, 1)
      machine.setPort(ahciMachine.CI, 1)
      await machine.pass()
      expect(machine.port(ahciMachine.SACT)).toBe(0)
      return disk.log.at(-1)
    }
    machine.machine.ram.fill(7, ahciMachine.DATA, ahciMachine.DATA + 600)
    machine.machine.ram.fill(8, ahciMachine.DATA + 0x800, ahciMachine.DATA + 0x800 + 600)
    expect(await write(0x40)).toBe('write 2560+1024')
    expect([...disk.bytes.slice(2560 + 599, 2560 + 601), disk.bytes[2560 + 1023]]).toEqual([7, 8, 8])
    expect(await write(0xc0)).toBe('durable write 2560+1024')
    await machine.execute({ opcode: 0xef, feature: 0x82 })
    expect(await write(0x40)).toBe('durable write 2560+1024')
    // The header says how much was moved.
    expect(new DataView(machine.machine.ram.buffer).getUint32(ahciMachine.LIST + 4, true)).toBe(1024)
  })

  test('one with too little room for its data is executed as any other', async () => {
    const { machine } = start()
    machine.prepare(2, { opcode: 0x60, lba: 0, feature: 2, count: 2 << 3, parts: [[ahciMachine.DATA, SECTOR]] })
    machine.setPort(ahciMachine.SACT, 4)
    machine.setPort(ahciMachine.CI, 4)
    await machine.pass()
    expect([machine.port(ahciMachine.SACT), machine.port(ahciMachine.IS) & (1 << 24)]).toEqual([0, 1 << 24])
  })

  test('one with a very long table is executed by itself', async () => {
    const { machine, disk } = start()
    disk.hold = true
    // Two bytes at a time: 9 sectors are in more than 2048 parts.
    const table = 0x4_0000
    machine.prepare(0, { opcode: 0x60, lba: 10, feature: 9 })
    const { ram } = machine.machine
    const view = new DataView(ram.buffer)
    ram.copyWithin(table, view.getUint32(ahciMachine.LIST + 8, true), view.getUint32(ahciMachine.LIST + 8, true) + 0x80)
    view.setUint32(ahciMachine.LIST + 8, table, true)
    view.setUint32(ahciMachine.LIST, 5 | (2304 << 16), true)
    for (let i = 0; i < 2304; i++) {
      view.setUint32(table + 0x80 + 16 * i, ahciMachine.DATA + 2 * i, true)
      view.setUint32(table + 0x80 + 16 * i + 12, 1, true)
    }
    machine.setPort(ahciMachine.SACT, 1)
    machine.setPort(ahciMachine.CI, 1)
    expect((machine.model.save()['ports'] as { commands: { running: unknown } }[])[0]?.commands.running).not.toBeNull()
    await disk.release()
    await machine.pass()
    expect(machine.port(ahciMachine.SACT)).toBe(0)
    expect(range(machine, ahciMachine.DATA, 9 * SECTOR)).toEqual(disk.bytes.slice(10 * SECTOR, 19 * SECTOR))
  })

  test('under way go on in another machine, from a saved state', async () => {
    const { machine, disk } = start()
    queue(machine, [
      [0, 10],
      [3, 11],
    ])
    machine.prepare(4, {
      opcode: 0x61,
      lba: 20,
      feature: 1,
      count: 4 << 3,
      parts: [[ahciMachine.DATA + 0x4000, SECTOR]],
    })
    machine.machine.ram.fill(9, ahciMachine.DATA + 0x4000, ahciMachine.DATA + 0x4000 + SECTOR)
    machine.setPort(ahciMachine.SACT, 1 << 4)
    machine.setPort(ahciMachine.CI, 1 << 4)
    await machine.model.quiesce()
    const other = start()
    other.disk.bytes.set(disk.bytes)
    other.machine.machine.ram.set(machine.machine.ram)
    other.machine.machine.time = machine.machine.time
    other.machine.model.restore(structuredClone(machine.model.save()))
    expect(other.machine.port(ahciMachine.SACT)).toBe(0b11001)
    other.machine.model.resume()
    await other.machine.pass()
    expect(other.machine.port(ahciMachine.SACT)).toBe(0)
    expect(range(other.machine, ahciMachine.DATA + 0x3000, SECTOR)).toEqual(disk.bytes.slice(11 * SECTOR, 12 * SECTOR))
    // The write was done before, and its end alone was still to be told.
    expect(other.disk.log).toEqual([])
  })

  test('of a saved state lend later ones no buffer: neither is the state changed, nor is a later one too short', async () => {
    const { machine, disk } = start()
    machine.prepare(0, { opcode: 0x60, lba: 10, feature: 3, parts: [[ahciMachine.DATA, 3 * SECTOR]] })
    machine.setPort(ahciMachine.SACT, 1)
    machine.setPort(ahciMachine.CI, 1)
    await machine.model.quiesce()
    const state = machine.model.save()
    const before = structuredClone(state)
    const other = restored(machine, state)
    other.machine.model.resume()
    await other.machine.pass()
    expect(range(other.machine, ahciMachine.DATA, 3 * SECTOR)).toEqual(disk.bytes.slice(10 * SECTOR, 13 * SECTOR))
    other.machine.machine.ram.fill(9, ahciMachine.DATA, ahciMachine.DATA + 4 * SECTOR)
    other.machine.prepare(0, { opcode: 0x61, lba: 20, feature: 4, parts: [[ahciMachine.DATA, 4 * SECTOR]] })
    other.machine.setPort(ahciMachine.SACT, 1)
    other.machine.setPort(ahciMachine.CI, 1)
    await other.machine.pass()
    expect(other.machine.port(ahciMachine.SACT)).toBe(0)
    expect(other.disk.log.at(-1)).toBe(`write ${20 * SECTOR}+${4 * SECTOR}`)
    expect(state).toEqual(before)
  })

  test('that came with one that has failed are begun again in another machine too', async () => {
    const parts = start()
    const { machine, disk } = parts
    machine.machine.clock.realTime = true
    disk.bad = { at: 10 * SECTOR, code: 'ERR_MEDIUM' }
    disk.hold = true
    queue(machine, [
      [1, 10],
      [2, 11],
    ])
    disk.letGo(0)
    await machine.pass()
    const other = await moved(parts)
    expect([other.machine.port(ahciMachine.SACT), other.machine.port(ahciMachine.TFD)]).toEqual([0, 0x50])
    expect(range(other.machine, ahciMachine.DATA + 0x2000, SECTOR)).toEqual(disk.bytes.slice(11 * SECTOR, 12 * SECTOR))
    // The failed command is read by itself, and then the other one once more.
    expect(other.disk.log).toEqual(['read 5120+512', 'read 5632+512'])
  })

  test('one outside of a queue is aborted', async () => {
    const { machine } = start()
    await machine.execute({ opcode: 0x60, lba: 0, feature: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(machine.port(ahciMachine.TFD)).toBe(0x0441)
  })
})

describe('a request that is under way', () => {
  test.each([
    { what: 'ST is cleared', act: (machine: AhciMachine) => machine.setPort(ahciMachine.CMD, 0x10) },
    {
      what: 'the link is reset',
      act: (machine: AhciMachine) => {
        machine.setPort(ahciMachine.CMD, 0x10)
        machine.setPort(ahciMachine.SCTL, 1)
        machine.setPort(ahciMachine.SCTL, 0)
      },
    },
    { what: 'the controller is reset', act: (machine: AhciMachine) => machine.write(0x04, 1) },
    { what: 'the machine is reset', act: (machine: AhciMachine) => machine.model.reset() },
  ])('writes no byte after $what', async ({ act }) => {
    const { machine, disk } = start()
    disk.hold = true
    await machine.execute({ opcode: 0x25, lba: 1, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    expect(machine.port(ahciMachine.TFD) & 0x80).toBe(0x80)
    act(machine)
    const before = machine.machine.ram.slice()
    await disk.release()
    await machine.pass()
    expect(Buffer.compare(machine.machine.ram, before)).toBe(0)
  })

  test('goes on in another machine, from a saved state', async () => {
    const parts = start()
    const { machine, disk } = parts
    disk.hold = true
    await machine.execute({ opcode: 0x25, lba: 1, count: 1, parts: [[ahciMachine.DATA, SECTOR]] })
    const other = await moved(parts)
    expect(range(other.machine, ahciMachine.DATA, SECTOR)).toEqual(disk.bytes.slice(SECTOR, 2 * SECTOR))
    expect([other.machine.port(ahciMachine.CI), other.machine.level]).toEqual([0, true])
    expect(() => new Ahci({ drives: [] }).restore(machine.model.save())).toThrow(/ports of the saved state has 6/)
  })
})

test('drives that cannot be are refused', () => {
  expect(() => new Ahci({ device: 0 })).toThrow(/PCI device 0/)
  expect(() => new Ahci({ drives: Array.from({ length: 7 }, () => null) })).toThrow(/7 drives: expected at most 6/)
  expect(() => new Ahci({ drives: [{ kind: 'disk', medium: null }] })).toThrow(/^ahci: disk 0 has no medium/)
})
