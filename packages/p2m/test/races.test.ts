import { Worker } from 'node:worker_threads'
import { MachineMemory } from '@retrap/memory'
import { numbers } from '@retrap/tooling/random'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { P2m, P2mEntry, P2mType } from '../src/index.ts'
import type { RaceReport, RaceTask } from './support/race-worker.ts'
import { BEGUN, change, DONE, fill, FRAMES, statesOf, STOP } from './support/races.ts'

const RACE_MS = 1500
/** A race goes on until each thread has done so much, however busy the host is. */
const LEAST = 1001

let memory: MachineMemory
let p2m: P2m
let words: number
let workers: Worker[]

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 64 << 20, shared: true })
  words = memory.frames.allocate() * 4096
  p2m = P2m.create(memory)
  workers = []
})

afterEach(() => Promise.all(workers.map((worker) => worker.terminate())))

function start(role: RaceTask['role'], seed: number): Promise<RaceReport> {
  const workerData: RaceTask = { memory: memory.memory as WebAssembly.Memory, p2m: p2m.ma, words, role, seed }
  const worker = new Worker(new URL('./support/race-worker.ts', import.meta.url), {
    workerData,
    execArgv: ['--conditions=retrap-source'],
  })
  workers.push(worker)
  const { promise, resolve, reject } = Promise.withResolvers<RaceReport>()
  worker.once('message', resolve)
  worker.once('error', reject)
  return promise
}

/** Lets the threads race, and does something meanwhile, in turns short enough to see a thread end that has gone wrong. */
async function race(threads: readonly Promise<RaceReport>[], meanwhile: () => void): Promise<RaceReport[]> {
  const all = Promise.all(threads)
  const state = { ended: false }
  const end = (): void => void (state.ended = true)
  for (const thread of threads) thread.then(end, end)
  const word = (index: number): number => Atomics.load(memory.i32, words / 4 + index)
  let turns = 0
  const isEnough = (): boolean => turns >= LEAST && threads.every((_, i) => word(DONE + i) >= LEAST)
  for (let until = Infinity; !(performance.now() >= until && isEnough()) && !state.ended;) {
    if (until === Infinity && word(BEGUN) === threads.length) until = performance.now() + RACE_MS
    for (let i = 0; i < 200; i++) meanwhile()
    turns += 200
    await new Promise((resolve) => setImmediate(resolve))
  }
  Atomics.store(memory.i32, words / 4 + STOP, 1)
  return all
}

test('readers in a Worker see each frame as it was or as it is, whatever a writer does: no torn entry, no table that is gone', async () => {
  fill(p2m)
  const random = numbers(0x5eed)
  let changes = 0
  const [report] = await race([start('read', 7)], () => {
    change(p2m, random)
    changes++
  })
  expect(report?.wrong).toEqual([])
  expect(report?.done).toBeGreaterThan(1000)
  expect(changes).toBeGreaterThan(1000)
})

test('writers in two Workers exclude each other, and a reader sees only what they wrote', async () => {
  fill(p2m)
  const entry = new P2mEntry()
  const random = numbers(0xcafe)
  const reports = await race([start('change', 11), start('change', 13)], () => {
    const gfn = random(FRAMES)
    const type = p2m.lookup(gfn, entry)
    expect(statesOf(gfn)).toContainEqual({ mfn: entry.mfn, type })
  })
  expect(reports.flatMap(({ wrong }) => wrong)).toEqual([])
  for (const { done } of reports) expect(done).toBeGreaterThan(1000)
})

test('what two writers changed between each other is all there, and no table is lost', async () => {
  const free = memory.frames.freeFrames
  p2m.insert(0, 0x1000, 0, P2mType.RAM_RW)
  p2m.remove(0, 0x1000)
  const entry = new P2mEntry()
  const reports = await race([start('own', 20), start('own', 21)], () => p2m.lookup(0, entry))
  expect(reports.flatMap(({ wrong }) => wrong)).toEqual([])
  for (const { done } of reports) expect(done).toBeGreaterThan(1000)
  const left = new Map(reports.flatMap((report) => report.left))
  const found = [...p2m.leaves()].flatMap(({ gfn, mfn, order }) =>
    Array.from({ length: 2 ** order }, (_, i) => [gfn + i, mfn + i] as const),
  )
  expect(found).toEqual([...left].toSorted(([a], [b]) => a - b))
  for (const [gfn, mfn] of left) p2m.remove(gfn, mfn)
  p2m.coalesce()
  expect(memory.frames.freeFrames + p2m.tableBytes / 4096).toBe(free + 1)
})

test('a map that threads share translates as one that they do not, in leaves of both sizes', () => {
  const alone = P2m.create(MachineMemory.create({ bytes: 64 << 20 }))
  for (const map of [alone, p2m]) {
    // 2 MiB in one leaf, and one page.
    map.insertRange(0x200, 0x600, 0x200, P2mType.RAM_RW)
    map.insertRange(0x7, 0x1801, 1, P2mType.RAM_RW)
  }
  for (const gpa of [0x1f_ffff, 0x20_0000, 0x2a_bcde, 0x3f_ffff, 0x40_0000, 0x6fff, 0x7000, 0x7abc, 0x7fff, 0x8000])
    expect([gpa, p2m.translate(gpa)]).toEqual([gpa, alone.translate(gpa)])
  expect([0x2a_bcde, 0x7abc, 0x8000].map((gpa) => p2m.translate(gpa))).toEqual([0x6a_bcde, 0x180_1abc, -1])
})
