// The reader of stage2-races.test.ts: as a vCPU whose hardware walks tables that another thread changes.
import { parentPort, workerData } from 'node:worker_threads'
import { MachineMemory } from '@retrap/memory'
import { numbers } from '@retrap/tooling/random'
import { P2m } from '../../src/index.ts'
import { BEGUN, DONE, STOP } from './races.ts'

/** What the thread is given. */
export interface Stage2RaceTask {
  readonly memory: WebAssembly.Memory
  readonly p2m: number
  readonly words: number
  /** Guest frames from 0 on that are always mapped: frame `gfn` to `first + gfn` or to `second + gfn`. */
  readonly frames: number
  readonly first: number
  readonly second: number
}

/** What it has seen. */
export interface Stage2RaceReport {
  readonly done: number
  readonly faults: number
  readonly wrong: string[]
}

const { memory: shared, p2m: ma, words: at, frames, first, second } = workerData as Stage2RaceTask
const memory = MachineMemory.attach(shared)
const p2m = P2m.attach(memory, ma)
const words = memory.i32.subarray(at / 4, at / 4 + 16)
const random = numbers(0x5eed)
const wrong: string[] = []
let done = 0
let faults = 0
Atomics.add(words, BEGUN, 1)
while (Atomics.load(words, STOP) === 0 && wrong.length < 5) {
  const gfn = random(frames)
  const found = p2m.translate(gfn * 4096 + 7)
  if (found < 0) {
    // Broken, and not made yet, or its valid bit has been taken: the handler finds it after the writer.
    faults++
    if (p2m.stage2?.resolveFault(gfn) !== true) wrong.push(`nothing at ${gfn}`)
  } else if (found !== (first + gfn) * 4096 + 7 && found !== (second + gfn) * 4096 + 7) {
    wrong.push(`${gfn} is at ${found}`)
  }
  Atomics.store(words, DONE, ++done)
  Atomics.store(words, DONE + 1, faults)
}
parentPort?.postMessage({ done, faults, wrong } satisfies Stage2RaceReport)
