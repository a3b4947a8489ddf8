/** What QEMU's ITS cannot show: work in slices, memory that is not there, and tables that lie. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import * as G from '../../src/gic/index.ts'
import { RAM, RAM_BYTES, Ram } from './operations.ts'

const COLLECTIONS = RAM + 0x1_0000
const QUEUE = RAM + 0x2_0000
const CONFIGURATION = RAM + 0x3_0000
const PENDING = RAM + 0x5_0000
const TRANSLATION = RAM + 0x10_0000
const VALID = 2 ** 31
const CTLR = 0
const CBASER = 0x80
const CWRITER = 0x88
const CREADR = 0x90

/** A board of two vCPUs whose LPIs are on, with a queue of `pages` pages; work that is left is in `left`. */
function makeBoard({ pages = 1, queue = QUEUE, enabled = true } = {}) {
  const ram = new Ram()
  const left: (() => void)[] = []
  const gic = new G.GicV3({ cpus: 2, memory: ram, signal: () => undefined })
  const its = new G.Its({ gic, memory: ram, later: (callback) => left.push(callback) })
  ram.bytes.fill(0xa1, CONFIGURATION - RAM, CONFIGURATION - RAM + 0x1_0000)
  gic.distributor.write(0, 4, 3)
  for (const cpu of [0, 1]) {
    const frame = 0x2_0000 * cpu
    gic.redistributors.write(frame + 0x14, 4, 0)
    gic.redistributors.write64(frame + 0x70, CONFIGURATION | 15, 0)
    gic.redistributors.write64(frame + 0x78, PENDING + 0x1_0000 * cpu, 0)
    if (enabled) gic.redistributors.write(frame, 4, 1)
    gic.writeSystemRegister(cpu, G.ICC_PMR_EL1, 0xff, 0)
    gic.writeSystemRegister(cpu, G.ICC_IGRPEN1_EL1, 1, 0)
  }
  its.write64(0x100, RAM, VALID)
  its.write64(0x108, COLLECTIONS, VALID)
  its.write64(CBASER, queue | (pages - 1), VALID)
  its.write(CTLR, 4, 1)
  let at = 0
  const view = new DataView(ram.bytes.buffer)
  const put = (...words: readonly number[]): void => {
    for (let i = 0; i < 8; i++) view.setUint32(QUEUE - RAM + at + 4 * i, words[i] ?? 0, true)
    at = (at + 32) % (4096 * pages)
  }
  const send = (): void => its.write(CWRITER, 4, at)
  return { gic, its, ram, left, put, send, view }
}

type TestBoard = ReturnType<typeof makeBoard>

/** Maps event 3 of device 5 to LPI 8200 of collection 1, which is vCPU 1. */
function mapOne({ put, send }: TestBoard): void {
  put(0x08, 5, 4, 0, TRANSLATION, VALID)
  put(0x09, 0, 0, 0, (1 << 16) | 1, VALID)
  put(0x0a, 5, 3, 8200, 1, 0)
  send()
}

function acknowledge(gic: G.GicV3, cpu: number): number {
  const into = { lo: 0, hi: 0 }
  gic.readSystemRegister(cpu, G.ICC_IAR1_EL1, into)
  return into.lo
}

test("a message of a device becomes an LPI of the collection's vCPU", () => {
  const board = makeBoard()
  mapOne(board)
  expect([board.its.translate(5, 3), board.its.translate(5, 4), board.its.translate(6, 3)]).toEqual([
    true,
    false,
    false,
  ])
  expect([acknowledge(board.gic, 0), acknowledge(board.gic, 1)]).toEqual([1023, 8200])
})

test('INV of LPIs that are pending: the best is chosen anew, and few are performed at once', () => {
  const board = makeBoard()
  const { gic, its, ram, put, send } = board
  mapOne(board)
  put(0x0a, 5, 4, 8201, 1, 0)
  put(0x03, 5, 3)
  put(0x03, 5, 4)
  send()
  const best = (): number => {
    put(0x0c, 5, 3)
    put(0x0c, 5, 4)
    send()
    const into = { lo: 0, hi: 0 }
    gic.readSystemRegister(1, G.ICC_HPPIR1_EL1, into)
    return into.lo
  }
  const setPriorities = (first: number, second: number): void => {
    ram.bytes.set([first | 1, second | 1], CONFIGURATION - RAM + 8)
  }
  const chosen = [best()]
  for (const [first, second] of [
    [0xa0, 0x80],
    [0x80, 0x80],
    [0xc0, 0xb0],
    [0xc0, 0xc8],
  ] as const) {
    setPriorities(first, second)
    chosen.push(best())
  }
  // Not enabled.
  ram.bytes[CONFIGURATION - RAM + 8] = 0xc0
  chosen.push(best())
  expect(chosen).toEqual([8200, 8201, 8200, 8201, 8200, 8201])
  const before = its.read(CREADR, 4)
  for (let i = 0; i < 64; i++) put(0x0c, 5, 3)
  send()
  expect((its.read(CREADR, 4) - before) / 32).toBe(8)
})

test('a long queue is worked through in slices, and the ITS is not quiescent meanwhile', () => {
  const board = makeBoard({ pages: 4 })
  for (let i = 0; i < 200; i++) board.put(0x05)
  mapOne(board)
  const progress = [board.its.read(CREADR, 4) / 32]
  while (board.left.length > 0) {
    expect(board.its.read(CTLR, 4)).toBe(1)
    board.left.shift()!()
    progress.push(board.its.read(CREADR, 4) / 32)
  }
  expect(progress).toEqual([64, 128, 192, 203])
  expect([board.its.read(CTLR, 4), board.its.translate(5, 3)]).toEqual([0x8000_0001, true])
})

test('a queue in no memory stalls until the guest asks for another try', () => {
  const board = makeBoard({ queue: RAM + RAM_BYTES - 0x1000, pages: 2 })
  board.its.write(CWRITER, 4, 0x1040)
  // The first page is commands of 0, which have an error, and are ignored.
  while (board.left.length > 0) board.left.shift()!()
  expect(board.its.read(CREADR, 4)).toBe(0x1001)
  board.its.write(CWRITER, 4, 0x1041)
  expect([board.its.read(CWRITER, 4), board.its.read(CREADR, 4)]).toEqual([0x1040, 0x1001])
})

test('a table in no memory stalls the queue at its command', () => {
  const board = makeBoard()
  board.put(0x05)
  board.put(0x08, 5, 4, 0, 0, VALID)
  board.put(0x09, 0, 0, 0, 1, VALID)
  board.put(0x0a, 5, 3, 8200, 1, 0)
  board.send()
  expect(board.its.read(CREADR, 4)).toBe(0x61)
  // The guest repairs the mapping, and goes on.
  board.view.setUint32(QUEUE - RAM + 0x60, 0x05, true)
  board.its.write(CWRITER, 4, 0x81)
  expect(board.its.read(CREADR, 4)).toBe(0x80)
})

test('a queue that is not valid, or an ITS that is off, performs nothing until it is', () => {
  const board = makeBoard()
  const { its } = board
  const high = its.read(CBASER + 4, 4)
  const reads: number[] = []
  for (const [enabled, valid] of [
    [0, 1],
    [1, 0],
    [1, 1],
  ] as const) {
    its.write(CTLR, 4, 0)
    its.write(CBASER + 4, 4, (valid === 1 ? high : high & 0x7fff_ffff) >>> 0)
    its.write(CTLR, 4, enabled)
    its.write(CWRITER, 4, 0x40)
    reads.push(its.read(CREADR, 4))
  }
  expect([high >>> 31, ...reads]).toEqual([1, 0, 0, 0x40])
})

test('an offset beyond the queue performs nothing', () => {
  const board = makeBoard()
  board.its.write(CWRITER, 4, 0x1000)
  expect([board.its.read(CREADR, 4), board.its.read(CTLR, 4), board.left.length]).toEqual([0, 0x8000_0001, 0])
})

test('tables have 64 KiB pages until the guest chooses others', () => {
  const ram = new Ram()
  const gic = new G.GicV3({ cpus: 1, memory: ram, signal: () => undefined })
  const its = new G.Its({ gic, memory: ram, later: () => undefined })
  const pageSizes = (): number[] => [0x100, 0x108].map((offset) => (its.read(offset, 4) >> 8) & 3)
  const fresh = pageSizes()
  its.write(0x100, 4, 0)
  const chosen = pageSizes()
  its.reset()
  expect([fresh, chosen, pageSizes()]).toEqual([
    [2, 2],
    [0, 2],
    [2, 2],
  ])
})

test('while the ITS is on, its tables cannot be moved', () => {
  const { its } = makeBoard()
  its.write64(0x100, 0, 0)
  its.write64(0x80, 0, 0)
  expect([its.read(0x104, 4), its.read(0x80, 4)]).toEqual([0x8107_0000, QUEUE])
  its.write(CTLR, 4, 0)
  its.write64(0x100, 0, 0)
  expect(its.read(0x104, 4)).toBe(0x0107_0000)
})

test("pending LPIs are in the guest's table while LPIs are off", () => {
  const board = makeBoard({ enabled: false })
  board.ram.bytes[PENDING - RAM + 1024 + 1] = 1
  board.gic.redistributors.write(0, 4, 1)
  expect(board.gic.irqPending(0)).toBe(true)
  board.ram.bytes[PENDING - RAM + 1024 + 1] = 0
  board.gic.redistributors.write(0, 4, 0)
  expect([board.gic.irqPending(0), board.ram.bytes[PENDING - RAM + 1024 + 1]]).toEqual([false, 1])
  // PTZ: the guest says that the table is empty.
  board.gic.redistributors.write64(0x78, PENDING, 1 << 30)
  board.gic.redistributors.write(0, 4, 1)
  expect([board.gic.irqPending(0), board.gic.redistributors.read(0x7c, 4)]).toEqual([false, 0])
})

test('GICR_PROPBASER says how many LPIs there are', () => {
  const board = makeBoard({ enabled: false })
  board.gic.redistributors.write64(0x2_0070, CONFIGURATION | 13, 0)
  board.gic.redistributors.write(0x2_0000, 4, 1)
  for (const [event, intid] of [16_383, 16_384].entries()) {
    board.put(0x08, 5, 4, 0, TRANSLATION, VALID)
    board.put(0x09, 0, 0, 0, (1 << 16) | 1, VALID)
    board.put(0x0a, 5, event, intid, 1, 0)
  }
  board.send()
  board.its.translate(5, 0)
  board.its.translate(5, 1)
  expect([acknowledge(board.gic, 1), acknowledge(board.gic, 1)]).toEqual([16_383, 1023])
})

test('a restored board has the pending LPIs, and goes on with its queue', () => {
  const first = makeBoard({ pages: 4 })
  mapOne(first)
  first.its.translate(5, 3)
  for (let i = 0; i < 100; i++) first.put(0x05)
  first.put(0x0f, 5, 3)
  first.send()
  const second = makeBoard({ pages: 4 })
  second.ram.bytes.set(first.ram.bytes)
  const saved = JSON.parse(JSON.stringify([first.gic.save(), first.its.save()]))
  second.gic.restore(saved[0])
  second.its.restore(saved[1])
  expect([second.gic.save(), second.its.save()]).toEqual([first.gic.save(), first.its.save()])
  expect(second.gic.irqPending(1)).toBe(true)
  second.left.pop()!()
  expect([second.gic.irqPending(1), second.its.read(CTLR, 4)]).toEqual([false, 0x8000_0001])
})

test('whatever is in tables and queue, nothing is thrown, and the queue comes to an end', () => {
  const address = fc.constantFrom(RAM, QUEUE, COLLECTIONS, TRANSLATION, RAM + RAM_BYTES, 0xffff_0000, 0)
  const word = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc.nat(20),
    address,
    fc.constantFrom(VALID, VALID + 1, 8200),
  )
  const command = fc.tuple(
    fc.constantFrom(1, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 99),
    fc.array(word, { minLength: 7, maxLength: 7 }),
  )
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 60 }),
      fc.array(fc.tuple(fc.nat(0x4000), word), { maxLength: 40 }),
      word,
      word,
      (commands, junk, lo, hi) => {
        const board = makeBoard()
        mapOne(board)
        for (const [at, value] of junk)
          for (const base of [0, 0x1_0000, 0x10_0000]) board.view.setUint32(base + (at & ~3), value, true)
        for (const [code, words] of commands) board.put(code, ...words)
        board.send()
        board.its.write(CTLR, 4, 0)
        board.its.write64(0x100, lo, hi)
        board.its.write(CTLR, 4, 1)
        board.its.write(CWRITER, 4, lo)
        let turns = 0
        for (; board.left.length > 0 && turns < 100; turns++) board.left.shift()!()
        for (let device = 0; device < 8; device++)
          for (let event = 0; event < 8; event++) board.its.translate(device, event)
        for (const cpu of [0, 1]) for (let i = 0; i < 20; i++) acknowledge(board.gic, cpu)
        expect(turns).toBeLessThan(20)
      },
    ),
    { numRuns: 200 },
  )
})

test('LPIs are in machine memory with the rest', () => {
  expect(G.gicV3StateBytes(4, true) - G.gicV3StateBytes(4)).toBe(57_344 + (4 * 57_344) / 8)
})
