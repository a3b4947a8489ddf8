import {
  type AccessRecord,
  createIoRequest,
  type IoRequest,
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
} from '@retrap/ioreq'
import type { InterruptFabric } from '@retrap/irqchip'
import { type MachineMemory, Neighbours } from '@retrap/memory'
import { STATUS_DONE, STATUS_FAULT, STATUS_RETRY } from '@retrap/replay'
import { allocateCounters, type CpuModel, restoreVcpu, saveVcpu, type Words } from '@retrap/x86-cpu'
import type { Domain } from '../../domain.ts'
import { ThreadSchedule } from '../../scheduling/thread-schedule.ts'
import type { ThreadedVcpus, ThreadScheduleParts } from '../../scheduling/threaded-vcpus.ts'
import { isInThread, nextState, type VcpuThreadState } from '../../scheduling/vcpu-thread-state.ts'
import type { X86Vcpu } from '../vcpu.ts'
import { KICK_EVENT, KICK_PARK, Mailbox, MAILBOX_BYTES } from './mailbox.ts'
import * as O from './operations.ts'
import { MOST_SKEW_NS, ThreadClock } from './thread-clock.ts'
import { LoggedWrites } from './logged-writes.ts'
import type { ParkedVcpu, ResumedVcpu, ThreadStart } from './vcpu-thread.ts'

/** A message from a vCPU's thread. */
export type ThreadMessage = ParkedVcpu | 'ready' | { readonly failed: string }

/** A thread for a vCPU, which executes `serveVcpu`. */
export interface VcpuWorker {
  /** Sends a message to the thread. */
  postMessage(message: ThreadStart | ResumedVcpu): void
  /** Takes what the thread says, and that it has ended. */
  listen(onMessage: (message: ThreadMessage) => void, onEnd: (error: unknown) => void): void
  /** Ends the thread. */
  terminate(): void
}

/** Starts a thread for a vCPU, such as a Worker whose program calls `serveVcpu`. */
export type StartVcpu = (vcpu: number) => VcpuWorker

/**
 * Makes several vCPUs of a PC execute at the same time, each in a thread of its own: for `smp` of `createPc`.
 *
 * @param start - starts a thread
 */
export function vcpuThreads(start: StartVcpu): MakeVcpuThreads {
  return (domain, vcpus, interrupts, options) => new VcpuThreads(domain, vcpus, interrupts, { ...options, start })
}

/** How vCPUs get threads. */
interface ThreadOptions extends VcpuThreadOptions {
  readonly start: StartVcpu
}

/** The parts of a domain that its threads have, too. */
export interface VcpuThreadOptions {
  readonly cpu: CpuModel | string
  readonly jit: boolean | { readonly threshold?: number }
  readonly codeCacheBytes: number
  readonly tscHz: number
  /** Machine address of the state of the interrupt controllers. */
  readonly interrupts: number
}

/** Makes the threads of a domain's vCPUs. */
export type MakeVcpuThreads = (
  domain: Domain,
  vcpus: readonly X86Vcpu[],
  interrupts: InterruptFabric,
  options: VcpuThreadOptions,
) => ThreadedVcpus

const BELL_BYTES = 64
const TOLD = 32

/** The threads of a domain's vCPUs. */
export class VcpuThreads implements ThreadedVcpus {
  readonly #domain: Domain
  readonly #all: readonly ThreadedVcpu[]
  readonly #i32: Int32Array
  readonly #bell: number
  isPauseRequested = false
  failure: ThreadedVcpus['failure'] = null
  #isListening = false
  readonly #options: ThreadOptions
  readonly #told: number
  readonly #counters: readonly (number | undefined)[]
  /** The threads' requests to each other. */
  readonly neighbours: Neighbours
  /** The logs of RAM that the threads write. */
  readonly logged: LoggedWrites

  constructor(domain: Domain, vcpus: readonly X86Vcpu[], interrupts: InterruptFabric, options: ThreadOptions) {
    const { memory } = domain
    this.#domain = domain
    this.#options = options
    this.#i32 = memory.i32
    this.#bell = memory.allocate(BELL_BYTES, 64, 'bell of vCPUs in threads')
    this.#told = this.#bell + TOLD
    const neighbours = Neighbours.allocate(memory)
    this.neighbours = neighbours
    this.logged = new LoggedWrites(domain.p2m, neighbours, () => domain.wake())
    // The domain's engine does not execute while a thread does.
    const { countersAt } = vcpus[0]!.cpu.engine
    this.#counters = vcpus.map(({ id }) =>
      id === 0 || countersAt === undefined ? countersAt : allocateCounters(memory),
    )
    this.#all = vcpus.map((vcpu) => new ThreadedVcpu(memory, vcpu, this.#bell, this, interrupts))
  }

  get areRunning(): boolean {
    return this.#all.some(({ isRunning }) => isRunning)
  }

  get areWaiting(): boolean {
    return this.#all.every(({ isRunning, vcpu }) => !isRunning || vcpu.record.state === STATE_IOREQ_INPROCESS)
  }

  mayResume(): boolean {
    let awake = 0
    let isReady = true
    for (const place of this.#all) {
      const { vcpu } = place
      const { cpu } = vcpu
      if (cpu.busy || this.#domain.invalidations.flagged(vcpu.id) || !vcpu.mayHaveThread) return false
      if (!cpu.waitsForStartup) awake++
    }
    if (awake < 2) return false
    for (const place of this.#all) if (!place.vcpu.cpu.waitsForStartup && !this.#isReady(place)) isReady = false
    return isReady
  }

  resume(): void {
    this.isPauseRequested = false
    this.#listen()
    // This thread gets no notice of what the others write from now on.
    this.#all[0]!.vcpu.cpu.engine.codeCache.flush()
    const time = this.#time()
    for (const place of this.#all) if (!place.vcpu.cpu.waitsForStartup) place.resume(time)
  }

  #time(): Pick<ResumedVcpu, 'at' | 'ns'> {
    return { at: ThreadClock.shared, ns: this.#domain.clock.now() }
  }

  /** Whether a vCPU has a thread; starts one if need be. */
  #isReady(place: ThreadedVcpu): boolean {
    if (place.state === 'none') this.#start(place)
    return place.state === 'parked'
  }

  #start(place: ThreadedVcpu): void {
    const { cpu, jit, codeCacheBytes, tscHz, interrupts, start } = this.#options
    const { memory, p2m } = this.#domain
    place.start(start(place.vcpu.id), {
      record: place.vcpu.record.ma,
      ...{ id: place.vcpu.id, memory: memory.memory, p2m: p2m.ma, bell: this.#bell, told: this.#told },
      ...{ neighbours: this.neighbours.at, countersAt: this.#counters[place.vcpu.id] },
      ...{ interrupts, mailboxes: this.#all.map(({ ma }) => ma), cpu, jit, codeCacheBytes, tscHz },
    })
  }

  /** Rings of the bell wake the domain. */
  #listen(): void {
    if (this.#isListening) return
    const wait = (): void => {
      const { async, value } = Atomics.waitAsync(this.#i32, this.#bell >>> 2, this.#seen)
      if (async) void value.then(rung)
      else rung()
    }
    const rung = (): void => {
      this.#seen = Atomics.load(this.#i32, this.#bell >>> 2)
      this.#domain.wake()
      if (this.areRunning) wait()
      else this.#isListening = false
    }
    this.#isListening = true
    this.#seen = Atomics.load(this.#i32, this.#bell >>> 2)
    wait()
  }
  #seen = 0

  serve(): number {
    let count = 0
    if (this.logged.dropped.length > 0) this.logged.settle()
    for (const place of this.#all) {
      if (place.isRunning ? place.serve(this.#domain) : this.#follows(place)) count++
    }
    return count
  }

  answered(vcpu: number): boolean {
    return this.#all[vcpu]!.answered()
  }

  /** Resumes the thread of a vCPU that another vCPU in a thread has started. @returns whether it runs */
  #follows(place: ThreadedVcpu): boolean {
    if (!this.areRunning || this.isPauseRequested) return false
    place.readKicks()
    if (place.vcpu.cpu.waitsForStartup || !this.#isReady(place)) return false
    place.resume(this.#time())
    return true
  }

  kick(): void {
    // A vCPU that parks first does not follow the vCPUs that still run.
    this.isPauseRequested = true
    for (const place of this.#all) place.kick()
  }

  isRunning(vcpu: number): boolean {
    return this.#all[vcpu]?.isRunning === true
  }

  forget(): void {
    if (!this.areRunning) return
    for (const place of this.#all) place.close()
  }

  /** Has all vCPUs park. */
  requestPause(): void {
    this.isPauseRequested = true
    this.#domain.wake()
  }

  /** A thread can take its vCPU. */
  wake(): void {
    this.#domain.wake()
  }

  /** A vCPU has parked, or its thread has ended. */
  parked(vcpu: number, exit: ParkedVcpu['exit']): void {
    if (!this.areRunning) {
      this.#keepTime()
      // Threads that still ran have kicked vCPUs that had parked.
      for (const place of this.#all) place.readKicks()
    }
    if (exit?.reason === 'pause') this.isPauseRequested = true
    else if (exit !== undefined) this.failure ??= { vcpu, reason: exit.reason, error: exit.message }
    this.#domain.wake()
  }

  /** Moves the domain's clock on to the latest time that a thread has told. */
  #keepTime(): void {
    const { clock } = this.#domain
    const behind = (Atomics.load(this.#i32, this.#told >>> 2) - Math.floor(clock.now())) | 0
    if (behind > 0 && behind < MOST_SKEW_NS) clock.hold(-behind)
  }

  schedule(...parts: ThreadScheduleParts): ThreadSchedule {
    return new ThreadSchedule(this, ...parts)
  }

  close(): void {
    for (const place of this.#all) place.close()
  }
}

/** A vCPU that may have a thread: the domain's side. */
class ThreadedVcpu {
  readonly vcpu: X86Vcpu
  readonly ma: number
  readonly #mailbox: Mailbox
  readonly #threads: VcpuThreads
  #worker: VcpuWorker | null = null
  #state: VcpuThreadState = 'none'
  /** Whether the vCPU is in its thread. */
  isRunning = false
  /** SMI# was asserted while the vCPU ran. */
  #smi = false
  readonly #words: Words = { lo: 0, hi: 0 }
  readonly #request: IoRequest = createIoRequest()

  readonly #interrupts: InterruptFabric

  constructor(memory: MachineMemory, vcpu: X86Vcpu, bell: number, threads: VcpuThreads, interrupts: InterruptFabric) {
    this.#interrupts = interrupts
    this.vcpu = vcpu
    this.#threads = threads
    this.ma = memory.allocate(MAILBOX_BYTES, 64, 'mailbox of a vCPU')
    this.#mailbox = new Mailbox(memory, this.ma, bell)
  }

  /** Where the vCPU executes. */
  get state(): VcpuThreadState {
    return this.#state
  }

  #to(state: VcpuThreadState): void {
    this.#state = nextState(this.#state, state)
    this.isRunning = isInThread(state)
  }

  start(worker: VcpuWorker, how: ThreadStart): void {
    this.#worker = worker
    this.#to('starting')
    const end = (what: string): void => {
      if (this.#worker !== worker) return
      this.close()
      this.#threads.parked(this.vcpu.id, { reason: 'error', message: `the thread of vCPU ${this.vcpu.id} ${what}` })
    }
    worker.listen(
      (message) => {
        // A message of a thread that has been ended may still be on its way.
        if (this.#worker !== worker) return
        if (message === 'ready') {
          this.#to('parked')
          this.#threads.wake()
        } else if ('failed' in message) end(`cannot start: ${message.failed}`)
        else this.#park(message)
      },
      (error) => end(`has ended: ${String(error)}`),
    )
    worker.postMessage(how)
  }

  resume(time: Pick<ResumedVcpu, 'at' | 'ns'>): void {
    if (this.isRunning) return
    const { vcpu } = this
    this.#to('running')
    vcpu.record.state = STATE_IOREQ_NONE
    const mailbox = this.#mailbox
    mailbox.endCall()
    mailbox.takeKicks()
    const saved = saveVcpu(vcpu.cpu)
    vcpu.thread = {
      kick: () => mailbox.kick(KICK_EVENT),
      smi: () => {
        this.#smi = true
        mailbox.raiseSmi()
        this.#threads.requestPause()
      },
      park: () => this.#threads.requestPause(),
      watchWrites: (frames, count) => this.#threads.logged.watch(frames, count),
    }
    vcpu.apic.isDetached = true
    this.#worker!.postMessage({ saved, retired: vcpu.cpu.retired, ...time })
  }

  /** Takes the kicks by other vCPUs, such as a start-up IPI, while this one takes turns. */
  readKicks(): void {
    if (this.#mailbox.takeKicks() !== 0) this.vcpu.updateEvents()
  }

  /** Has the vCPU park. */
  kick(): void {
    if (this.#state !== 'running') return
    this.#to('kicked')
    this.#mailbox.kick(KICK_PARK)
  }

  #park({ saved, retired, counts, exit }: ParkedVcpu): void {
    const { vcpu } = this
    const { cpu } = vcpu
    vcpu.thread = null
    this.#to('parked')
    restoreVcpu(cpu, saved)
    cpu.retired = retired
    add(cpu.counts, counts.cpu)
    add(vcpu.counts, counts.others)
    vcpu.apic.isDetached = false
    if (this.#smi) cpu.smi()
    this.#smi = false
    vcpu.updateEvents()
    this.#threads.parked(vcpu.id, exit)
  }

  /** Makes the access of the vCPU in its thread, or serves a call. @returns whether there was anything to do */
  serve(domain: Domain): boolean {
    const { vcpu } = this
    vcpu.cpu.retired = this.#mailbox.retired
    domain.callingVcpu = vcpu.id
    const isServed = this.#serveAccess(vcpu.record) || this.#serveCall(domain)
    domain.callingVcpu = -1
    return isServed
  }

  #serveAccess(record: AccessRecord): boolean {
    if (record.state !== STATE_IOREQ_READY) return false
    const status = this.#access(record)
    if (status === STATUS_RETRY) record.state = STATE_IOREQ_INPROCESS
    else this.#complete(status)
    return true
  }

  /** Makes the access that the record describes. @returns a status, with the answer in the record */
  #access(record: AccessRecord): number {
    const { vcpu } = this
    const request = this.#request
    record.readInto(request)
    const { type, direction, size, dataLo, dataHi, count, dataIsPointer } = request
    if (count > 1 || dataIsPointer) return vcpu.repeat()
    const { address, logged } = record
    if (type === IOREQ_TYPE_PIO)
      return direction === IOREQ_READ
        ? vcpu.portRead(address, size, record, logged)
        : vcpu.portWrite(address, size, dataLo, logged)
    return direction === IOREQ_READ
      ? vcpu.physicalRead(address, size, record, logged)
      : vcpu.physicalWrite(address, size, dataLo, dataHi, logged)
  }

  /** A device has answered: the thread goes on. @returns false if it does not wait for an answer */
  answered(): boolean {
    const { vcpu } = this
    if (vcpu.record.state !== STATE_IOREQ_INPROCESS) return false
    this.#complete(vcpu.answer())
    return true
  }

  /** The access of the vCPU in its thread is over. */
  #complete(status: number): void {
    const { record } = this.vcpu
    record.status = status
    record.state = STATE_IORESP_READY
    this.#mailbox.wake()
  }

  #serveCall(domain: Domain): boolean {
    const mailbox = this.#mailbox
    const { operation } = mailbox
    if (operation < 0) return false
    mailbox.answer(this.#perform(operation, domain))
    return true
  }

  #perform(operation: number, domain: Domain): number {
    const mailbox = this.#mailbox
    const { vcpu } = this
    const { results } = mailbox
    const a = (index: number): number => mailbox.argument(index)
    switch (operation) {
      case O.CANCEL:
        vcpu.cancelRequest()
        vcpu.record.state = STATE_IOREQ_NONE
        return STATUS_DONE
      case O.ROM_WRITE:
        vcpu.romWrite(mailbox.address, a(2), a(3), a(4))
        return STATUS_DONE
      case O.RAM_ADDRESS:
        return this.#written(vcpu.ramAddress(mailbox.address))
      case O.SECOND_LEVEL_FAULT:
        return domain.secondLevel.fault(vcpu.id, mailbox.address, a(2))
      case O.RESOLVED_WRITE:
        return this.#written(domain.secondLevel.resolvedWrite(mailbox.address))
      case O.TABLE_WRITE:
        return this.#written(domain.secondLevel.tableWrite(mailbox.address, vcpu.id))
      case O.READ_MSR: {
        const status = vcpu.readMsr(a(0), this.#words)
        results[0] = this.#words.lo
        results[1] = this.#words.hi
        return status
      }
      case O.WRITE_MSR:
        return vcpu.writeMsr(a(0), a(2), a(3))
      case O.CPUID:
        for (let i = 0; i < 4; i++) results[i] = a(3 + i)
        vcpu.cpuid(a(0), a(2), results)
        return STATUS_DONE
      case O.ACKNOWLEDGE_PIC:
        results[0] = this.#interrupts.i8259.acknowledge()
        return STATUS_DONE
      case O.END_OF_INTERRUPT:
        this.#interrupts.ioApic.eoi(a(0))
        return STATUS_DONE
      case O.RETRY_INTERRUPTS:
        this.#interrupts.ioApic.retry()
        return STATUS_DONE
      case O.NUMERIC_ERROR:
        vcpu.numericError()
        return STATUS_DONE
      default:
        return vcpu.hypercall()
    }
  }

  /** An address in the answer, of RAM that the thread is going to write. */
  #written(ma: number): number {
    this.#threads.logged.note(this.#mailbox.address, ma)
    return this.#address(ma)
  }

  /** An address in the answer: a negative one takes another place. */
  #address(ma: number): number {
    const { results } = this.#mailbox
    results[0] = ma
    results[1] = -ma
    return ma < 0 ? STATUS_FAULT : STATUS_DONE
  }

  /** Ends the thread. */
  close(): void {
    const worker = this.#worker
    this.#worker = null
    this.#to('none')
    this.vcpu.thread = null
    this.vcpu.record.state = STATE_IOREQ_NONE
    this.vcpu.apic.isDetached = false
    worker?.terminate()
    this.#threads.neighbours.lost(this.vcpu.id)
  }
}

function add(to: object, more: Readonly<Record<string, number>>): void {
  const counts = to as Record<string, number>
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count
}
