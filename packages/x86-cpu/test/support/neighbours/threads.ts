// vCPUs that execute at the same time, each in a Worker with an engine of its own, over the RAM of one machine memory.
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { MachineMemory, Neighbours } from '@retrap/memory'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { Assembler } from '@retrap/x86-assembler'
import { FlatHost, Vcpu, X86Engine } from '@retrap/x86-cpu'
import { GDT, RAM_BYTES, initialState } from '../bare-cpu.ts'

const NEIGHBOUR = 'executes vCPUs'
/** They run one vCPU after another: their interpreters are generated once. */
const pool: Worker[] = []

export const endNeighbours = (): Promise<unknown> => Promise.all(pool.splice(0).map((worker) => worker.terminate()))

/** How vCPUs are made. */
export interface NeighbourOptions {
  readonly jit?: boolean
  /** How many threads look. Default 1. */
  readonly readers?: number
  /** Of Node for the threads; default as for this one. */
  readonly execArgv?: readonly string[]
  /** Instructions after which it stops, and goes on. */
  readonly turn?: number
  /** Instructions after which all decoded code is dropped; 0: never. */
  readonly forgets?: number
}

interface Task extends NeighbourOptions {
  readonly memory: WebAssembly.Memory
  readonly table: number
  readonly ramMa: number
  readonly map: number
  readonly number: number
  readonly rip: number
  readonly bits: 32 | 64
}

/** Guest-physical page that is another one: that which the host's map, a word, says. */
export const MAPPED = 0x21_0000
/** Where page tables are, if there are any. */
export const PAGES = 0x30_0000

/** Makes a vCPU that is about to execute flat code. */
export function makeNeighbour({ memory: wasm, table, ramMa, map, number, rip, bits, jit = false }: Task): Vcpu {
  const memory = MachineMemory.attach(wasm)
  const engine = new X86Engine(memory, { jit: jit && EAGER_JIT, codeCacheBytes: 1 << 20 })
  let pauses = 0
  const host = new (class extends FlatHost {
    override ramAddress(gpa: number): number {
      const isMapped = gpa >>> 12 === MAPPED >>> 12
      return super.ramAddress(isMapped ? Atomics.load(this.memory.i32, map >>> 2) + (gpa & 0xfff) : gpa)
    }
    override pause(): void {
      if (++pauses % 50 === 0) cpu.notePause()
    }
  })(memory, RAM_BYTES, ramMa)
  const cpu = new Vcpu(engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(cpu)
  cpu.join(new Neighbours(memory, table), number)
  cpu.reset(false)
  const isPaged = memory.u32[(ramMa + PAGES) >>> 2] !== 0
  if (bits === 64) cpu.load(initialState('long'))
  else cpu.load({ ...initialState('protected'), ...(isPaged && { cr0: 0x8000_0011, cr3: PAGES, cr4: 0x610 }) })
  cpu.registers.rip = BigInt(rip)
  return cpu
}

/** Executes until it halts. */
function execute(task: Task): string {
  const { map, forgets = 0, turn = 1e6 } = task
  const cpu = makeNeighbour(task)
  const { memory, engine } = cpu
  for (;;) {
    const exit = cpu.run(forgets || turn)
    // Another thread may have the processor.
    if (exit.reason === 'pause') Atomics.wait(memory.i32, map >>> 2, memory.i32[map >>> 2]!, 0.05)
    else if (exit.reason === 'error') throw exit.error
    else if (exit.reason !== 'budget') break
    if (forgets !== 0) engine.codeCache.flush()
  }
  cpu.close()
  return 'ended'
}

/** A machine memory with RAM, and the threads that execute it. */
export class NeighbourMachine {
  readonly memory: MachineMemory = MachineMemory.create({ bytes: 64 << 20, shared: true })
  readonly neighbours: Neighbours = Neighbours.allocate(this.memory)
  readonly ramMa: number = this.memory.allocate(RAM_BYTES, 0x1000, 'RAM')
  /** Of code. */
  bits: 32 | 64 = 32
  /** Machine address of the host's map. */
  readonly map: number = this.memory.allocate(64, 64, 'map')

  constructor() {
    // Null, and the code of an interrupt's return.
    this.memory.writeBigU64(this.ramMa + GDT + 8, 0x00cf_9b00_0000_ffffn)
  }

  /** Puts code somewhere. @returns where its label `patched` is */
  program(address: number, build: (asm: Assembler) => void): number {
    const asm = new Assembler({ bits: this.bits, address })
    build(asm)
    const { bytes, symbols } = asm.assemble()
    this.memory.write(this.ramMa + address, bytes)
    return Number(symbols.get('patched') ?? 0)
  }

  read(gpa: number): number {
    return Atomics.load(this.memory.i32, (this.ramMa + gpa) >>> 2)
  }

  write(gpa: number, value: number): void {
    Atomics.store(this.memory.i32, (this.ramMa + gpa) >>> 2, value)
  }

  task(number: number, rip: number, options: NeighbourOptions): Task {
    const { ramMa, map, bits } = this
    const memory = this.memory.memory as WebAssembly.Memory
    return { memory, table: this.neighbours.at, ramMa, map, number, rip, bits, ...options }
  }

  /** Starts a thread for each entry point. */
  start(entries: readonly number[], options: NeighbourOptions): Promise<string[]> {
    const ends = entries.map((rip, number) => {
      const worker = (pool[number] ??= new Worker(new URL(import.meta.url), {
        workerData: NEIGHBOUR,
        execArgv: [...(options.execArgv ?? process.execArgv)],
      }))
      worker.postMessage(this.task(number, rip, options))
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      worker.removeAllListeners().once('message', resolve).once('error', reject)
      return promise
    })
    return Promise.all(ends)
  }
}

if (workerData === NEIGHBOUR) parentPort!.on('message', (task: Task) => parentPort!.postMessage(execute(task)))
