import { Worker } from 'node:worker_threads'
import { MachineMemory } from '@retrap/memory'
import { numbers } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { ArmP2mType, P2m } from '../src/index.ts'
import { BEGUN, DONE, STOP } from './support/races.ts'
import type { Stage2RaceReport, Stage2RaceTask } from './support/stage2-race-worker.ts'

const FRAMES = 0x400
const [FIRST, SECOND] = [0x1000, 0x2000]
const RACE_MS = 1500
/** The race goes on until each thread has done more, however busy the host is. */
const LEAST = 1000

test('a thread whose hardware walks stage-2 tables finds the old frame or the new one, or resolves its fault', async () => {
  const memory = MachineMemory.create({ bytes: 64 << 20, shared: true })
  const words = memory.frames.allocate() * 4096
  const p2m = P2m.create(memory, { stage2: {} })
  for (let gfn = 0; gfn < FRAMES; gfn += 512) p2m.insert(gfn, FIRST + gfn, 9, ArmP2mType.RAM_RW)
  const workerData: Stage2RaceTask = {
    memory: memory.memory as WebAssembly.Memory,
    p2m: p2m.ma,
    words,
    frames: FRAMES,
    first: FIRST,
    second: SECOND,
  }
  const worker = new Worker(new URL('./support/stage2-race-worker.ts', import.meta.url), {
    workerData,
    execArgv: ['--conditions=retrap-source'],
  })
  const report = new Promise<Stage2RaceReport>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  const random = numbers(0xbeef)
  const i32 = memory.i32.subarray(words / 4, words / 4 + 16)
  let changes = 0
  const isEnough = (): boolean => changes > LEAST && Atomics.load(i32, DONE) > LEAST && Atomics.load(i32, DONE + 1) > 0
  let isOver = false
  const over = (): void => void (isOver = true)
  report.then(over, over)
  for (let end = Infinity; !(performance.now() >= end && isEnough()) && !isOver;) {
    if (end === Infinity && Atomics.load(i32, BEGUN) === 1) end = performance.now() + RACE_MS
    for (let i = 0; i < 200; i++, changes++) {
      const kind = random(16)
      const gfn = random(FRAMES)
      const mfn = random(2) === 0 ? FIRST : SECOND
      const run = gfn - (gfn % 512)
      if (kind === 0) p2m.coalesce()
      else if (kind === 1) p2m.stage2?.invalidate()
      else if (kind === 2) p2m.shatter(gfn)
      else if (kind < 5) p2m.insert(run, mfn + run, 9, ArmP2mType.RAM_RW)
      else if (kind === 5) p2m.insertRange(run, mfn + run, 512, ArmP2mType.RAM_RO)
      else p2m.insertRange(gfn - (gfn % 16), mfn + gfn - (gfn % 16), 16, ArmP2mType.RAM_RW)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  Atomics.store(i32, STOP, 1)
  const { done, faults, wrong } = await report
  await worker.terminate()
  expect(wrong).toEqual([])
  expect([done > LEAST, changes > LEAST, faults > 0]).toEqual([true, true, true])
})
