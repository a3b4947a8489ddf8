import { describe, expect, test } from 'vitest'
import { DRQ, ERR, IdeMachine, READY, SRST } from '../support/ide-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const disk = (): { ide: IdeMachine; medium: TestMedium } => {
  const medium = new TestMedium(4096 * 512)
  return { ide: new IdeMachine([{ kind: 'disk', medium }]), medium }
}

describe('a disk over a medium that fails, or that moves little at a time', () => {
  test('a sector that cannot be read: those before it come, then its address with UNC', async () => {
    const { ide, medium } = disk()
    medium.bad = { at: 77 * 512, code: 'ERR_MEDIUM' }
    ide.command28(0x20, 70, 20)
    for (let i = 0; i < 7; i++) {
      expect(await ide.ready()).toBe(READY | DRQ)
      ide.in(7)
      expect(ide.data(512)).toEqual(medium.bytes.slice((70 + i) * 512, (71 + i) * 512))
    }
    expect(await ide.ready()).toBe(READY | ERR)
    expect([ide.line.level, ide.in(1), ide.in(3), ide.in(4)]).toEqual([true, 0x40, 77, 0])
  })

  test.each([
    { lba: 16, count: 16, bad: 28, errors: [true] },
    { lba: 16, count: 16, bad: 16, errors: [] },
    { lba: 16, count: 40, bad: 32, errors: [false] },
    { lba: 16, count: 40, bad: 53, errors: [false, false, true] },
    { lba: 16, count: 200, bad: 150, errors: [...Array.from({ length: 8 }, () => false), true] },
  ])('READ MULTIPLE of $count, $bad bad: whole blocks, the last with the error', async (given) => {
    const { ide, medium } = disk()
    medium.bad = { at: given.bad * 512, code: 'ERR_MEDIUM' }
    ide.command28(0xc4, given.lba, given.count)
    let at = given.lba
    for (const error of given.errors) {
      expect([await ide.ready(), ide.line.level]).toEqual([READY | DRQ | (error ? ERR : 0), true])
      ide.in(7)
      const sectors = Math.min(16, given.lba + given.count - at)
      const good = Math.min(given.bad, at + sectors) - at
      const expected = new Uint8Array(sectors * 512)
      expected.set(medium.bytes.subarray(at * 512, (at + good) * 512))
      expect(ide.data(sectors * 512)).toEqual(expected)
      at += sectors
    }
    expect([await ide.ready(), ide.line.level]).toEqual([READY | ERR, given.errors.at(-1) !== true])
    expect([ide.in(1), ide.in(3), ide.in(2)]).toEqual([0x40, given.bad, given.lba + given.count - given.bad])
  })

  test('a block that came with an error need not be read: the next command takes its place', async () => {
    const { ide, medium } = disk()
    medium.bad = { at: 28 * 512, code: 'ERR_MEDIUM' }
    ide.command28(0xc4, 16, 16)
    expect(await ide.ready()).toBe(READY | DRQ | ERR)
    ide.command28(0x20, 5, 1)
    expect(await ide.ready()).toBe(READY | DRQ)
    expect(ide.data(512)).toEqual(medium.bytes.slice(5 * 512, 6 * 512))
  })

  test('a failure that has passed when half is asked for leaves nothing out', async () => {
    const { ide, medium } = disk()
    medium.bad = { at: 20 * 512, code: 'ERR_MEDIUM' }
    ide.command28(0xc4, 16, 16)
    medium.bad = null
    expect(await ide.ready()).toBe(READY | DRQ)
    expect(ide.data(16 * 512)).toEqual(medium.bytes.slice(16 * 512, 32 * 512))
    expect(await ide.ready()).toBe(READY)
    expect(medium.log).toEqual(['read 8192+8192', 'read 8192+4096', 'read 12288+4096'])
  })

  test.each([
    { maximumBytes: 4096, parts: [4096, 4096, 2048] },
    { maximumBytes: 5000, parts: [4608, 4608, 1024] },
    { maximumBytes: 100, parts: Array.from({ length: 20 }, () => 512) },
  ])('a medium that moves $maximumBytes bytes at most is asked for parts', async ({ maximumBytes, parts }) => {
    const { ide, medium } = disk()
    medium.given = { maximumBytes }
    const content = Uint8Array.from({ length: 20 * 512 }, (_, i) => i * 7)
    ide.command28(0x30, 9, 20)
    for (let i = 0; i < 20; i++) ide.feed(content.subarray(i * 512, (i + 1) * 512))
    expect(await ide.ready()).toBe(READY)
    ide.command28(0x20, 9, 20)
    for (let i = 0; i < 20; i++) {
      expect(await ide.ready()).toBe(READY | DRQ)
      expect(ide.data(512)).toEqual(content.subarray(i * 512, (i + 1) * 512))
    }
    let at = 9 * 512
    const expected = parts.map((bytes) => `${(at += bytes) - bytes}+${bytes}`)
    expect(medium.log).toEqual([...expected.map((part) => `write ${part}`), ...expected.map((part) => `read ${part}`)])
  })

  test('a write in parts that a reset cancels goes no further than the part under way', async () => {
    const { ide, medium } = disk()
    medium.given = { maximumBytes: 512 }
    medium.hold = true
    ide.command28(0xc5, 9, 4)
    ide.feed(new Uint8Array(4 * 512))
    await ide.pass()
    ide.control(SRST)
    ide.control(0)
    await medium.release()
    for (let i = 0; i < 5; i++) await ide.pass()
    expect(medium.log).toEqual([`write ${9 * 512}+512`])
  })

  test.each(['ERR_NO_SPACE', 'ERR_MEDIUM'] as const)('a write that fails with %s is aborted', async (code) => {
    const { ide, medium } = disk()
    medium.bad = { at: 512, code }
    ide.command28(0x30, 1, 1)
    ide.feed(new Uint8Array(512))
    expect([await ide.ready(), ide.in(1)]).toEqual([READY | ERR, 4])
  })

  test('a medium that cannot be written aborts the command before it takes data', () => {
    const { ide, medium } = disk()
    medium.readOnly = true
    ide.command28(0x30, 1, 1)
    expect([ide.in(7), ide.in(1)]).toEqual([READY | ERR, 4])
  })

  test('a back end that throws something else is a medium that failed', async () => {
    const { ide, medium } = disk()
    medium.read = () => {
      throw new Error('no promise at all')
    }
    ide.command28(0x20, 1, 1)
    expect([await ide.ready(), ide.in(1)]).toEqual([READY | ERR, 0x40])
  })
})
