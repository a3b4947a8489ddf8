import { Worker } from 'node:worker_threads'
import { MachineMemory } from '@retrap/memory'
import { P2m, P2mType } from '@retrap/p2m'
import { ACCESS_WRITE, MAP_DIRTY, PagingContext, WALK_FAULT, WALK_OK, WalkResult, walk } from '@retrap/paging'
import { describe, expect, test } from 'vitest'
import { GuestTables } from '../src/index.ts'

/** Four-level tables in guest frames 1 to 4 that map linear page 0 to frame 7, with no A or D bit set. */
function guest(memory: MachineMemory = MachineMemory.create({ bytes: 16 << 20 })): {
  p2m: P2m
  tables: GuestTables
  walkIt: () => WalkResult
  entry: (gfn: number) => number
} {
  const p2m = P2m.create(memory)
  p2m.populate(0, 16)
  for (const gfn of [4, 3, 2, 1]) memory.u32[p2m.translate(gfn * 4096) >>> 2] = ((gfn === 1 ? 7 : gfn - 1) << 12) | 7
  const tables = new GuestTables(memory, p2m)
  const context = new PagingContext({ maxPhysicalBits: 40, pages1G: true, pse36: true, amd: false })
  context.configure(0x8001_0001, 0x4000, 0, 0x20, 0x500)
  const walkIt = (): WalkResult => {
    const result = new WalkResult()
    walk(context, tables, 0x123, 0, ACCESS_WRITE, result)
    return result
  }
  const entry = (gfn: number): number => memory.u32[p2m.translate(gfn * 4096) >>> 2] as number
  return { p2m, tables, walkIt, entry }
}

describe("a guest's page tables behind the p2m", () => {
  test('are read and marked in machine memory', () => {
    const { walkIt, entry } = guest()
    expect(walkIt()).toMatchObject({ status: WALK_OK, gpa: 0x7123 })
    expect([1, 2, 3, 4].map(entry)).toEqual([0x7067, 0x1027, 0x2027, 0x3027])
  })

  test.each([
    { given: 'a hole, where a device model answers', type: P2mType.MMIO_DM },
    { given: 'nothing at all', type: P2mType.INVALID },
  ])('in $given, they are not present', ({ type }) => {
    for (const gfn of [1, 2, 3, 4]) {
      const { p2m, walkIt } = guest()
      p2m.remove(gfn, p2m.translate(gfn * 4096) >>> 12)
      if (type === P2mType.INVALID) p2m.insert(gfn, -1, 0, type)
      expect(walkIt()).toMatchObject({ status: WALK_FAULT, pfec: 2, level: gfn })
    }
  })

  test('in ROM, they translate, and A and D bits are lost', () => {
    for (const gfn of [1, 2, 3, 4]) {
      const { p2m, walkIt, entry } = guest()
      p2m.setType(gfn, 1, P2mType.RAM_RO)
      const before = entry(gfn)
      const result = walkIt()
      expect([result.status, result.gpa, result.flags & MAP_DIRTY]).toEqual([WALK_OK, 0x7123, MAP_DIRTY])
      expect(entry(gfn)).toBe(before)
    }
  })
})

/** Another vCPU's thread: clears an entry, sees that it stays clear, and puts it back, over and over. */
const CLEARER = `
import { parentPort, workerData } from 'node:worker_threads'
const { buffer, index, value, rounds } = workerData
const words = new BigUint64Array(buffer)
let marked = 0
let undone = 0
// However the two threads are scheduled, until they have met often enough.
const end = Date.now() + 40_000
for (let round = 0; (round < rounds || marked < 50) && Date.now() < end; round++) {
  for (let spin = round % 50; spin > 0; spin--) Atomics.load(words, index)
  if ((Atomics.exchange(words, index, 0n) & 0x60n) !== 0n) marked++
  for (let spin = 0; spin < 20; spin++) if (Atomics.load(words, index) !== 0n) undone++
  Atomics.store(words, index, value)
}
parentPort.postMessage({ marked, undone })
`

test('two vCPUs racing A/D update against PTE clear, on two threads', { timeout: 60_000 }, async () => {
  const memory = MachineMemory.create({ bytes: 16 << 20, shared: true })
  const { p2m, walkIt } = guest(memory)
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(CLEARER)}`), {
    workerData: { buffer: memory.buffer, index: p2m.translate(0x1000) / 8, value: 0x7007n, rounds: 200_000 },
  })
  const done = new Promise<{ marked: number; undone: number }>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  let finished = false
  void done.finally(() => (finished = true))
  const seen = { mapped: 0, faults: 0 }
  for (let i = 0; !finished; i++) {
    const { status, gpa, pfec } = walkIt()
    if (status === WALK_OK) {
      seen.mapped++
      expect(gpa).toBe(0x7123)
    } else {
      seen.faults++
      expect(pfec).toBe(2)
    }
    // The message arrives between two turns of the event loop.
    if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const { marked, undone } = await done
  expect(undone).toBe(0)
  // It was a race: both came first now and then.
  expect(Math.min(marked, seen.mapped, seen.faults)).toBeGreaterThan(10)
})
