// A thread of races.test.ts: reads or changes a map that others change meanwhile.
import { parentPort, workerData } from 'node:worker_threads'
import { MachineMemory } from '@retrap/memory'
import { numbers } from '@retrap/tooling/random'
import { INVALID_MFN, P2m, P2mEntry, P2mType } from '../../src/index.ts'
import { BEGUN, change, DONE, FRAMES, statesOf, STOP } from './races.ts'

/** What a thread is given. */
export interface RaceTask {
  readonly memory: WebAssembly.Memory
  readonly p2m: number
  /** MA of the words of races.ts. */
  readonly words: number
  readonly role: 'read' | 'change' | 'own'
  readonly seed: number
}

/** What a thread has done. */
export interface RaceReport {
  readonly done: number
  /** What was seen and cannot be, the first few. */
  readonly wrong: string[]
  /** `own`: machine frames by guest frame, as this thread left them. */
  readonly left: [gfn: number, mfn: number][]
}

const task = workerData as RaceTask
const memory = MachineMemory.attach(task.memory)
const p2m = P2m.attach(memory, task.p2m)
const random = numbers(task.seed)
const words = memory.i32.subarray(task.words / 4, task.words / 4 + 16)
const wrong: string[] = []
const own = new Map<number, number>()
const entry = new P2mEntry()
let done = 0

function read(): void {
  const gfn = random(FRAMES)
  const states = statesOf(gfn)
  const type = p2m.lookup(gfn, entry)
  if (!states.some((state) => state.type === type && state.mfn === entry.mfn)) {
    wrong.push(`look-up of ${gfn}: type ${type}, frame ${entry.mfn}, order ${entry.order}`)
  }
  const offset = random(4096)
  const ma = p2m.translate(gfn * 4096 + offset)
  if (!states.some(({ mfn }) => ma === (mfn === INVALID_MFN ? -1 : mfn * 4096 + offset))) {
    wrong.push(`translation of ${gfn}: ${ma}`)
  }
  const writable = p2m.translateWrite(gfn * 4096 + offset)
  const writes = states.map(({ mfn, type: each }) => (each === P2mType.RAM_RW ? mfn * 4096 + offset : -1))
  if (!writes.includes(writable)) wrong.push(`translation of ${gfn} for writing: ${writable}`)
}

/** Changes guest frames that no other thread changes, between frames that others do. */
function changeOwn(): void {
  const gfn = random(FRAMES / 2) * 2 + (task.seed & 1)
  const kind = random(8)
  if (kind === 0) p2m.coalesce(0, FRAMES)
  else if (kind === 1) p2m.shatter(gfn)
  else if (own.has(gfn)) {
    p2m.remove(gfn, own.get(gfn) as number)
    own.delete(gfn)
  } else {
    const mfn = 0x1000 + random(0x1000)
    p2m.insert(gfn, mfn, 0, P2mType.RAM_RW)
    own.set(gfn, mfn)
  }
}

const step = task.role === 'read' ? read : task.role === 'own' ? changeOwn : () => change(p2m, random)
const count = DONE + Atomics.add(words, BEGUN, 1)
try {
  while (Atomics.load(words, STOP) === 0 && wrong.length < 5) {
    step()
    Atomics.store(words, count, ++done)
  }
} catch (error) {
  wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
}
parentPort?.postMessage({ done, wrong, left: [...own] } satisfies RaceReport)
