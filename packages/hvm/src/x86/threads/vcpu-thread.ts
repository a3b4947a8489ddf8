import { AccessRecord } from '@retrap/ioreq'
import { attachLocalApic, type AttachedApicOptions, type LocalApic } from '@retrap/irqchip'
import { MachineMemory, Neighbours, type WasmMemory } from '@retrap/memory'
import { P2m } from '@retrap/p2m'
import {
  type CpuModel,
  type Exit,
  loadInstructions,
  restoreVcpu,
  saveVcpu,
  type SavedCpu,
  Vcpu,
  X86Engine,
} from '@retrap/x86-cpu'
import { KICK_EVENT, Mailbox } from './mailbox.ts'
import { ThreadTimer } from './thread-timer.ts'
import { ThreadClock } from './thread-clock.ts'
import { ThreadHost } from './thread-host.ts'

/** Host time between two looks at the timer, in nanoseconds. */
const TURN_NS = 200_000
const FEWEST = 2000
const MOST = 4_000_000
/** Milliseconds of host time after which a look is taken at events that come without a kick: the line of MWAIT, and a frame that is paged out. */
const POLL_MS = 1
/** Instructions of a run that generated code cannot execute. */
const MOST_CALLS = 100_000

/** First message to the thread of a vCPU. */
export interface ThreadStart {
  readonly id: number
  /** Shared machine memory. */
  readonly memory: WasmMemory
  /** Machine addresses: `P2m.ma`, the domain's bell, and the time last told. */
  readonly p2m: number
  readonly bell: number
  /** `Neighbours.at`: the threads' requests to each other. */
  readonly neighbours: number
  /** State of the interrupt controllers, mailboxes of all vCPUs. */
  readonly interrupts: number
  readonly mailboxes: readonly number[]
  /** Its access record. */
  readonly record: number
  readonly told: number
  readonly cpu: CpuModel | string
  readonly jit: boolean | { readonly threshold?: number }
  readonly codeCacheBytes: number
  readonly tscHz: number
  /** Machine address of its counters of hot code. */
  readonly countersAt: number | undefined
}

/** A vCPU that is handed from one thread to another. */
export interface HandedVcpu {
  readonly saved: SavedCpu
  readonly retired: number
}

/** A vCPU that its thread is to run. */
export interface ResumedVcpu extends HandedVcpu {
  /** The domain's time, in nanoseconds, when `ThreadClock.shared` was `at`. */
  readonly ns: number
  readonly at: number
}

/** Counts of a vCPU in its thread, by name: of the processor, and of accesses to its local APIC and walks. */
export interface ThreadCounts {
  readonly cpu: Readonly<Record<string, number>>
  readonly others: Readonly<Record<string, number>>
}

/** A vCPU that has parked: it was kicked, or for the reason of `exit`. */
export interface ParkedVcpu extends HandedVcpu {
  /** Since the thread was resumed. */
  readonly counts: ThreadCounts
  readonly exit?: { readonly reason: string; readonly message?: string }
}

/** The port of a Worker, on either side. */
export interface ThreadPort<Sent, Received> {
  postMessage(message: Sent): void
  onMessage(listener: (message: Received) => void): void
}

/** The thread's side of a vCPU: executes it from when it is resumed until it is to park. */
export class VcpuThread {
  readonly #mailbox: Mailbox
  readonly #clock: ThreadClock
  readonly #host: ThreadHost
  readonly #vcpu: Vcpu
  readonly #apic: LocalApic
  readonly #timer: ThreadTimer
  /** Instructions of a turn. */
  #turn = FEWEST

  /** The processor's instructions are loaded: see `loadInstructions`. */
  constructor(start: ThreadStart) {
    const memory = MachineMemory.attach(start.memory)
    const { id, cpu, jit, codeCacheBytes, tscHz, mailboxes } = start
    const engine = new X86Engine(memory, { cpu, jit, codeCacheBytes, countersAt: start.countersAt })
    const boxes = mailboxes.map((ma) => new Mailbox(memory, ma, start.bell))
    const mailbox = boxes[id]!
    const clock = new ThreadClock(memory.i32, start.told)
    const timer = new ThreadTimer(clock)
    const record = new AccessRecord(memory.i32, start.record >>> 2)
    const host = new ThreadHost(id, memory, P2m.attach(memory, start.p2m), mailbox, record, clock)
    const vcpu = new Vcpu(engine, host, { tscHz, crystalHz: tscHz })
    vcpu.bootstrap = id === 0
    const { processor } = engine
    const apics: AttachedApicOptions = {
      cpus: boxes.length,
      cpu: id,
      clock: { read: (into) => clock.read(into), timer: (callback) => timer.create(callback) },
      timerHz: tscHz,
      tscHz,
      tscToNs: (lo, hi, into) => {
        clock.read(into)
        vcpu.tscDeadline(lo, hi, into)
      },
      physicalBits: processor.paging.maxPhysicalBits,
      x2apic: processor.has('X2APIC'),
      state: { buffer: memory.buffer, byteOffset: start.interrupts },
      wake: (to) => {
        if (to === id) host.updateEvents()
        else boxes[to]!.kick(KICK_EVENT)
      },
      ioApic: host,
      acknowledgePic: () => host.acknowledgePic(),
    }
    const apic = attachLocalApic(apics)
    host.attach(vcpu, apic)
    const neighbour = vcpu.join(new Neighbours(memory, start.neighbours), id)
    mailbox.onWait = neighbour
    vcpu.takeMemory()
    this.#mailbox = mailbox
    this.#clock = clock
    this.#timer = timer
    this.#host = host
    this.#vcpu = vcpu
    this.#apic = apic
  }

  /** Executes a vCPU. @returns it, between two instructions */
  run({ saved, retired, ns, at }: ResumedVcpu): ParkedVcpu {
    const vcpu = this.#vcpu
    this.#clock.set(ns, at)
    restoreVcpu(vcpu, saved)
    vcpu.retired = retired
    this.#apic.isDetached = false
    this.#mailbox.resume(vcpu.stopWords)
    this.#host.updateEvents()
    const exit = this.#execute()
    this.#mailbox.park()
    this.#apic.isDetached = true
    const counts = { cpu: { ...vcpu.counts }, others: { ...this.#host.counts } }
    for (const count of [vcpu.counts, this.#host.counts])
      for (const name of Object.keys(count)) Object.assign(count, { [name]: 0 })
    return { saved: saveVcpu(vcpu), retired: vcpu.retired, counts, ...(exit && { exit }) }
  }

  #execute(): ParkedVcpu['exit'] {
    const mailbox = this.#mailbox
    const vcpu = this.#vcpu
    const host = this.#host
    const timer = this.#timer
    host.parks = null
    for (;;) {
      const { ring } = mailbox
      host.readKicks()
      const ns = timer.expire()
      const { parks } = host
      if (parks !== null && !vcpu.busy) return parks === 'kicked' ? undefined : { reason: 'pause' }
      if (vcpu.busy && host.record.waits) {
        mailbox.sleep(ring, ns / 1e6)
        continue
      }
      if (parks === null && vcpu.dormant) {
        const isPolled = vcpu.waitsForWrite
        mailbox.sleep(ring, isPolled ? Math.min(ns / 1e6, POLL_MS) : ns / 1e6)
        if (isPolled) vcpu.endWait()
        continue
      }
      const exit: Exit | undefined = parks === null ? this.#run(ns) : vcpu.settle()
      mailbox.retired = vcpu.retired
      if (exit === undefined) continue
      const { reason } = exit
      // The answer of a device is waited for above; the frame that a pager is to bring is asked for again.
      if (reason === 'blocked' && !host.record.waits) mailbox.sleep(ring, POLL_MS)
      if (reason === 'shutdown' || reason === 'debug') return { reason }
      if (reason === 'error') return { reason, message: String((exit as { error?: unknown }).error) }
    }
  }

  /** Executes for a turn, which is shorter where the timer is due soon. */
  #run(ns: number): Exit {
    const vcpu = this.#vcpu
    const budget = ns < TURN_NS ? Math.max(FEWEST, Math.floor((this.#turn * ns) / TURN_NS)) : this.#turn
    const { cost } = vcpu
    const before = performance.now()
    const exit = vcpu.run(budget, MOST_CALLS)
    const took = (performance.now() - before) * 1e6
    if (exit.reason === 'budget' && vcpu.cost - cost >= budget) {
      const wanted = (budget * TURN_NS) / Math.max(took, 1)
      // A turn that was cut short by the host says little.
      this.#turn = Math.floor(Math.min(MOST, Math.max(FEWEST, this.#turn / 2, Math.min(wanted, 2 * this.#turn))))
    }
    return exit
  }
}

/** Makes this thread that of a vCPU, which the other side of `port` starts: a `ThreadStart`, then vCPUs to run. */
export function serveVcpu(
  port: ThreadPort<ParkedVcpu | 'ready' | { readonly failed: string }, ThreadStart | ResumedVcpu>,
): void {
  let thread: VcpuThread | undefined
  port.onMessage((message) => {
    if ('memory' in message) {
      loadInstructions(message.cpu)
        .then(() => {
          thread = new VcpuThread(message)
          port.postMessage('ready')
        })
        .catch((error: unknown) => port.postMessage({ failed: String(error) }))
    } else port.postMessage(thread!.run(message))
  })
}
