import {
  type AccessRecord,
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  requestAddress,
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
import type { ThreadScheduleParts, VcpusElsewhere } from '../../scheduling/vcpus-elsewhere.ts'
import type { X86Vcpu } from '../vcpu.ts'
import { MAIL_HOME, MAIL_LOOK, Mailbox, MAILBOX_BYTES } from './mailbox.ts'
import * as O from './operations.ts'
import { MOST_SKEW_NS, ThreadClock } from './thread-clock.ts'
import { LoggedWrites } from './logged-writes.ts'
import type { ComingVcpu, LeavingVcpu, ThreadStart } from './vcpu-thread.ts'

/** A message from a vCPU's thread. */
export type ThreadMessage = ComingVcpu | 'ready' | { readonly failed: string }

/** A thread for a vCPU, which executes `serveVcpu`. */
export interface VcpuWorker {
  /** Sends a message to the thread. */
  postMessage(message: ThreadStart | LeavingVcpu): void
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
) => VcpusElsewhere

const BELL_BYTES = 64
const TOLD = 32

/** The threads of a domain's vCPUs. */
export class VcpuThreads implements VcpusElsewhere {
  readonly #domain: Domain
  readonly #all: readonly VcpuPlace[]
  readonly #i32: Int32Array
  readonly #bell: number
  areWanted = false
  #failure: ReturnType<VcpusElsewhere['takeFailure']> = null
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
    this.#all = vcpus.map((vcpu) => new VcpuPlace(memory, vcpu, this.#bell, this, interrupts))
  }

  get isAway(): boolean {
    return this.#all.some(({ isAway }) => isAway)
  }

  get wait(): boolean {
    return this.#all.every(({ isAway, vcpu }) => !isAway || vcpu.record.state === STATE_IOREQ_INPROCESS)
  }

  mayLeave(): boolean {
    let awake = 0
    let isReady = true
    for (const place of this.#all) {
      const { vcpu } = place
      const { cpu } = vcpu
      if (cpu.busy || this.#domain.invalidations.flagged(vcpu.id) || !vcpu.mayLeave) return false
      if (!cpu.waitsForStartup) awake++
    }
    if (awake < 2) return false
    for (const place of this.#all) if (!place.vcpu.cpu.waitsForStartup && !this.#isReady(place)) isReady = false
    return isReady
  }

  leave(): void {
    this.areWanted = false
    this.#listen()
    // This thread gets no notice of what the others write from now on.
    this.#all[0]!.vcpu.cpu.engine.codeCache.flush()
    const time = this.#time()
    for (const place of this.#all) if (!place.vcpu.cpu.waitsForStartup) place.leave(time)
  }

  #time(): Pick<LeavingVcpu, 'at' | 'ns'> {
    return { at: ThreadClock.shared, ns: this.#domain.clock.now() }
  }

  /** Whether a vCPU has a thread; starts one if need be. */
  #isReady(place: VcpuPlace): boolean {
    if (!place.isStarted) this.#start(place)
    return place.isReady
  }

  #start(place: VcpuPlace): void {
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
      if (this.isAway) wait()
      else this.#isListening = false
    }
    this.#isListening = true
    this.#seen = Atomics.load(this.#i32, this.#bell >>> 2)
    wait()
  }
  #seen = 0

  serve(): number {
    let count = 0
    this.logged.settle()
    for (const place of this.#all) {
      if (place.isAway ? place.serve(this.#domain) : this.#follows(place)) count++
    }
    return count
  }

  /** Lets a vCPU go after the others if it has been started by one of them. @returns whether it has gone */
  #follows(place: VcpuPlace): boolean {
    if (!this.isAway || this.areWanted) return false
    place.readMail()
    if (place.vcpu.cpu.waitsForStartup || !this.#isReady(place)) return false
    place.leave(this.#time())
    return true
  }

  callHome(): void {
    // A vCPU that comes first does not follow the ones that are still away.
    this.areWanted = true
    for (const place of this.#all) place.callHome()
  }

  has(vcpu: number): boolean {
    return this.#all[vcpu]?.isAway === true
  }

  forget(): void {
    if (!this.isAway) return
    for (const place of this.#all) place.close()
  }

  /** Has all vCPUs come home. */
  want(): void {
    this.areWanted = true
    this.#domain.wake()
  }

  /** A thread can take its vCPU. */
  wake(): void {
    this.#domain.wake()
  }

  /** A vCPU has come home, or its thread is no more. */
  came(vcpu: number, exit: ComingVcpu['exit']): void {
    if (!this.isAway) {
      this.#keepTime()
      // Threads that were still away have sent to vCPUs that were here already.
      for (const place of this.#all) place.readMail()
    }
    if (exit?.reason === 'home') this.areWanted = true
    else if (exit !== undefined) this.#failure ??= { vcpu, reason: exit.reason, error: exit.message }
    this.#domain.wake()
  }

  /** Moves the domain's clock on to the latest time that a thread has told. */
  #keepTime(): void {
    const { clock } = this.#domain
    const behind = (Atomics.load(this.#i32, this.#told >>> 2) - Math.floor(clock.now())) | 0
    if (behind > 0 && behind < MOST_SKEW_NS) clock.hold(-behind)
  }

  schedule(...parts: ThreadScheduleParts): ThreadSchedule {
    return new ThreadSchedule(...parts, this)
  }

  takeFailure(): ReturnType<VcpusElsewhere['takeFailure']> {
    const failure = this.#failure
    this.#failure = null
    return failure
  }

  close(): void {
    for (const place of this.#all) place.close()
  }
}

/** Where a vCPU is: at home, or in its thread. */
class VcpuPlace {
  readonly vcpu: X86Vcpu
  readonly ma: number
  readonly #mailbox: Mailbox
  readonly #threads: VcpuThreads
  #worker: VcpuWorker | null = null
  /** Its thread can take it. */
  isReady = false
  isAway = false
  #isCalledHome = false
  /** SMI# was asserted while it was away. */
  #smi = false
  readonly #words: Words = { lo: 0, hi: 0 }

  readonly #interrupts: InterruptFabric

  constructor(memory: MachineMemory, vcpu: X86Vcpu, bell: number, threads: VcpuThreads, interrupts: InterruptFabric) {
    this.#interrupts = interrupts
    this.vcpu = vcpu
    this.#threads = threads
    this.ma = memory.allocate(MAILBOX_BYTES, 64, 'mailbox of a vCPU')
    this.#mailbox = new Mailbox(memory, this.ma, bell)
  }

  /** Whether it has a thread, which may be starting. */
  get isStarted(): boolean {
    return this.#worker !== null
  }

  start(worker: VcpuWorker, how: ThreadStart): void {
    this.#worker = worker
    const end = (what: string): void => {
      if (this.#worker !== worker) return
      this.close()
      this.#threads.came(this.vcpu.id, { reason: 'error', message: `the thread of vCPU ${this.vcpu.id} ${what}` })
    }
    worker.listen(
      (message) => {
        if (message === 'ready') {
          this.isReady = true
          this.#threads.wake()
        } else if ('failed' in message) end(`cannot start: ${message.failed}`)
        else this.#comeHome(message)
      },
      (error) => end(`has ended: ${String(error)}`),
    )
    worker.postMessage(how)
  }

  leave(time: Pick<LeavingVcpu, 'at' | 'ns'>): void {
    if (this.isAway) return
    const { vcpu } = this
    this.isAway = true
    this.#isCalledHome = false
    vcpu.record.state = STATE_IOREQ_NONE
    const mailbox = this.#mailbox
    mailbox.endCall()
    mailbox.takeMail()
    const saved = saveVcpu(vcpu.cpu)
    vcpu.elsewhere = {
      look: () => mailbox.post(MAIL_LOOK),
      smi: () => {
        this.#smi = true
        mailbox.raiseSmi()
        this.#threads.want()
      },
      comeHome: () => this.#threads.want(),
      watchWrites: (frames, count) => this.#threads.logged.watch(frames, count),
    }
    vcpu.apic.elsewhere = true
    this.#worker!.postMessage({ saved, retired: vcpu.cpu.retired, ...time })
  }

  /** Another vCPU has sent it something: a start-up IPI, while it waits for one here. */
  readMail(): void {
    if (this.#mailbox.takeMail() !== 0) this.vcpu.updateEvents()
  }

  callHome(): void {
    if (!this.isAway || this.#isCalledHome) return
    this.#isCalledHome = true
    this.#mailbox.post(MAIL_HOME)
  }

  #comeHome({ saved, retired, counts, exit }: ComingVcpu): void {
    const { vcpu } = this
    const { cpu } = vcpu
    vcpu.elsewhere = null
    this.isAway = false
    restoreVcpu(cpu, saved)
    cpu.retired = retired
    add(cpu.counts, counts.cpu)
    add(vcpu.counts, counts.others)
    vcpu.apic.elsewhere = false
    if (this.#smi) cpu.smi()
    this.#smi = false
    vcpu.updateEvents()
    this.#threads.came(vcpu.id, exit)
  }

  /** Makes its access, or takes the answer, or serves a call. @returns whether there was anything to do */
  serve(domain: Domain): boolean {
    if (!this.isAway) return false
    const { vcpu } = this
    vcpu.cpu.retired = this.#mailbox.retired
    domain.callingVcpu = vcpu.id
    const isServed = this.#serveAccess(vcpu.record) || this.#serveCall(domain)
    domain.callingVcpu = -1
    return isServed
  }

  #serveAccess(record: AccessRecord): boolean {
    if (!record.waits) return false
    const isNew = record.state === STATE_IOREQ_READY
    const status = isNew ? this.#access(record) : this.vcpu.answer()
    if (status === STATUS_RETRY) {
      record.state = STATE_IOREQ_INPROCESS
      return isNew
    }
    record.status = status
    record.state = STATE_IORESP_READY
    this.#mailbox.wake()
    return true
  }

  /** Makes the access that the record describes. @returns a status, with the answer in the record */
  #access(record: AccessRecord): number {
    const { vcpu } = this
    const { type, direction, size, dataLo, dataHi, logged } = record
    if (record.count > 1 || record.dataIsPointer) return vcpu.repeat()
    record.made = 1
    const address = requestAddress(record)
    if (type === IOREQ_TYPE_PIO)
      return direction === IOREQ_READ
        ? vcpu.portRead(address, size, record, logged)
        : vcpu.portWrite(address, size, dataLo, logged)
    return direction === IOREQ_READ
      ? vcpu.physicalRead(address, size, record, logged)
      : vcpu.physicalWrite(address, size, dataLo, dataHi, logged)
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
    this.isReady = false
    this.isAway = false
    this.vcpu.elsewhere = null
    this.vcpu.apic.elsewhere = false
    worker?.terminate()
    this.#threads.neighbours.lost(this.vcpu.id)
  }
}

function add(to: object, more: Readonly<Record<string, number>>): void {
  const counts = to as Record<string, number>
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count
}
