import type { BlockTrayClient } from '@retrap/device'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { DATA, FloppyMachine } from '../support/floppy-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const KIB = 1024
const HD = 1440 * KIB
/** The disk's bytes at a place of 1.44 MB: 18 sectors, two heads. */
const at = (cylinder: number, head: number, sector: number): number => ((cylinder * 2 + head) * 18 + sector - 1) * 512

function started(bytes = HD, rate = 0) {
  const medium = new TestMedium(bytes)
  const card = new FloppyMachine([medium])
  card.start(rate)
  return { medium, card, machine: card.machine }
}

describe('floppy controller (290166)', () => {
  test('the end of a reset is an interrupt, and an end for each drive', () => {
    const card = new FloppyMachine([null])
    expect(card.machine.in(0x3f4)).toBe(0)
    card.machine.out(0x3f2, 0x0c)
    expect([card.irq, card.machine.in(0x3f4)]).toEqual([true, 0x80])
    expect([0, 1, 2, 3, 4].map(() => card.command(8))).toEqual([[0xc0, 0], [0xc1, 0], [0xc2, 0], [0xc3, 0], [0x80]])
    expect(card.irq).toBe(false)
    // The same by the data rate select register, without the DMA gate no interrupt.
    card.machine.out(0x3f2, 0x04)
    card.machine.out(0x3f4, 0x80)
    expect(card.irq).toBe(false)
    card.machine.out(0x3f2, 0x0c)
    expect(card.irq).toBe(true)
    const restored = new FloppyMachine([null])
    restored.model.restore(card.model.save())
    expect(restored.irq).toBe(true)
  })

  test('it says that it is an 82077AA, and what is no command', () => {
    const { card } = started()
    expect(card.command(0x10)).toEqual([0x90])
    expect(card.command(0x18)).toEqual([0x80])
    expect([card.command(0x94), card.command(0x14)]).toEqual([[0x10], [0]])
    expect(card.command(0x0e).slice(8)).toEqual([0x20, 0])
    card.command(0x13, 0, 0x57, 0x11)
    expect(card.command(0x0e)).toEqual([0, 0, 0, 0, 0xdf, 0x02, 0, 0, 0x57, 0x11])
  })

  test('seeks take time; the end of each is an interrupt', async () => {
    const { card, machine } = started()
    card.command(0x0f, 0, 40)
    expect([machine.in(0x3f4), card.irq]).toEqual([0x81, false])
    await card.pass()
    expect(card.irq).toBe(true)
    expect(card.command(8)).toEqual([0x20, 40])
    card.command(0xcf, 0, 5)
    await card.pass()
    expect(card.command(8)).toEqual([0x20, 45])
    card.command(0x07, 0)
    await card.pass()
    expect(card.command(8)).toEqual([0x20, 0])
    expect(card.command(0x04, 4)).toEqual([0x3c])
    // There is no drive B to say that its head is at cylinder 0.
    card.command(0x07, 1)
    await card.pass()
    expect(card.command(8)[0]).toBe(0x71)
  })

  test('the gate of its outputs holds a transfer back until it is opened', async () => {
    const { card, medium, machine } = started()
    card.channel(0x46, 512)
    machine.out(0x3f2, 0x14)
    expect(await card.transfer(0x46, 0, 0, 0, 3, 2, 18, 27, 255)).toEqual([])
    expect(machine.ram[DATA]).toBe(0)
    machine.out(0x3f2, 0x1c)
    expect(machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(at(0, 0, 3), at(0, 0, 4)))
    expect([card.irq, card.result()[0]]).toEqual([true, 0])
  })

  test.each([
    { name: 'with both heads: over the end of a track, and of a cylinder', opcode: 0xe6, end: 2 + 40 - 1, moved: 40 },
    { name: 'with both heads, to the last sector: to the end of a cylinder', opcode: 0xe6, end: 18, moved: 35 },
    { name: 'with one head: to the end of a track', opcode: 0x66, end: 2 + 40 - 1, moved: 17 },
  ])('a read of 40 sectors from the second one on, $name', async ({ opcode, end, moved }) => {
    const { card, medium, machine } = started()
    card.channel(0x46, 40 * 512)
    const [status, status1] = await card.transfer(opcode, 0, 0, 0, 2, 2, end, 27, 255)
    const missing = end > 18 ? 4 : 0x80
    expect([status! & 0xc0, status1]).toEqual(moved === 40 ? [0, 0] : [0x40, missing])
    const bytes = Buffer.concat([medium.bytes.subarray(512, (1 + moved) * 512), new Uint8Array((40 - moved) * 512)])
    expect(Buffer.compare(machine.ram.subarray(DATA, DATA + 40 * 512), bytes)).toBe(0)
    // The head is where it was, and EOT is in the registers that DUMPREG has.
    expect([0, 6].map((byte) => card.command(0x0e)[byte])).toEqual([0, end])
  })

  test('whatever a medium throws is a failure of the medium', async () => {
    const { card, medium } = started()
    medium.read = () => Promise.reject(new Error('the server is gone'))
    card.channel(0x46, 512)
    expect(await card.transfer(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)).toEqual([0x40, 0x20, 0x20, 0, 0, 1, 2])
  })

  test('a drive has one end of a seek that waits, however many there were', async () => {
    const { card } = started()
    for (let i = 0; i < 50; i++) {
      card.command(0x0f, 0, i)
      card.machine.advance(50e6)
    }
    card.command(0x0f, 1, 0)
    await card.pass()
    expect([card.command(8), card.command(8)[0], card.command(8)]).toEqual([[0x20, 49], 0x71, [0x80]])
  })

  test('the line of a changed disk is there until the head moves', async () => {
    const { card, machine } = started()
    expect(machine.in(0x3f7)).toBe(0x80)
    await card.seek(0)
    expect(machine.in(0x3f7)).toBe(0x80)
    await card.seek(1)
    expect(machine.in(0x3f7)).toBe(0)
    machine.out(0x3f2, 0x0c)
    expect(machine.in(0x3f7)).toBe(0)
  })

  test('a disk that is exchanged during a read: nothing of two disks is read', async () => {
    const { card, medium } = started()
    await card.seek(3)
    card.channel(0x46, 4 * 512)
    medium.hold = true
    card.command(0xe6, 0, 3, 0, 5, 2, 18, 27, 255)
    await card.pass(1e6)
    medium.change(new Uint8Array(HD).fill(7))
    await medium.release()
    await card.pass()
    expect(card.result()).toEqual([0x40, 1, 0, 3, 0, 5, 2])
    expect(medium.log).toHaveLength(1)
    // The next command is of the new one alone.
    card.channel(0x46, 512)
    expect((await card.transfer(0xe6, 0, 3, 0, 5, 2, 18, 27, 255)).slice(0, 3)).toEqual([0, 0, 0])
    expect(card.machine.ram.slice(DATA, DATA + 512)).toEqual(new Uint8Array(512).fill(7))
  })

  test('a disk that is exchanged during a write: the rest does not reach the new one', async () => {
    const { card, medium } = started()
    await card.seek(3)
    card.channel(0x4a, 4 * 512)
    medium.hold = true
    card.command(0xc5, 0, 3, 0, 5, 2, 18, 27, 255)
    await card.pass(1e6)
    medium.change(new Uint8Array(HD).fill(7))
    medium.hold = false
    await medium.release()
    await card.pass()
    expect(card.result()).toEqual([0x40, 1, 0, 3, 0, 5, 2])
    expect(medium.log).toEqual([`write ${at(3, 0, 5)}+512`])
  })

  test.each([
    { made: HD, takes: [720, 1000, 1440, 1680], not: [2880, 1200, 360, 3000] },
    { made: 2880 * KIB, takes: [720, 1440, 2880], not: [1200] },
    { made: 1200 * KIB, takes: [360, 1200], not: [1440] },
    { made: 0, takes: [720, 1440], not: [2880] },
  ])('a drive that was made for $made bytes takes disks of $takes KiB', ({ made, takes, not }) => {
    let client: BlockTrayClient | undefined
    const tray = { connect: (given: BlockTrayClient) => void (client = given), moved() {} }
    const medium = Object.assign(new TestMedium(0, made), { tray })
    new FloppyMachine([medium])
    const refused = (kib: number): boolean => client!.refuses({ ...medium.properties, bytes: kib * KIB }) !== null
    expect([takes.filter(refused), not.filter((kib) => !refused(kib))]).toEqual([[], []])
  })

  test('sectors are read until the count of the channel ends, over both heads', async () => {
    const { card, medium, machine } = started()
    await card.seek(3)
    card.channel(0x46, 4 * 512)
    expect(await card.transfer(0xe6, 0, 3, 0, 17, 2, 18, 27, 255)).toEqual([0x04, 0, 0, 3, 1, 3, 2])
    expect(machine.ram.slice(DATA, DATA + 2048)).toEqual(medium.bytes.slice(at(3, 0, 17), at(3, 0, 17) + 2048))
    expect(machine.in(0x08) & 4).toBe(4)
  })

  test('without an end of the count the last sector is an error', async () => {
    const { card } = started()
    await card.seek(3)
    card.channel(0x46, 0x8000)
    expect(await card.transfer(0x46, 0, 3, 0, 17, 2, 18, 27, 255)).toEqual([0x40, 0x80, 0, 4, 0, 1, 2])
  })

  test('sectors are written, and part of one is filled with 0', async () => {
    const { card, medium, machine } = started()
    machine.ram.fill(0xab, DATA, DATA + 600)
    await card.seek(79)
    card.channel(0x4a, 600)
    expect(await card.transfer(0xc5, 4, 79, 1, 5, 2, 18, 27, 255)).toEqual([0x04, 0, 0, 79, 1, 7, 2])
    const written = medium.bytes.slice(at(79, 1, 5), at(79, 1, 5) + 1024)
    expect(written).toEqual(Uint8Array.from({ length: 1024 }, (_, i) => (i < 600 ? 0xab : 0)))
  })

  test.each([
    {
      what: 'another cylinder than the head is at',
      bytes: [0xe6, 0, 4, 0, 1, 2, 18, 27, 255],
      result: [0x40, 4, 0x10],
    },
    { what: 'cylinder FFH', bytes: [0xe6, 0, 255, 0, 1, 2, 18, 27, 255], result: [0x40, 4, 0x02] },
    { what: 'a sector that is not there', bytes: [0xe6, 0, 3, 0, 19, 2, 20, 27, 255], result: [0x40, 4, 0] },
    { what: 'sectors of another size', bytes: [0xe6, 0, 3, 0, 1, 3, 18, 27, 255], result: [0x40, 4, 0] },
    { what: 'a drive that is not there', bytes: [0xe6, 1, 3, 0, 1, 2, 18, 27, 255], result: [0x41, 1, 0] },
  ])('$what is not found', async ({ bytes, result }) => {
    const { card } = started()
    await card.seek(3)
    card.channel(0x46, 512)
    expect((await card.transfer(...bytes)).slice(0, 3)).toEqual(result)
  })

  test('a disk is not read at another rate, a protected one not written, and a medium may fail', async () => {
    const { card, medium, machine } = started()
    machine.out(0x3f7, 2)
    expect((await card.transfer(0x4a, 0)).slice(0, 3)).toEqual([0x40, 1, 0])
    machine.out(0x3f7, 0)
    expect(await card.transfer(0x4a, 4)).toEqual([0x04, 0, 0, 0, 1, 1, 2])
    medium.readOnly = true
    expect(card.command(0x04, 0)).toEqual([0x78])
    card.channel(0x4a, 512)
    expect((await card.transfer(0xc5, 0, 0, 0, 1, 2, 18, 27, 255)).slice(0, 2)).toEqual([0x40, 2])
    medium.bad = { at: 512, code: 'ERR_MEDIUM' }
    card.channel(0x46, 1024)
    expect(await card.transfer(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)).toEqual([0x40, 0x20, 0x20, 0, 0, 2, 2])
  })

  test('a track is formatted, and verified with a count', async () => {
    const { card, medium, machine } = started()
    await card.seek(2)
    for (let i = 0; i < 18; i++) machine.ram.set([2, 1, i + 1, 2], DATA + 4 * i)
    card.channel(0x4a, 72)
    expect((await card.transfer(0x4d, 4, 2, 18, 0x54, 0xf6)).slice(0, 3)).toEqual([0x04, 0, 0])
    expect(medium.bytes.slice(at(2, 1, 1), at(3, 0, 1)).every((byte) => byte === 0xf6)).toBe(true)
    expect(medium.bytes[at(3, 0, 1)]).not.toBe(0xf6)
    expect(await card.transfer(0xd6, 0x80, 2, 0, 1, 2, 18, 27, 20)).toEqual([0x04, 0, 0, 2, 1, 3, 2])
  })

  test('without DMA each byte goes over the data register', async () => {
    const { card, medium, machine } = started()
    card.command(3, 0xdf, 0x03)
    card.command(0x46, 0, 0, 0, 18, 2, 18, 27, 255)
    await card.pass()
    expect([machine.in(0x3f4), card.irq]).toEqual([0xf0, true])
    const read = Array.from({ length: 512 }, () => machine.in(0x3f5))
    expect(Uint8Array.from(read)).toEqual(medium.bytes.slice(17 * 512, 18 * 512))
    expect(card.result()).toEqual([0x40, 0x80, 0, 1, 0, 1, 2])
    card.command(0x45, 0, 0, 0, 18, 2, 18, 27, 255)
    expect(machine.in(0x3f4)).toBe(0xb0)
    for (let i = 0; i < 512; i++) machine.out(0x3f5, 0x5a)
    await card.pass()
    expect(card.result().slice(0, 2)).toEqual([0x40, 0x80])
    expect(medium.bytes.slice(17 * 512, 18 * 512).every((byte) => byte === 0x5a)).toBe(true)
  })

  test('a masked channel keeps the sector until it is let go', async () => {
    const { card, medium, machine } = started()
    card.channel(0x46, 512)
    machine.out(0x0a, 6)
    expect(await card.transfer(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)).toEqual([])
    machine.out(0x0a, 2)
    expect(card.result()).toEqual([0, 0, 0, 0, 0, 2, 2])
    expect(machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(0, 512))
  })

  test('a reset ends a command: what the medium answers afterwards goes nowhere', async () => {
    const { card, medium, machine } = started()
    medium.hold = true
    card.channel(0x46, 512)
    card.command(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)
    machine.out(0x3f2, 0)
    await medium.release()
    await card.pass()
    expect(machine.ram.slice(DATA, DATA + 512).every((byte) => byte === 0)).toBe(true)
    card.start()
    expect(card.command(0x10)).toEqual([0x90])
  })

  test.each([
    { kib: 2880, rate: 3, last: [79, 1, 36] },
    { kib: 1200, rate: 0, last: [79, 1, 15] },
    { kib: 720, rate: 2, last: [79, 1, 9] },
    { kib: 360, rate: 1, last: [39, 1, 9] },
    { kib: 160, rate: 2, last: [39, 0, 8] },
  ])('a disk of $kib KiB ends where it does', async ({ kib, rate, last }) => {
    const { card, medium, machine } = started(kib * KIB, rate)
    const [cylinder = 0, head = 0, sector = 0] = last
    await card.seek(cylinder)
    card.channel(0x46, 512)
    const result = await card.transfer(0x46, head << 2, cylinder, head, sector, 2, sector, 27, 255)
    expect(result[0]! & 0xc0).toBe(0)
    expect(machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(-512))
  })

  test('an image of a boot sector alone is a disk of 1.44 MB that is empty behind it, and cannot be written there', async () => {
    const { card, medium, machine } = started(512)
    medium.bytes.fill(7)
    machine.ram.fill(9)
    card.channel(0x46, 1024)
    const read = await card.transfer(0x46, 0, 0, 0, 1, 2, 18, 27, 255)
    expect([read[0]! & 0xc0, machine.ram[DATA], machine.ram[DATA + 512]]).toEqual([0, 7, 0])
    card.channel(0x4a, 512)
    expect((await card.transfer(0x45, 0, 0, 0, 2, 2, 18, 27, 255))[0]! & 0xc0).toBe(0x40)
    expect(() => new FloppyMachine([new TestMedium(2880 * KIB + 512)])).toThrow('expected at most 2880 KiB')
  })

  test('a snapshot holds a command on its way, also in the middle of a sector', async () => {
    const { card, medium, machine } = started()
    await card.seek(7)
    card.channel(0x46, 1024)
    medium.hold = true
    card.command(0xe6, 0, 7, 0, 1, 2, 18, 27, 255)
    await card.pass(2e6)
    const paused = card.model.quiesce()
    await medium.release()
    await paused
    const [state, dma] = [structuredClone(card.model.save()), structuredClone(card.dma.save())]
    const other = new FloppyMachine([new TestMedium(HD)])
    other.machine.ram.set(machine.ram)
    other.machine.time = machine.time
    other.dma.restore(dma)
    other.model.restore(state)
    other.model.resume()
    await other.pass()
    expect(other.result()).toEqual([0, 0, 0, 7, 0, 3, 2])
    expect(other.machine.ram.slice(DATA, DATA + 1024)).toEqual(medium.bytes.slice(at(7, 0, 1), at(7, 0, 3)))
    expect(() => other.dma.restore({ version: 2 })).toThrow('expected 1')
  })

  test('a hostile driver ends nothing but its own commands', async () => {
    const step = fc.tuple(
      fc.constantFrom(0x3f2, 0x3f3, 0x3f4, 0x3f5, 0x3f5, 0x3f5, 0x3f7, 0x04, 0x05, 0x08, 0x0a, 0x0b, 0x0d, 0xd0, 0xd4),
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0x0c, 0x1c, 0xe6, 0xc5, 0x4d, 0x08, 0x0f, 0x07, 0x16, 0x02)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 200, size: 'max' }), async (steps) => {
        const { card, machine } = started(160 * KIB, 2)
        for (const [port, value] of steps) {
          machine.out(port, value)
          machine.in(0x3f5)
        }
        await card.pass(3e6)
        const state = structuredClone(card.model.save())
        card.model.restore(state)
        expect(card.model.save()).toEqual(state)
        machine.out(0x3f2, 0)
        machine.out(0xda, 0)
        machine.out(0x0d, 0)
        card.start()
        expect(card.command(0x10)).toEqual([0x90])
      }),
      { numRuns: slicedCount(60, 4) },
    )
  })
})

describe('DMA controllers (231466)', () => {
  const make = () => new FloppyMachine([])

  test('addresses and counts are two bytes, by the flip-flop', () => {
    const { machine } = make()
    machine.out(0x0c, 0)
    for (const byte of [0x34, 0x12]) machine.out(0x02, byte)
    for (const byte of [0x78, 0x56]) machine.out(0x03, byte)
    expect([machine.in(0x02), machine.in(0x02), machine.in(0x03), machine.in(0x03)]).toEqual([0x34, 0x12, 0x78, 0x56])
    machine.out(0x87, 0x9a)
    expect([machine.in(0x87), machine.in(0x8f)]).toEqual([0x9a, 0])
  })

  /** Channel 2 with its address at the end of a page. */
  const prepare = (mode: number, address: number, count: number) => {
    const { machine, dma } = make()
    machine.out(0x0b, mode)
    machine.out(0x0c, 0)
    for (const byte of [address & 255, address >> 8]) machine.out(0x04, byte)
    for (const byte of [count & 255, count >> 8]) machine.out(0x05, byte)
    machine.out(0x81, 3)
    machine.out(0x0a, 2)
    return { machine, channel: dma.channel(2) }
  }

  test('an address wraps within its page', () => {
    const { machine, channel } = prepare(0x46, 0xfffe, 3)
    expect(channel.move(Uint8Array.of(1, 2, 3, 4, 5), true)).toEqual({ moved: 4, ended: true })
    expect([...machine.ram.slice(0x3_fffe, 0x4_0000), ...machine.ram.slice(0x3_0000, 0x3_0002)]).toEqual([1, 2, 3, 4])
    expect([machine.in(0x08), machine.in(0x08)]).toEqual([4, 0])
    // The end has masked the channel.
    expect(machine.in(0x0f) & 4).toBe(4)
    expect(channel.move(Uint8Array.of(9), true)).toEqual({ moved: 0, ended: false })
  })

  test('it goes down, and begins again by itself', () => {
    const { machine, channel } = prepare(0x76, 0x0102, 2)
    expect(channel.move(Uint8Array.of(1, 2, 3, 4), true)).toEqual({ moved: 3, ended: true })
    expect([...machine.ram.slice(0x3_0100, 0x3_0103)]).toEqual([3, 2, 1])
    expect(channel.move(Uint8Array.of(7), true)).toEqual({ moved: 1, ended: false })
    expect(machine.ram[0x3_0102]).toBe(7)
  })

  test('a channel that verifies leaves memory alone', () => {
    const { machine, channel } = prepare(0x42, 0x0100, 9)
    expect(channel.move(Uint8Array.of(1, 2), true)).toEqual({ moved: 2, ended: false })
    expect(machine.ram[0x3_0100]).toBe(0)
  })

  test.each([
    { what: 'its controller', port: 0x08, value: 4 },
    { what: 'the second controller', port: 0xd0, value: 4 },
    { what: 'the cascade', port: 0xd4, value: 4 },
  ])('nothing moves while $what is off', ({ port, value }) => {
    const { machine, channel } = prepare(0x46, 0x0100, 9)
    machine.out(port, value)
    expect(channel.move(Uint8Array.of(1), true).moved).toBe(0)
  })

  test('channels of the second controller move words, within 128 KiB', () => {
    const { machine, dma } = make()
    machine.out(0xd6, 0x45)
    machine.out(0xd8, 0)
    for (const byte of [0xff, 0xff]) machine.out(0xc4, byte)
    for (const byte of [1, 0]) machine.out(0xc6, byte)
    machine.out(0x8b, 5)
    machine.out(0xd4, 1)
    expect(dma.channel(5).move(Uint8Array.of(1, 2, 3, 4), true)).toEqual({ moved: 4, ended: true })
    expect([...machine.ram.slice(0x5_fffe, 0x6_0000), ...machine.ram.slice(0x4_0000, 0x4_0002)]).toEqual([1, 2, 3, 4])
  })
})
