import { describe, expect, test } from 'vitest'
import { BSY, DRQ, ERR, IdeMachine, NIEN, READY } from '../support/ide-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const SECTORS = 4096
const disk = (): { ide: IdeMachine; medium: TestMedium } => {
  const medium = new TestMedium(SECTORS * 512)
  return { ide: new IdeMachine([{ kind: 'disk', medium, serialNumber: 'S123' }]), medium }
}
const word = (bytes: Uint8Array, at: number): number => bytes[2 * at]! | (bytes[2 * at + 1]! << 8)
const text = (bytes: Uint8Array, at: number, words: number): string =>
  Array.from({ length: words }, (_, i) => {
    const value = word(bytes, at + i)
    return String.fromCharCode(value >> 8, value & 0xff)
  })
    .join('')
    .trim()

describe('registers (ATA/ATAPI-7 vol. 2, "Parallel interface register definitions")', () => {
  test('a disk shows its signature after power-on, and no interrupt', () => {
    const { ide } = disk()
    expect([1, 2, 3, 4, 5, 6, 7].map((register) => ide.in(register))).toEqual([1, 1, 1, 0, 0, 0, READY])
    expect(ide.line.level).toBe(false)
  })

  test('an absent second drive has status 0 and takes no command; the device register can be read', async () => {
    const { ide } = disk()
    ide.out(6, 0xb0)
    expect([2, 3, 4, 5, 7].map((register) => ide.in(register))).toEqual([0, 0, 0, 0, 0])
    expect(ide.in(6)).toBe(0xb0)
    ide.out(7, 0xec)
    expect([ide.in(7), ide.line.level]).toEqual([0, false])
    ide.out(6, 0xa0)
    expect(ide.in(7)).toBe(READY)
  })

  test('each drive says in its own device register where a command has ended', async () => {
    const ide = new IdeMachine([
      { kind: 'disk', medium: new TestMedium(512) },
      { kind: 'disk', medium: new TestMedium(0, 0x0500_0000 * 512) },
    ])
    ide.out(6, 0xf0)
    ide.out(7, 0xf8)
    expect([6, 5, 4, 3].map((register) => ide.in(register))).toEqual([0xf4, 0xff, 0xff, 0xff])
    ide.out(6, 0xe0)
    expect(ide.in(6)).toBe(0xe0)
  })

  test('a channel without drives reads as zeros', () => {
    const ide = new IdeMachine([])
    for (const register of [2, 3]) ide.out(register, 0x55)
    expect([1, 2, 3, 4, 5, 6, 7].map((register) => ide.in(register))).toEqual([0, 0, 0, 0, 0, 0, 0])
  })

  test('reading status takes the interrupt back, reading alternate status does not', () => {
    const { ide } = disk()
    ide.out(7, 0xec)
    expect(ide.line.level).toBe(true)
    expect(ide.alternateStatus).toBe(READY | DRQ)
    expect(ide.line.level).toBe(true)
    expect(ide.in(7)).toBe(READY | DRQ)
    expect(ide.line.level).toBe(false)
  })

  test('nIEN holds the interrupt back, and lets it go', () => {
    const { ide } = disk()
    ide.control(NIEN)
    ide.out(7, 0xec)
    expect([ide.line.level, ide.readBusMaster(2)]).toEqual([false, 0])
    ide.control(0)
    expect([ide.line.level, ide.readBusMaster(2)]).toEqual([true, 4])
  })

  test('HOB shows the bytes written before, until a register is written', () => {
    const { ide } = disk()
    for (const register of [2, 3, 4, 5]) {
      ide.out(register, 0x10 + register)
      ide.out(register, 0x20 + register)
    }
    ide.control(0x80)
    expect([2, 3, 4, 5].map((register) => ide.in(register))).toEqual([0x12, 0x13, 0x14, 0x15])
    ide.out(1, 0)
    expect([2, 3, 4, 5].map((register) => ide.in(register))).toEqual([0x22, 0x23, 0x24, 0x25])
  })

  test('registers are not written while the drive is busy or has data', async () => {
    const { ide, medium } = disk()
    medium.hold = true
    ide.command28(0x20, 5, 1)
    ide.out(3, 99)
    ide.out(7, 0xec)
    await medium.release()
    await ide.ready()
    ide.out(3, 99)
    expect(ide.in(3)).toBe(5)
    expect(ide.data(512)).toEqual(medium.bytes.slice(5 * 512, 6 * 512))
  })

  test('accesses of 4 bytes move two words of data, and registers byte by byte', async () => {
    const { ide, medium } = disk()
    ide.machine.out(0x1f2, 0x0000_0701, 4)
    ide.out(6, 0xe0)
    ide.out(7, 0x20)
    await ide.ready()
    const got = Array.from({ length: 128 }, () => ide.machine.in(0x1f0, 4))
    expect(new Uint8Array(Uint32Array.from(got).buffer)).toEqual(medium.bytes.slice(7 * 512, 8 * 512))
    expect(ide.machine.in(0x1f0, 2)).toBe(0)
  })
})

describe('commands that move no sectors (ATA8-ACS)', () => {
  test('IDENTIFY DEVICE says what the disk is, with an integrity word', () => {
    const { ide } = disk()
    ide.out(7, 0xec)
    const bytes = ide.data(512)
    expect(ide.in(7)).toBe(READY)
    expect(text(bytes, 10, 10)).toBe('S123')
    expect(text(bytes, 27, 20)).toBe('RETRAP HARDDISK')
    expect([word(bytes, 1), word(bytes, 3), word(bytes, 6)]).toEqual([4, 16, 63])
    expect(word(bytes, 60) + word(bytes, 61) * 65_536).toBe(SECTORS)
    expect(word(bytes, 100) + word(bytes, 101) * 65_536).toBe(SECTORS)
    expect(word(bytes, 83) & 0x0400).toBe(0x0400)
    expect(word(bytes, 106)).toBe(0x6003)
    expect(bytes.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
    expect(bytes[510]).toBe(0xa5)
  })

  test.each([
    { geometry: { cylinders: 1000, heads: 4, sectors: 17 }, words: [1000, 4, 17] },
    { geometry: { cylinders: 0, heads: 0, sectors: 0 }, words: [4, 16, 63] },
    { geometry: { cylinders: 64, heads: 0, sectors: 0 }, words: [4, 16, 63] },
    { geometry: { cylinders: 64, heads: 17, sectors: 63 }, words: [4, 16, 63] },
    { geometry: { cylinders: 70_000, heads: 16, sectors: 63 }, words: [4, 16, 63] },
    { geometry: { cylinders: 64, heads: 16, sectors: 256 }, words: [4, 16, 63] },
  ])('a medium of geometry $geometry is a disk of $words', ({ geometry, words }) => {
    const { ide, medium } = disk()
    medium.given = { geometry }
    ide.model.reset()
    ide.out(7, 0xec)
    const bytes = ide.data(512)
    expect([1, 3, 6].map((at) => word(bytes, at))).toEqual(words)
    expect([55, 56].map((at) => word(bytes, at))).toEqual(words.slice(1))
  })

  test.each([
    { name: 'NOP', opcode: 0x00, error: 4 },
    { name: 'PACKET', opcode: 0xa0, error: 4 },
    { name: 'IDENTIFY PACKET DEVICE', opcode: 0xa1, error: 4 },
    { name: 'SMART', opcode: 0xb0, error: 4 },
    { name: 'RECALIBRATE', opcode: 0x10, error: 0 },
    { name: 'SEEK', opcode: 0x70, error: 0 },
    { name: 'IDLE IMMEDIATE', opcode: 0xe1, error: 0 },
    { name: 'STANDBY IMMEDIATE', opcode: 0xe0, error: 0 },
  ])('$name ends with error $error and an interrupt', ({ opcode, error }) => {
    const { ide } = disk()
    ide.out(7, opcode)
    expect([ide.line.level, ide.in(7), ide.in(1)]).toEqual([true, error === 0 ? READY : READY | ERR, error])
  })

  test('CHECK POWER MODE says active', () => {
    const { ide } = disk()
    ide.out(7, 0xe5)
    expect(ide.in(2)).toBe(0xff)
  })

  test.each([
    { feature: 0x03, count: 0x0c, error: 0, at: 63, value: 0x0007 },
    { feature: 0x03, count: 0x22, error: 0, at: 63, value: 0x0407 },
    { feature: 0x03, count: 0x45, error: 0, at: 88, value: 0x203f },
    { feature: 0x03, count: 0x47, error: 4, at: 88, value: 0x003f },
    { feature: 0x03, count: 0x13, error: 4, at: 63, value: 0x0407 },
    { feature: 0x55, count: 0, error: 0, at: 85, value: 0x4020 },
    { feature: 0x99, count: 0, error: 4, at: 85, value: 0x4060 },
  ])('SET FEATURES $feature, $count: error $error', ({ feature, count, error, at, value }) => {
    const { ide } = disk()
    ide.out(1, feature)
    ide.out(2, count)
    ide.out(7, 0xef)
    expect(ide.in(1)).toBe(error)
    ide.out(7, 0xec)
    expect(word(ide.data(512), at)).toBe(value)
  })

  test('switching the write cache off flushes it, and makes every write durable', async () => {
    const { ide, medium } = disk()
    ide.out(1, 0x82)
    ide.out(7, 0xef)
    expect(ide.alternateStatus & BSY).toBe(BSY)
    expect(await ide.ready()).toBe(READY)
    ide.command28(0x30, 1, 1)
    ide.feed(new Uint8Array(512))
    await ide.ready()
    expect(medium.log).toEqual(['flush 0+0', 'durable write 512+512'])
  })

  test.each([
    { opcode: 0xe7, name: 'FLUSH CACHE' },
    { opcode: 0xea, name: 'FLUSH CACHE EXT' },
  ])('$name is answered when the medium has flushed, and fails with it', async ({ opcode }) => {
    const { ide, medium } = disk()
    medium.hold = true
    ide.out(7, opcode)
    await ide.pass()
    await ide.pass()
    expect([ide.alternateStatus & BSY, ide.line.level]).toEqual([BSY, false])
    await medium.release()
    expect([await ide.ready(), ide.line.level]).toEqual([READY, true])
    medium.bad = { at: 0, code: 'ERR_NO_SPACE' }
    ide.out(7, opcode)
    expect([await ide.ready(), ide.in(1)]).toEqual([READY | ERR, 4])
  })

  test('READ NATIVE MAX ADDRESS gives the last sector', () => {
    const { ide } = disk()
    ide.command48(0x27, 0, 0)
    expect([ide.in(3), ide.in(4), ide.in(5)]).toEqual([0xff, 0x0f, 0])
  })

  test('EXECUTE DEVICE DIAGNOSTIC shows signatures and code 1, whichever drive is selected', async () => {
    const { ide } = disk()
    ide.command28(0x40, 9, 1)
    await ide.ready()
    ide.out(6, 0xb0)
    ide.out(7, 0x90)
    expect(ide.line.level).toBe(true)
    expect([1, 2, 3, 4, 5, 6, 7].map((register) => ide.in(register))).toEqual([1, 1, 1, 0, 0, 0, READY])
  })
})

describe('reading and writing without DMA (ATA/ATAPI-7 vol. 2, "PIO data-in", "PIO data-out")', () => {
  test.each([
    { name: 'READ SECTORS', start: (ide: IdeMachine) => ide.command28(0x20, 300, 3) },
    { name: 'READ SECTORS EXT', start: (ide: IdeMachine) => ide.command48(0x24, 300, 3) },
    {
      name: 'READ SECTORS by cylinder 0, head 4, sector 49',
      start: (ide: IdeMachine) => {
        for (const [register, value] of [
          [6, 0xa4],
          [2, 3],
          [3, 49],
          [4, 0],
          [5, 0],
          [7, 0x20],
        ] as const)
          ide.out(register, value)
      },
    },
  ])('$name: an interrupt for each sector, none at the end', async ({ start }) => {
    const { ide, medium } = disk()
    start(ide)
    expect(ide.alternateStatus).toBe(READY | BSY)
    for (let i = 0; i < 3; i++) {
      expect(await ide.ready()).toBe(READY | DRQ)
      expect(ide.line.level).toBe(true)
      expect(ide.in(7)).toBe(READY | DRQ)
      expect(ide.data(512)).toEqual(medium.bytes.slice((300 + i) * 512, (301 + i) * 512))
    }
    expect([ide.alternateStatus, ide.line.level, ide.line.edges]).toEqual([READY, false, 3])
  })

  test('a count of 0 is 256 sectors, or 65536 with 48 bits', async () => {
    const { ide, medium } = disk()
    ide.command28(0x20, 0, 0)
    for (let i = 0; i < 256; i++) {
      await ide.ready()
      ide.words(256)
    }
    expect(ide.alternateStatus).toBe(READY)
    expect(medium.log.reduce((sum, line) => sum + Number(line.split('+')[1]), 0)).toBe(256 * 512)
    ide.command48(0x24, 0, 0)
    expect([ide.in(7), ide.in(1)]).toEqual([READY | ERR, 0x10])
  })

  test('READ MULTIPLE: an interrupt for each block, the last of which is shorter', async () => {
    const { ide, medium } = disk()
    ide.out(2, 4)
    ide.out(7, 0xc6)
    expect(ide.in(7)).toBe(READY)
    ide.command28(0xc4, 8, 10)
    const edges = ide.line.edges
    for (const sectors of [4, 4, 2]) {
      expect(await ide.ready()).toBe(READY | DRQ)
      ide.in(7)
      ide.words(sectors * 256 - 1)
      expect(ide.alternateStatus).toBe(READY | DRQ)
      ide.words(1)
    }
    expect([ide.alternateStatus, ide.line.edges - edges]).toEqual([READY, 3])
    expect(medium.log).toEqual(['read 4096+5120'])
  })

  test.each([3, 32, 0x80])('SET MULTIPLE MODE refuses %i', (count) => {
    const { ide } = disk()
    ide.out(2, count)
    ide.out(7, 0xc6)
    expect(ide.in(1)).toBe(4)
  })

  test('SET MULTIPLE MODE 0 switches READ MULTIPLE off', () => {
    const { ide } = disk()
    ide.out(2, 0)
    ide.out(7, 0xc6)
    ide.command28(0xc4, 0, 1)
    expect(ide.in(1)).toBe(4)
  })

  test.each([
    { opcode: 0x30, sectors: [1, 1, 1] },
    { opcode: 0xc5, sectors: [2, 1] },
  ])('WRITE $opcode: no interrupt for the first block, one for each other and one at the end', async (given) => {
    const { ide, medium } = disk()
    ide.out(2, 2)
    ide.out(7, 0xc6)
    ide.in(7)
    const edges = ide.line.edges
    ide.command28(given.opcode, 40, 3)
    const content = Uint8Array.from({ length: 1536 }, (_, i) => i * 3)
    let at = 0
    for (const [i, count] of given.sectors.entries()) {
      expect([await ide.ready(), ide.line.level]).toEqual([READY | DRQ, i > 0])
      ide.in(7)
      ide.feed(content.subarray(at, at + count * 512))
      at += count * 512
    }
    expect(await ide.ready()).toBe(READY)
    expect([ide.line.level, ide.line.edges - edges]).toEqual([true, given.sectors.length])
    expect(medium.bytes.slice(40 * 512, 43 * 512)).toEqual(content)
  })

  test('a write of more than the drive’s buffer has an interrupt for each sector but the first, and one at its end', async () => {
    const { ide, medium } = disk()
    const content = Uint8Array.from({ length: 130 * 512 }, (_, i) => i * 5 + (i >> 9))
    ide.command28(0x30, 7, 130)
    for (let i = 0; i < 130; i++) {
      expect([await ide.ready(), ide.line.level]).toEqual([READY | DRQ, i > 0])
      ide.in(7)
      ide.feed(content.subarray(i * 512, (i + 1) * 512))
    }
    expect([await ide.ready(), ide.line.level]).toEqual([READY, true])
    expect(medium.bytes.slice(7 * 512, 137 * 512)).toEqual(content)
  })

  test('READ VERIFY reads the medium, and moves nothing', async () => {
    const { ide, medium } = disk()
    ide.command28(0x40, 16, 200)
    expect([await ide.ready(), ide.line.edges]).toEqual([READY, 1])
    expect(medium.log).toEqual(['read 8192+65536', 'read 73728+36864'])
  })

  test.each([
    { lba: SECTORS, count: 1 },
    { lba: SECTORS - 1, count: 2 },
    { lba: 0x0fff_ffff, count: 0 },
  ])('sectors that are not there: $lba, $count', ({ lba, count }) => {
    const { ide, medium } = disk()
    ide.command28(0x20, lba, count)
    expect([ide.in(7), ide.in(1), medium.log]).toEqual([READY | ERR, 0x10, []])
  })

  test('28 bits reach no further than 2^28 sectors, of whatever disk', async () => {
    const ide = new IdeMachine([{ kind: 'disk', medium: new TestMedium(0, 2 ** 38) }])
    ide.command28(0x40, 0x0fff_ffff, 2)
    expect([ide.in(7), ide.in(1)]).toEqual([READY | ERR, 0x10])
    ide.command28(0x40, 0x0fff_ffff, 1)
    expect(await ide.ready()).toBe(READY)
    ide.command48(0x42, 0x0fff_ffff, 2)
    expect(await ide.ready()).toBe(READY)
  })
})

const blocksOf = (blockBytes: number): TestMedium => {
  const medium = new TestMedium(0x1_0000)
  medium.given = { blockBytes }
  return medium
}

test.each([
  { options: { device: 0 }, message: 'PCI device 0' },
  { options: { drives: [null, null, null, null, null] }, message: '5 drives' },
  { options: { drives: [{ kind: 'disk', medium: null }] }, message: 'no medium' },
  { options: { drives: [{ kind: 'disk', medium: blocksOf(4096) }] }, message: 'blocks of 4096 bytes' },
  { options: { drives: [{ kind: 'cdrom', medium: blocksOf(4096) }] }, message: 'blocks of 4096 bytes' },
  { options: { drives: [{ kind: 'cdrom', medium: null, model: 'x'.repeat(17) }] }, message: 'at most 16' },
  { options: { drives: [{ kind: 'cdrom', medium: null, serialNumber: 'ä' }] }, message: 'printable ASCII' },
] as const)('options are refused: $message', async ({ options, message }) => {
  const { PiixIde } = await import('../../src/ide/index.ts')
  expect(() => new PiixIde(options)).toThrow(message)
})
