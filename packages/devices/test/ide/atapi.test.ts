import { describe, expect, test } from 'vitest'
import { BSY, DATA, DRQ, ERR, IdeMachine } from '../support/ide-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const BLOCKS = 400
const DRDY = 0x40
const GOOD_REASON = 3

/** A CD drive that the host has asked twice, so that no unit attention waits. */
async function cd(blocks = BLOCKS, claimed = 0): Promise<{ ide: IdeMachine; medium: TestMedium }> {
  const medium = new TestMedium(blocks * 2048, claimed * 2048)
  const ide = new IdeMachine([{ kind: 'cdrom', medium }])
  ide.packet([0])
  ide.in(7)
  return { ide, medium }
}

const be32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

/** Sends a packet and reads what it gives, part by part. */
async function ask(ide: IdeMachine, packet: readonly number[], limit?: number): Promise<Uint8Array> {
  ide.packet(packet, limit === undefined ? {} : { limit })
  const bytes: number[] = []
  while (((await ide.ready()) & DRQ) !== 0) {
    expect(ide.in(2)).toBe(2)
    const count = ide.in(4) | (ide.in(5) << 8)
    ide.in(7)
    bytes.push(...ide.data(count + (count & 1)).subarray(0, count))
  }
  return Uint8Array.from(bytes)
}

/** Key, code and qualifier that REQUEST SENSE gives. */
async function sense(ide: IdeMachine): Promise<readonly number[]> {
  const bytes = await ask(ide, [3, 0, 0, 0, 18])
  return [bytes[2]!, bytes[12]!, bytes[13]!]
}

describe('the packet protocol (ATA/ATAPI-7 vol. 2, "PACKET command protocol")', () => {
  test('the signature is a packet device’s, and IDENTIFY DEVICE aborts with it', async () => {
    const { ide } = await cd()
    ide.control(4)
    ide.control(0)
    const signature = [1, 1, 0x14, 0xeb]
    expect([2, 3, 4, 5].map((register) => ide.in(register))).toEqual(signature)
    expect(ide.in(7)).toBe(0)
    ide.out(4, 0)
    ide.out(7, 0xec)
    expect([ide.in(7), ide.in(1)]).toEqual([DRDY | ERR, 4])
    expect([2, 3, 4, 5].map((register) => ide.in(register))).toEqual(signature)
  })

  test('IDENTIFY PACKET DEVICE says what it is', async () => {
    const { ide } = await cd()
    ide.out(7, 0xa1)
    const bytes = ide.data(512)
    expect(bytes[0]! | (bytes[1]! << 8)).toBe(0x85c0)
    expect(bytes.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
  })

  test('a packet is taken without an interrupt; its end has one, with the reason in the count register', async () => {
    const { ide } = await cd()
    const edges = ide.line.edges
    ide.out(7, 0xa0)
    expect([ide.alternateStatus, ide.in(2), ide.line.edges - edges]).toEqual([DRDY | DRQ, 1, 0])
    ide.feed(new Uint8Array(12))
    expect([ide.alternateStatus, ide.in(2), ide.line.edges - edges]).toEqual([DRDY, GOOD_REASON, 1])
  })

  test.each([
    { limit: 2048, parts: [2048, 2048, 2048] },
    { limit: 4097, parts: [4096, 2048] },
    { limit: 0, parts: [6144] },
    { limit: 0xffff, parts: [6144] },
    { limit: 1000, parts: [1000, 1000, 1000, 1000, 1000, 1000, 144] },
  ])('a byte count limit of $limit gives parts of $parts, each with an interrupt', async ({ limit, parts }) => {
    const { ide, medium } = await cd()
    const edges = ide.line.edges
    ide.packet([0x28, 0, 0, 0, 0, 7, 0, 0, 3], { limit })
    const got: number[] = []
    const bytes: number[] = []
    while (((await ide.ready()) & DRQ) !== 0) {
      const count = ide.in(4) | (ide.in(5) << 8)
      got.push(count)
      expect(ide.line.level).toBe(true)
      ide.in(7)
      bytes.push(...ide.data(count))
    }
    expect(got).toEqual(parts)
    expect([ide.in(2), ide.line.edges - edges]).toEqual([GOOD_REASON, parts.length + 1])
    expect(Uint8Array.from(bytes)).toEqual(medium.bytes.slice(7 * 2048, 10 * 2048))
  })

  test('by DMA blocks go to where the table says, with one interrupt', async () => {
    const { ide, medium } = await cd()
    const edges = ide.line.edges
    ide.prds([DATA, 0], [DATA + 0x1_0000, 0x2000])
    ide.packet([0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 36], { dma: true })
    ide.writeBusMaster(0, 9)
    expect(await ide.ready()).toBe(DRDY)
    expect([ide.in(2), ide.line.edges - edges, ide.readBusMaster(2)]).toEqual([GOOD_REASON, 1, 4])
    expect(ide.machine.ram.slice(DATA, DATA + 36 * 2048)).toEqual(medium.bytes.slice(2048, 37 * 2048))
  })

  test('DEVICE RESET ends a command that is under way', async () => {
    const { ide, medium } = await cd()
    medium.hold = true
    ide.packet([0x28, 0, 0, 0, 0, 7, 0, 0, 3])
    await ide.pass()
    expect(ide.alternateStatus & BSY).toBe(BSY)
    ide.out(7, 0x08)
    expect([ide.in(7), ide.in(4), ide.in(5)]).toEqual([0, 0x14, 0xeb])
    await medium.release()
    for (let i = 0; i < 5; i++) await ide.pass()
    expect([ide.in(7), ide.line.level]).toEqual([0, false])
  })
})

describe('commands (MMC-5, SPC-3)', () => {
  test('INQUIRY names a removable CD drive', async () => {
    const { ide } = await cd()
    const bytes = await ask(ide, [0x12, 0, 0, 0, 96])
    expect([...bytes.subarray(0, 5)]).toEqual([5, 0x80, 0, 0x21, 31])
    expect(Buffer.from(bytes.subarray(8, 32)).toString()).toBe('RETRAP  RETRAP CD-ROM   ')
    expect(await ask(ide, [0x12, 0, 0, 0, 5])).toHaveLength(5)
    expect(await ask(ide, [0x12, 0, 0, 0, 0])).toHaveLength(0)
  })

  test('READ CAPACITY gives the last block and its size', async () => {
    const { ide } = await cd()
    const bytes = await ask(ide, [0x25])
    expect([be32(bytes, 0), be32(bytes, 4)]).toEqual([BLOCKS - 1, 2048])
  })

  test('READ TOC: one data track and the lead-out, as block addresses and as times', async () => {
    const { ide } = await cd()
    expect([...(await ask(ide, [0x43, 0, 0, 0, 0, 0, 0, 0, 255]))]).toEqual([
      ...[0, 18, 1, 1],
      ...[0, 0x14, 1, 0, 0, 0, 0, 0],
      ...[0, 0x14, 0xaa, 0, 0, 0, 1, 0x90],
    ])
    expect([...(await ask(ide, [0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255])).subarray(8)]).toEqual([0, 0, 7, 25])
    expect([...(await ask(ide, [0x43, 0, 1, 0, 0, 0, 0, 0, 255]))]).toEqual([0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0])
    await ask(ide, [0x43, 0, 0, 0, 0, 0, 9, 0, 255])
    expect(await sense(ide)).toEqual([5, 0x24, 0])
  })

  test('GET CONFIGURATION: a CD up to 99 minutes, a DVD above, nothing without a disc', async () => {
    const profile = async (blocks: number): Promise<number> => {
      const bytes = await ask((await cd(0, blocks)).ide, [0x46, 0, 0, 0, 0, 0, 0, 1, 0])
      expect(be32(bytes, 0)).toBe(bytes.length - 4)
      return (bytes[6]! << 8) | bytes[7]!
    }
    expect([await profile(BLOCKS), await profile(500_000), await profile(0)]).toEqual([8, 0x10, 0])
  })

  test('MODE SENSE: capabilities, and no page that is not there', async () => {
    const { ide } = await cd()
    const bytes = await ask(ide, [0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128])
    expect([bytes[8], bytes[9], bytes.length]).toEqual([0x2a, 18, 28])
    expect((bytes[0]! << 8) | bytes[1]!).toBe(bytes.length - 2)
    // All pages, and of the same which bits may be changed: none (MMC-5, "Mode Parameters").
    const recovery = [1, 6, 0, 5, 0, 0, 0, 0]
    const capabilities = [0x2a, 18, 0x0b, 0, 0x70, 0, 0x29, 0, 2, 0xc2, 0, 2, 2, 0, 2, 0xc2, 0, 0, 0, 0]
    expect([...(await ask(ide, [0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 128])).subarray(8)]).toEqual([
      ...recovery,
      ...capabilities,
    ])
    const zeros = (count: number): number[] => Array.from({ length: count }, () => 0)
    const fixed = [1, 6, ...zeros(6), 0x2a, 18, ...zeros(18)]
    expect([...(await ask(ide, [0x5a, 0, 0x7f, 0, 0, 0, 0, 0, 128])).subarray(8)]).toEqual(fixed)
    await ask(ide, [0x5a, 0, 0x0e, 0, 0, 0, 0, 0, 128])
    expect(await sense(ide)).toEqual([5, 0x24, 0])
    await ask(ide, [0x5a, 0, 0xea, 0, 0, 0, 0, 0, 128])
    expect(await sense(ide)).toEqual([5, 0x39, 0])
  })

  test.each([
    { name: 'an unknown one', packet: [0xff], expected: [5, 0x20, 0] },
    { name: 'READ behind the end', packet: [0x28, 0, 0, 0, 1, 0x90, 0, 0, 1], expected: [5, 0x21, 0] },
    {
      name: 'READ(12) of all there might be',
      packet: [0xa8, 0, 255, 255, 255, 255, 255, 255, 255, 255],
      expected: [5, 0x21, 0],
    },
    { name: 'READ CD of raw blocks', packet: [0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0xf8], expected: [5, 0x24, 0] },
    { name: 'vital product data', packet: [0x12, 1, 0, 0, 96], expected: [5, 0x24, 0] },
  ])('$name fails with sense $expected, which is reported once', async ({ packet, expected }) => {
    const { ide } = await cd()
    ide.packet(packet)
    expect([await ide.ready(), ide.in(1)]).toEqual([DRDY | ERR, (expected[0]! << 4) | 4])
    expect(await sense(ide)).toEqual(expected)
    expect(await sense(ide)).toEqual([0, 0, 0])
  })

  test('READ CD of user data reads blocks; READ of none is good', async () => {
    const { ide, medium } = await cd()
    expect(await ask(ide, [0xbe, 0, 0, 0, 0, 2, 0, 0, 1, 0x10])).toEqual(medium.bytes.slice(4096, 6144))
    ide.packet([0x28])
    expect(await ide.ready()).toBe(DRDY)
  })

  test('a block that cannot be read is a medium error', async () => {
    const { ide, medium } = await cd()
    medium.bad = { at: 9 * 2048, code: 'ERR_MEDIUM' }
    ide.packet([0x28, 0, 0, 0, 0, 9, 0, 0, 1])
    expect(await ide.ready()).toBe(DRDY | ERR)
    expect(await sense(ide)).toEqual([3, 0x11, 0])
  })

  test('after power-on a unit attention waits; INQUIRY leaves it', async () => {
    const ide = new IdeMachine([{ kind: 'cdrom', medium: new TestMedium(2048) }])
    expect(await ask(ide, [0x12, 0, 0, 0, 36])).toHaveLength(36)
    ide.packet([0])
    expect(await ide.ready()).toBe(DRDY | ERR)
    expect(await sense(ide)).toEqual([6, 0x29, 0])
    ide.packet([0])
    expect(await ide.ready()).toBe(DRDY)
  })

  test('a disc that is exchanged: no medium, then a unit attention once, and an event', async () => {
    const { ide, medium } = await cd()
    medium.change(new Uint8Array(0))
    ide.packet([0])
    expect(await sense(ide)).toEqual([2, 0x3a, 0])
    medium.change(new Uint8Array(10 * 2048).fill(7))
    ide.packet([0x25])
    expect(await ide.ready()).toBe(DRDY | ERR)
    expect(await sense(ide)).toEqual([6, 0x28, 0])
    expect(be32(await ask(ide, [0x25]), 0)).toBe(9)
    expect([...(await ask(ide, [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]))]).toEqual([0, 6, 4, 0x10, 2, 2, 0, 0])
    expect((await ask(ide, [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]))[4]).toBe(0)
  })

  test.each([
    { disc: new Uint8Array(BLOCKS * 2048).fill(2), key: 6, expected: [6, 0x28, 0], next: DRDY },
    { disc: new Uint8Array(0), key: 2, expected: [2, 0x3a, 0], next: DRDY | ERR },
  ])('a disc that changes within a READ of two requests: sense $expected', async (given) => {
    const { ide, medium } = await cd()
    ide.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 64], { limit: 2048 })
    const before = medium.bytes.slice(0, 0x1_0000)
    const got: number[] = []
    for (let i = 0; ((await ide.ready()) & DRQ) !== 0; i++) {
      ide.in(7)
      got.push(...ide.data(2048))
      if (i === 3) medium.change(given.disc)
    }
    expect(Uint8Array.from(got)).toEqual(before)
    expect([ide.in(7), ide.in(1)]).toEqual([DRDY | ERR, (given.key << 4) | 4])
    expect(await sense(ide)).toEqual(given.expected)
    ide.packet([0])
    expect(await ide.ready()).toBe(given.next)
  })

  test('a disc that changes while a request is under way: nothing of it comes', async () => {
    const { ide, medium } = await cd()
    medium.hold = true
    ide.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1])
    await ide.pass()
    medium.change(new Uint8Array(BLOCKS * 2048).fill(2))
    await medium.release()
    expect(await ide.ready()).toBe(DRDY | ERR)
    expect(await sense(ide)).toEqual([6, 0x28, 0])
    expect(await ask(ide, [0x28, 0, 0, 0, 0, 0, 0, 0, 1])).toEqual(new Uint8Array(2048).fill(2))
  })

  test('the tray: ejecting, loading, and the lock', async () => {
    const { ide } = await cd()
    ide.packet([0x1e, 0, 0, 0, 1])
    ide.packet([0x1b, 0, 0, 0, 2])
    expect(await sense(ide)).toEqual([5, 0x53, 2])
    ide.packet([0x1e, 0, 0, 0, 0])
    ide.packet([0x1b, 0, 0, 0, 2])
    expect(await ide.ready()).toBe(DRDY)
    ide.packet([0x25])
    expect(await sense(ide)).toEqual([2, 0x3a, 0])
    ide.packet([0x1b, 0, 0, 0, 3])
    ide.packet([0])
    expect(await sense(ide)).toEqual([6, 0x28, 0])
    ide.packet([0])
    expect(await ide.ready()).toBe(DRDY)
  })

  test('a drive without a disc says so', async () => {
    const ide = new IdeMachine([null, null, null, { kind: 'cdrom', medium: null }], 1)
    ide.packet([0], { unit: 1 })
    ide.packet([0], { unit: 1 })
    expect(ide.in(1) >> 4).toBe(2)
  })
})
