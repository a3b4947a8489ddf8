import { TestDisk } from '@retrap/device/test-machine'
import { beforeEach, describe, expect, test } from 'vitest'
import { DATA, LISTS, NvmeMachine } from '../support/nvme-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const READ = 2
const WRITE = 1
const DNR = 0x4000

let medium: TestMedium
let nvme: NvmeMachine

beforeEach(async () => {
  medium = new TestMedium(128 * 512, 2048 * 512)
  nvme = new NvmeMachine(medium)
  await nvme.start()
})

const bytes = (from: number, length: number): Uint8Array => nvme.machine.ram.slice(from, from + length)
const blocks = (first: number, count: number): readonly number[] => [first, 0, count - 1]

describe('the controller', () => {
  test('says what it can', () => {
    expect(nvme.read(0)).toBe(0xf001_03ff)
    expect(nvme.read(4)).toBe(0x20)
    expect(nvme.read(8)).toBe(0x1_0400)
    expect(nvme.read(0x1c)).toBe(1)
    expect(nvme.read(0x28)).toBe(0x1000)
    expect(nvme.read(0x1008)).toBe(0)
  })

  test.each([
    { name: 'pages of 8 KiB', configuration: 0x0046_0081 },
    { name: 'another command set', configuration: 0x0046_0011 },
    { name: 'another arbitration', configuration: 0x0046_0801 },
  ])('is not ready with $name, and says that it failed', ({ configuration }) => {
    const other = new NvmeMachine(medium)
    other.write(0x24, 0x000f_000f)
    other.write(0x14, configuration)
    expect(other.read(0x1c)).toBe(2)
  })

  test('needs admin queues of two entries', () => {
    const other = new NvmeMachine(medium)
    other.write(0x14, 0x0046_0001)
    expect(other.read(0x1c)).toBe(2)
  })

  test('a reset ends once the host is busy with nothing, and no byte arrives afterwards', async () => {
    medium.hold = true
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    nvme.write(0x14, 0x0046_0000)
    await nvme.pass()
    expect(nvme.read(0x1c)).toBe(1)
    await medium.release()
    await nvme.pass()
    expect(nvme.read(0x1c)).toBe(0)
    expect(bytes(DATA, 512)).toEqual(new Uint8Array(512))
    await nvme.start()
    expect(await nvme.io({ opcode: READ, words: blocks(0, 1) })).toMatchObject({ status: 0 })
    expect(bytes(DATA, 512)).toEqual(medium.bytes.slice(0, 512))
  })

  test('a write that was given up does not come after one that follows', async () => {
    medium.hold = true
    nvme.machine.ram.fill(1, DATA, DATA + 512)
    nvme.submit(1, { opcode: WRITE, words: blocks(3, 1) })
    nvme.model.reset()
    expect(nvme.read(0x1c)).toBe(0)
    nvme.machine.ram.fill(2, DATA, DATA + 512)
    nvme.enable()
    await nvme.admin({ opcode: 5, prp1: 0x4000, words: [0xf_0001, 3] })
    await nvme.admin({ opcode: 1, prp1: 0x3000, words: [0xf_0001, 0x1_0001] })
    nvme.submit(1, { opcode: WRITE, words: blocks(3, 1) })
    await nvme.pass()
    expect(medium.log.filter((line) => line.startsWith('write'))).toHaveLength(1)
    await medium.release()
    await nvme.pass()
    await nvme.pass()
    expect(nvme.completions(1)).toMatchObject([{ status: 0 }])
    expect(medium.bytes[3 * 512]).toBe(2)
  })

  test('a shutdown flushes once, however often it is asked for while that lasts', async () => {
    medium.hold = true
    for (let i = 0; i < 100; i++) for (const notice of [0x4000, 0]) nvme.write(0x14, 0x0046_0001 | notice)
    await nvme.pass()
    expect(medium.log).toEqual(['flush 0+0'])
    await medium.release()
    expect(nvme.read(0x1c)).toBe(0x09)
  })

  test('a shutdown while a reset has not ended has nothing to do, and the next reset ends', async () => {
    medium.hold = true
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    await nvme.pass()
    nvme.write(0x14, 0)
    await nvme.pass()
    // CSTS.RDY is still set, and CC.EN again.
    nvme.write(0x14, 0x0046_4001)
    expect(nvme.read(0x1c)).toBe(0x9)
    nvme.write(0x14, 0)
    await nvme.pass()
    medium.letGo(0)
    await nvme.pass()
    await nvme.pass()
    expect([nvme.read(0x1c), medium.held, medium.log]).toEqual([0, 0, ['read 0+512']])
  })

  test('a shutdown of a controller that is not enabled has nothing to do', () => {
    const other = new NvmeMachine(medium)
    other.write(0x14, 0x0046_4000)
    expect(other.read(0x1c)).toBe(0x08)
    expect(medium.log).toEqual([])
  })

  test('without the right to reach memory it does not, and goes on where it gets it back', async () => {
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    nvme.master(false)
    const queued = nvme.submit(1, { opcode: READ, prp1: DATA + 4096, words: blocks(1, 1) })
    const before = nvme.machine.ram.slice()
    for (let i = 0; i < 3; i++) await nvme.pass()
    expect(nvme.machine.ram).toEqual(before)
    expect(medium.log).toEqual(['read 0+512'])
    nvme.master(true)
    await nvme.pass()
    expect(nvme.completions(1)).toMatchObject([{ status: 0 }, { id: queued, status: 0 }])
    expect(bytes(DATA, 512)).toEqual(medium.bytes.slice(0, 512))
  })

  test('on deterministic time, commands of one doorbell end in their order', async () => {
    medium.hold = true
    const ids = [0, 1, 2].map((i) => nvme.put(1, { opcode: READ, prp1: DATA + 4096 * i, words: blocks(i, 1) }))
    nvme.ring(1)
    // The host answers in another order; a machine on deterministic time waits at each instant.
    nvme.machine.advance(20_000)
    for (const index of [2, 1, 0]) {
      medium.letGo(index)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const found = nvme.completions(1)
    for (let i = 0; i < 2; i++) {
      nvme.machine.advance(1)
      found.push(...nvme.completions(1))
    }
    expect(found.map(({ id }) => id)).toEqual(ids)
  })

  test('a shutdown makes what was written durable', async () => {
    nvme.write(0x14, 0x0046_4001)
    expect(nvme.read(0x1c)).toBe(0x05)
    await nvme.pass()
    expect(nvme.read(0x1c)).toBe(0x09)
    expect(medium.log).toEqual(['flush 0+0'])
  })
})

describe('the pin', () => {
  test('is high while there is a completion to look at, unless its vector is masked', async () => {
    expect(nvme.pin).toBe(false)
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    await nvme.pass()
    expect(nvme.pin).toBe(true)
    nvme.write(0x0c, 1)
    expect(nvme.pin).toBe(false)
    nvme.write(0x10, 1)
    expect(nvme.pin).toBe(true)
    nvme.completions(1)
    expect(nvme.pin).toBe(false)
  })

  test('a head that no entry was put at is not taken', async () => {
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    await nvme.pass()
    nvme.write(0x100c, 5)
    nvme.write(0x100c, 99)
    expect(nvme.pin).toBe(true)
    nvme.write(0x100c, 1)
    expect(nvme.pin).toBe(false)
  })
})

describe('data', () => {
  test.each([
    { name: 'one page', prp1: DATA, prp2: 0, count: 8 },
    { name: 'within one page', prp1: DATA + 0x204, prp2: 0, count: 2 },
    { name: 'two pages', prp1: DATA + 0x800, prp2: DATA + 0x5000, count: 8 },
  ])('is read to $name', async ({ prp1, prp2, count }) => {
    expect(await nvme.io({ opcode: READ, prp1, prp2, words: blocks(5, count) })).toMatchObject({ status: 0, queue: 1 })
    const first = Math.min(count * 512, 4096 - (prp1 % 4096))
    const found = [...bytes(prp1, first), ...bytes(prp2, count * 512 - first)]
    expect(Uint8Array.from(found)).toEqual(medium.bytes.slice(5 * 512, (5 + count) * 512))
  })

  test('goes by a list that begins within a page and goes on in another one', async () => {
    const { view } = nvme
    // Two entries fit before the page ends: the second one says where the list goes on.
    view.setBigUint64(LISTS + 0xff0, BigInt(DATA + 0x6000), true)
    view.setBigUint64(LISTS + 0xff8, BigInt(LISTS + 0x1000), true)
    for (let i = 0; i < 3; i++) view.setBigUint64(LISTS + 0x1000 + 8 * i, BigInt(DATA + 0x1_0000 * (i + 1)), true)
    const count = 4 * 8 + 1
    const command = { prp1: DATA + 0xe00, prp2: LISTS + 0xff0, words: blocks(9, count) }
    expect(await nvme.io({ opcode: READ, ...command })).toMatchObject({ status: 0 })
    const places = [DATA + 0xe00, DATA + 0x6000, DATA + 0x1_0000, DATA + 0x2_0000, DATA + 0x3_0000]
    const found = places.flatMap((at, i) => [...bytes(at, i === 0 ? 512 : 4096)])
    expect(Uint8Array.from(found)).toEqual(medium.bytes.slice(9 * 512, (9 + count) * 512))
    medium.bytes.fill(0)
    expect(await nvme.io({ opcode: WRITE, ...command })).toMatchObject({ status: 0 })
    expect(medium.bytes.slice(9 * 512, (9 + count) * 512)).toEqual(Uint8Array.from(found))
    expect(medium.bytes[(9 + count) * 512]).toBe(0)
  })

  test.each([
    { name: 'an offset of no word', prp1: DATA + 2, status: 0x13 },
    { name: 'a second page with an offset', prp2: DATA + 8, count: 16, status: 0x13 },
    { name: 'a list of no entry', prp2: LISTS + 4, count: 24, status: 0x13 },
    { name: 'a list outside of RAM', prp2: 0xf000_0000, count: 24, status: 0x04 },
    { name: 'more than the largest transfer', count: 1025, status: 0x02 },
    { name: 'blocks behind the end', first: 2041, status: 0x80 },
    { name: 'a namespace that is not there', namespace: 2, status: 0x0b },
    { name: 'an SGL', flags: 0x40, status: 0x02 },
    { name: 'a fused command', flags: 0x01, status: 0x02 },
  ])('is refused: $name', async ({ status, first = 0, count = 8, ...rest }) => {
    expect((await nvme.io({ opcode: READ, words: blocks(first, count), ...rest })).status).toBe(status | DNR)
    expect(medium.log).toEqual([])
  })

  test('is not read to what is no RAM', async () => {
    expect((await nvme.io({ opcode: READ, prp1: 0xf000_0000, words: blocks(0, 1) })).status).toBe(0x04)
    expect((await nvme.io({ opcode: WRITE, prp1: 0xf000_0000, words: blocks(0, 1) })).status).toBe(0x04)
  })
})

describe('commands', () => {
  test('writes are durable where the guest says so, or has switched the cache off', async () => {
    await nvme.io({ opcode: WRITE, words: blocks(1, 1) })
    await nvme.io({ opcode: WRITE, words: [1, 0, 0x4000_0000] })
    await nvme.admin({ opcode: 9, words: [6, 0] })
    await nvme.io({ opcode: WRITE, words: blocks(1, 1) })
    expect(medium.log).toEqual(['write 512+512', 'durable write 512+512', 'durable write 512+512'])
  })

  test('a flush is for all namespaces too', async () => {
    expect((await nvme.io({ opcode: 0, namespace: 0xffff_ffff })).status).toBe(0)
    expect((await nvme.io({ opcode: READ, namespace: 0xffff_ffff })).status).toBe(0x0b | DNR)
    expect(medium.log).toEqual(['flush 0+0'])
  })

  test('a comparison tells equal from different', async () => {
    nvme.machine.ram.set(medium.bytes.subarray(512, 1536), DATA)
    const command = { opcode: 5, words: blocks(1, 2) }
    expect((await nvme.io(command)).status).toBe(0)
    nvme.machine.ram[DATA + 1023]! ^= 1
    expect((await nvme.io(command)).status).toBe(0x285)
  })

  test('zeroes and deallocated ranges reach the medium', async () => {
    await nvme.io({ opcode: 8, words: blocks(4, 2) })
    const { view } = nvme
    for (const [i, first, count] of [
      [0, 10, 4],
      [1, 100, 0],
      [2, 20, 8],
    ] as const) {
      view.setUint32(DATA + 16 * i + 4, count, true)
      view.setUint32(DATA + 16 * i + 8, first, true)
    }
    expect((await nvme.io({ opcode: 9, words: [2, 4] })).status).toBe(0)
    expect((await nvme.io({ opcode: 9, words: [2, 0] })).status).toBe(0)
    view.setUint32(DATA + 8, 2045, true)
    expect((await nvme.io({ opcode: 9, words: [2, 4] })).status).toBe(0x80 | DNR)
    expect(medium.log).toEqual(['zeroes 2048+1024', 'discard 5120+2048', 'discard 10240+4096'])
  })

  test.each([
    { code: 'ERR_MEDIUM', opcode: READ, status: 0x281 },
    { code: 'ERR_MEDIUM', opcode: WRITE, status: 0x280 },
    { code: 'ERR_NO_SPACE', opcode: WRITE, status: 0x81 | DNR },
    { code: 'ERR_READ_ONLY', opcode: WRITE, status: 0x20 | DNR },
    { code: 'ERR_NO_MEDIUM', opcode: READ, status: 0x82 | DNR },
  ] as const)('the medium fails with $code: status $status', async ({ code, opcode, status }) => {
    medium.bad = { at: 0, code }
    expect((await nvme.io({ opcode, words: blocks(0, 1) })).status).toBe(status)
    expect((await nvme.io({ opcode, words: blocks(9, 1) })).status).toBe(0)
  })

  test('a medium that cannot be written is not asked to be', async () => {
    medium.readOnly = true
    for (const opcode of [WRITE, 8, 9]) expect((await nvme.io({ opcode })).status).toBe(0x20 | DNR)
    expect((await nvme.io({ opcode: 0x7f })).status).toBe(0x01 | DNR)
    expect(medium.log).toEqual([])
  })

  test('transfers are made in parts that the medium takes', async () => {
    medium.given = { maximumBytes: 1024 }
    await nvme.io({ opcode: READ, words: blocks(0, 5) })
    expect(medium.log).toEqual(['read 0+1024', 'read 1024+1024', 'read 2048+512'])
  })
})

describe('queues', () => {
  test('a full completion queue holds commands back, and loses none', async () => {
    const ids: number[] = []
    for (let i = 0; i < 12; i++) ids.push(nvme.submit(1, { opcode: READ, prp1: DATA + 4096 * i, words: blocks(i, 1) }))
    await nvme.pass()
    const seen = nvme.completions(1, false).map(({ id }) => id)
    for (let i = 0; i < 10; i++) ids.push(nvme.submit(1, { opcode: READ, words: blocks(i, 1) }))
    for (let turns = 0; turns < 4; turns++) await nvme.pass()
    // 15 of 16 entries can be used, and the first twelve have not been given back.
    expect(seen).toHaveLength(12)
    const more = nvme.completions(1)
    for (let turns = 0; turns < 8; turns++) {
      await nvme.pass()
      more.push(...nvme.completions(1))
    }
    expect([...seen, ...more.map(({ id }) => id)]).toEqual(ids)
  })

  test('on the host’s clock commands end in the order in which the medium answers', async () => {
    nvme.machine.clock.realTime = true
    medium.hold = true
    const late = nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    medium.hold = false
    const early = nvme.submit(1, { opcode: READ, words: blocks(1, 1) })
    await nvme.pass()
    expect(nvme.completions(1).map(({ id }) => id)).toEqual([early])
    await medium.release()
    expect(nvme.completions(1).map(({ id }) => id)).toEqual([late])
  })

  test('64 commands are under way at most; those that follow begin when others end, and admin commands at once', async () => {
    medium.hold = true
    const read = (i: number): number => nvme.submit(1, { opcode: READ, words: blocks(i, 1) })
    for (let i = 0; i < 64; i++) read(i)
    expect(medium.held).toBe(64)
    const late = [read(64), read(65)]
    expect(medium.held).toBe(64)
    expect((await nvme.admin({ opcode: 6, words: [1] })).status).toBe(0)
    medium.letGo(0)
    await nvme.pass()
    expect([medium.held, medium.log.at(-1)]).toEqual([64, `read ${64 * 512}+512`])
    const ids = nvme.completions(1).map(({ id }) => id)
    await medium.release()
    for (let turns = 0; turns < 8; turns++) {
      ids.push(...nvme.completions(1).map(({ id }) => id))
      await nvme.pass()
    }
    expect(ids).toHaveLength(66)
    expect(ids.slice(-2)).toEqual(late)
  })

  test('a queue is deleted when its commands have ended', async () => {
    medium.hold = true
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    const deletion = nvme.submit(0, { opcode: 0, words: [1] })
    nvme.submit(1, { opcode: READ, words: blocks(1, 1) })
    await nvme.pass()
    expect(nvme.completions(0)).toEqual([])
    await medium.release()
    expect(nvme.completions(1)).toHaveLength(1)
    expect(nvme.completions(0)).toMatchObject([{ id: deletion, status: 0 }])
    expect((await nvme.admin({ opcode: 4, words: [1] })).status).toBe(0)
  })

  test.each([
    { name: 'completion queue 0', opcode: 5, words: [0xf_0000, 3], status: 0x101 },
    { name: 'completion queue 9 of 8', opcode: 5, words: [0xf_0009, 3], status: 0x101 },
    { name: 'a completion queue that is there', opcode: 5, words: [0xf_0001, 3], status: 0x101 },
    { name: 'one entry', opcode: 5, words: [2, 3], status: 0x102 },
    { name: '1,025 entries', opcode: 5, words: [0x400_0002, 3], status: 0x102 },
    { name: 'a queue in pieces', opcode: 5, words: [0xf_0002, 2], status: 0x02 },
    { name: 'vector 9 of 9', opcode: 5, words: [0xf_0002, 0x9_0003], status: 0x108 },
    { name: 'a base within a page', opcode: 5, prp1: DATA + 8, words: [0xf_0002, 3], status: 0x13 },
    { name: 'a submission queue without completions', opcode: 1, words: [0xf_0002, 0x2_0001], status: 0x100 },
    { name: 'completions of the admin queue', opcode: 1, words: [0xf_0002, 1], status: 0x100 },
    { name: 'completions that cannot be', opcode: 1, words: [0xf_0002, 0x9_0001], status: 0x101 },
    { name: 'a submission queue that is there', opcode: 1, words: [0xf_0001, 0x1_0001], status: 0x101 },
    { name: 'the end of the admin queue', opcode: 0, words: [0], status: 0x101 },
    { name: 'the end of what is not there', opcode: 4, words: [2], status: 0x101 },
    { name: 'the end of completions in use', opcode: 4, words: [1], status: 0x10c },
  ])('is refused: $name', async ({ opcode, words, status, prp1 = DATA }) => {
    expect((await nvme.admin({ opcode, words, prp1 })).status).toBe(status | DNR)
  })

  test('the largest queues can be made', async () => {
    expect((await nvme.admin({ opcode: 5, words: [0x3ff_0008, 0x8_0003] })).status).toBe(0)
    expect((await nvme.admin({ opcode: 1, words: [0x3ff_0008, 0x8_0001] })).status).toBe(0)
  })
})

describe('data that the medium moves without a wait', () => {
  let disk: TestDisk
  beforeEach(async () => {
    disk = new TestDisk(128 * 512)
    disk.inPlace = true
    nvme = new NvmeMachine(disk)
    nvme.machine.clock.realTime = true
    await nvme.start()
  })

  test('commands end when the doorbell has been rung', () => {
    nvme.machine.ram.fill(7, DATA + 4096, DATA + 4096 + 512)
    nvme.put(1, { opcode: READ, words: blocks(2, 2) })
    nvme.submit(1, { opcode: WRITE, prp1: DATA + 4096, words: blocks(9, 1) })
    expect(nvme.completions(1)).toMatchObject([{ status: 0 }, { status: 0 }])
    expect(bytes(DATA, 1024)).toEqual(disk.bytes.slice(1024, 2048))
    expect(disk.bytes.slice(9 * 512, 10 * 512)).toEqual(new Uint8Array(512).fill(7))
    expect(disk.log).toEqual(['read 1024+1024 in place', 'write 4608+512 in place'])
  })

  test('a failure ends them too', () => {
    disk.bad = 'ERR_MEDIUM'
    nvme.submit(1, { opcode: READ, words: blocks(0, 1) })
    nvme.submit(1, { opcode: WRITE, words: blocks(0, 1) })
    expect(nvme.completions(1)).toMatchObject([{ status: 0x281 }, { status: 0x280 }])
  })

  test.each([
    { name: 'on time that is not the host’s', realTime: false, log: ['read 0+512', 'write 0+512'] },
    { name: 'where the medium would wait', inPlace: false, log: ['read 0+512', 'write 0+512'] },
    { name: 'of more than it takes at a time', count: 256, log: ['read 0+65536', 'read 65536+65536'] },
  ])('it is not moved so $name', async ({ realTime = true, inPlace = true, count, log }) => {
    nvme.machine.clock.realTime = realTime
    disk.inPlace = inPlace
    if (count !== undefined) {
      disk.given = { bytes: 1 << 20 }
      for (let i = 1; i < 32; i++) nvme.view.setBigUint64(LISTS + 8 * (i - 1), BigInt(DATA + 4096 * i), true)
      expect(await nvme.io({ opcode: READ, prp2: LISTS, words: blocks(0, count) })).toMatchObject({ status: 0 })
    } else {
      expect(await nvme.io({ opcode: READ, words: blocks(0, 1) })).toMatchObject({ status: 0 })
      expect(await nvme.io({ opcode: WRITE, words: blocks(0, 1) })).toMatchObject({ status: 0 })
    }
    expect(disk.log).toEqual(log)
  })

  test('a write with forced unit access waits until it is durable', async () => {
    expect(await nvme.io({ opcode: WRITE, words: [0, 0, 0x4000_0000] })).toMatchObject({ status: 0 })
    expect(disk.log).toEqual(['write 0+512 durable'])
  })

  test('a write does not overtake one that was given up', async () => {
    disk.inPlace = false
    disk.hold = true
    nvme.submit(1, { opcode: WRITE, words: blocks(3, 1) })
    nvme.model.reset()
    disk.inPlace = true
    await nvme.start()
    nvme.submit(1, { opcode: WRITE, words: blocks(3, 1) })
    await nvme.pass()
    expect(nvme.completions(1)).toEqual([])
    disk.hold = false
    disk.release()
    for (let i = 0; i < 3; i++) await nvme.pass()
    expect(nvme.completions(1)).toMatchObject([{ status: 0 }])
  })
})
