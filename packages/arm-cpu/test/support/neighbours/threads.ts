// Processors that execute at the same time, each in a Worker with an engine of its own, over the RAM of one machine memory.
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { HOT_COUNTER_BYTES } from '@retrap/engine'
import { MachineMemory, Neighbours } from '@retrap/memory'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { ArmCpu, ArmEngine, type ArmTranslation, FlatHost } from '../../../src/index.ts'
import { CODE } from '../machine.ts'

const NEIGHBOUR = 'executes Arm processors'
const BEGINS = 'begins'
const RAM_BYTES = 0x10_0000
/** Where the second thread's program is. */
const SECOND = 0x8000
/** The page that the word at {@link TABLE} maps, as walks of tables would. */
export const LINEAR = 0x20_0000
export const TABLE = 0x1_0000
/** Words: what has been made public, the rounds of each thread, what was wrong, and whether they are to end. */
export const [VERSION, ROUNDS, OTHER_ROUNDS, WRONG, STOP] = [0x1_1000, 0x1_1040, 0x1_1080, 0x1_10c0, 0x1_1100] as const

interface Task {
  readonly memory: WebAssembly.Memory
  readonly table: number
  readonly ramMa: number
  readonly number: number
  readonly jit: boolean
  readonly turn: number
}

class MappedHost extends FlatHost {
  readonly #ramMa: number

  constructor(memory: MachineMemory, ramMa: number) {
    super(memory, 0, RAM_BYTES, ramMa)
    this.#ramMa = ramMa
  }

  override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    if (lo >>> 12 !== LINEAR >>> 12) return super.translate(lo, hi, access, into)
    const frame = Atomics.load(this.memory.i32, (this.#ramMa + TABLE) >>> 2)
    return super.translate(frame + (lo & 0xfff), 0, access, into)
  }
}

function execute({ memory: wasm, table, ramMa, number, jit, turn }: Task): string {
  const memory = MachineMemory.attach(wasm)
  const engine = new ArmEngine(memory, {
    codeCacheBytes: 1 << 20,
    ...(jit && { jit: EAGER_JIT, countersAt: memory.allocate(HOT_COUNTER_BYTES, 64, 'counters') }),
  })
  const cpu = new ArmCpu(engine, new MappedHost(memory, ramMa))
  cpu.join(new Neighbours(memory, table), number)
  cpu.registers.reset()
  cpu.registers.pc = BigInt(number === 0 ? CODE : SECOND)
  parentPort!.postMessage(BEGINS)
  for (;;) {
    const exit = cpu.run(turn)
    if (exit.reason === 'error') throw exit.error
    if (exit.reason !== 'budget') {
      cpu.close()
      return exit.reason
    }
  }
}

/** They run one program after another: their interpreters are generated once. */
const pool: Worker[] = []

export const endNeighbours = (): Promise<unknown> => Promise.all(pool.splice(0).map((worker) => worker.terminate()))

/** How two threads run. A busy host may take several times `ms` until `isEnough`, and gets 20 s at most. */
interface Together {
  readonly jit: boolean
  readonly ms: number
  readonly turn?: number
  readonly isEnough: (rounds: number, others: number) => boolean
}

/** Runs a program in each of two threads, which end when the word at STOP is set. @returns reads a word afterwards */
export async function together(
  programs: readonly (readonly number[])[],
  { jit, ms, turn = 1e6, isEnough }: Together,
): Promise<{ readonly ends: readonly string[]; readonly read: (gpa: number) => number }> {
  const memory = MachineMemory.create({ bytes: 64 << 20, shared: true })
  const { at: table } = Neighbours.allocate(memory)
  const ramMa = memory.allocate(RAM_BYTES, 0x1000, 'RAM')
  const wasm = memory.memory as WebAssembly.Memory
  memory.writeU32(ramMa + TABLE, 0x3_0000)
  let waiting = programs.length
  const read = (gpa: number): number => memory.readU32(ramMa + gpa)
  const latest = performance.now() + 20_000
  const stop = (): void => {
    const isOver = isEnough(read(ROUNDS), read(OTHER_ROUNDS)) || performance.now() > latest
    if (isOver) Atomics.store(memory.i32, (ramMa + STOP) >>> 2, 1)
    else setTimeout(stop, ms)
  }
  const ends = programs.map((words, number) => {
    const bytes = new Uint8Array(Uint32Array.from(words, (word) => word >>> 0).buffer)
    memory.write(ramMa + (number === 0 ? CODE : SECOND), bytes)
    const worker = (pool[number] ??= new Worker(new URL(import.meta.url), {
      workerData: NEIGHBOUR,
      execArgv: ['--conditions=retrap-source'],
    }))
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    worker.removeAllListeners().once('error', reject)
    worker.on('message', (message: string) => {
      if (message !== BEGINS) resolve(message)
      else if (--waiting === 0) setTimeout(stop, ms)
    })
    worker.postMessage({ memory: wasm, table, ramMa, number, jit, turn } satisfies Task)
    return promise
  })
  return { ends: await Promise.all(ends), read }
}

if (workerData === NEIGHBOUR) parentPort!.on('message', (task: Task) => parentPort!.postMessage(execute(task)))
