import {
  type AccessRecord,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  STATE_IOREQ_READY,
} from '@retrap/ioreq'
import type { MachineMemory } from '@retrap/memory'
import {
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_SMI,
  type IoApicPort,
  type LocalApic,
  MSR_APIC_BASE,
} from '@retrap/irqchip'
import type { P2m } from '@retrap/p2m'
import { type AccessLog, STATUS_DONE, STATUS_RETRY, STATUS_UNHANDLED } from '@retrap/replay'
import type { CpuHost, RegisterPage, Translation, Vcpu, Words } from '@retrap/x86-cpu'
import { GuestTranslation } from '../guest-translation.ts'
import { describeApicPage, readApicMsr, readApicPage, writeApicMsr, writeApicPage } from '../local-apic.ts'
import { KICK_PARK, type Mailbox } from './mailbox.ts'
import * as O from './operations.ts'
import type { ThreadClock } from './thread-clock.ts'

/** Milliseconds of host time for which an instruction waits for an answer in its place; afterwards its vCPU is blocked. */
const INLINE_MS = 1

/** PAUSE instructions after which a spinning guest sleeps, and for how long. */
const SPINS = 512
const SPIN_SLEEP_MS = 0.05

/**
 * The world around a vCPU that executes in a thread of its own: RAM, walks and time are here, and what else there is it asks its
 * domain's thread for.
 */
export class ThreadHost implements CpuHost, IoApicPort {
  readonly #mailbox: Mailbox
  readonly #clock: ThreadClock
  readonly #p2m: P2m
  readonly #random = new Uint32Array(2)
  #vcpu!: Vcpu
  #translation!: GuestTranslation
  readonly #memory: MachineMemory
  readonly #id: number
  #apic!: LocalApic
  /** Counts for statistics. */
  readonly counts: Record<'apicAccesses' | 'taskPriorityAccesses' | 'walks' | 'tableReads', number> = {
    apicAccesses: 0,
    taskPriorityAccesses: 0,
    walks: 0,
    tableReads: 0,
  }
  readonly record: AccessRecord
  readonly #isAnswered = (): boolean => !this.record.waits
  #pauses = 0
  /** Why the thread is to park: it was kicked, or an SMI is due, which is for the domain's thread; null: it goes on. */
  parks: 'kicked' | 'smi' | null = null

  constructor(id: number, memory: MachineMemory, p2m: P2m, mailbox: Mailbox, record: AccessRecord, clock: ThreadClock) {
    this.#id = id
    this.#memory = memory
    this.#mailbox = mailbox
    this.record = record
    this.#clock = clock
    this.#p2m = p2m
  }

  /** Connects the processor, and its view of its local APIC. */
  attach(vcpu: Vcpu, apic: LocalApic): void {
    this.#vcpu = vcpu
    this.#apic = apic
    const { paging } = vcpu.processor
    const p2m = this.#p2m
    const domain = {
      memory: this.#memory,
      p2m: {
        translate: (gpa: number) => p2m.translate(gpa),
        translateExecute: (gpa: number) => p2m.translateExecute(gpa),
        translateWrite: (gpa: number) => p2m.translateWrite(gpa),
        // The first write to logged RAM is a fault of the second level: the log is the domain's thread's.
        translateLogged: () => -1,
      },
      secondLevel: {
        peek: (gpa: number) => p2m.translate(gpa),
        fault: (_vcpu: number, gpa: number, wanted: number) => this.#mailbox.call(O.SECOND_LEVEL_FAULT, gpa, wanted),
        resolvedWrite: (gpa: number) => this.#address(O.RESOLVED_WRITE, gpa),
        tableWrite: (gpa: number) => {
          const ma = p2m.translateWrite(gpa)
          return ma >= 0 ? ma : this.#address(O.TABLE_WRITE, gpa)
        },
      },
      invalidations: { flagged: () => false },
      guestMemory: { load: () => false },
      wake: () => undefined,
    }
    this.#translation = new GuestTranslation(this.#id, domain, paging, apic, vcpu.log, this.counts)
  }

  /** Makes an access of one element. @returns its status, with the answer in the record */
  #access(type: number, direction: number, at: number, size: number, lo: number, hi: number, logged: boolean): number {
    this.record.describe(type, direction, at, size, lo, hi)
    return this.#send(logged)
  }

  /** Hands the record to the domain's thread. The instruction waits a moment for the answer. */
  #send(logged: boolean): number {
    const { record } = this
    record.logged = logged
    record.state = STATE_IOREQ_READY
    return this.#mailbox.wait(this.#isAnswered, INLINE_MS) ? record.status : STATUS_RETRY
  }

  #address(operation: number, gpa: number): number {
    const status = this.#mailbox.call(operation, gpa)
    return status === STATUS_DONE ? this.#mailbox.results[0]! : -this.#mailbox.results[1]!
  }

  // ---------------------------------------------------------------- memory

  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    return this.#translation.translate(lo, hi, access, into, log)
  }

  translatePhysical(gpa: number, access: number, into: Translation, log: AccessLog | null): number {
    return this.#translation.locate(gpa, access, into, log)
  }

  ramAddress(gpa: number): number {
    if (this.#apic.decodes(gpa)) return -1
    const ma = this.#p2m.translateWrite(gpa)
    return ma >= 0 ? ma : this.#address(O.RAM_ADDRESS, gpa)
  }

  peekAddress(gpa: number): number {
    return this.#p2m.translate(gpa)
  }

  controlChanged(): void {
    this.#translation.configure(this.#vcpu.registers)
  }

  invalidate(scope: number, pcid: number): void {
    this.#translation.cache.invalidate(scope, pcid)
  }

  physicalRead(gpa: number, size: number, into: Words, logged: boolean): number {
    if (this.#apic.decodes(gpa)) return readApicPage(this.#apic, this.counts, gpa, size, into)
    return this.#taken(this.#access(IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0, logged), into)
  }

  registerPage(gpa: number, into: RegisterPage): boolean {
    return describeApicPage(this.#apic, gpa, into)
  }

  physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean): number {
    if (this.#apic.decodes(gpa)) return writeApicPage(this.#apic, this.counts, gpa, size, lo)
    return this.#access(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi, logged)
  }

  romWrite(gpa: number, size: number, lo: number, hi: number): void {
    this.#mailbox.call(O.ROM_WRITE, gpa, size, lo, hi)
  }

  // ---------------------------------------------------------------- devices

  /** Every access to a device is one of a logged pass: its answer may take its time. */
  answersAtOnce(): boolean {
    return false
  }

  portRead(port: number, size: number, into: Words, logged: boolean): number {
    return this.#taken(this.#access(IOREQ_TYPE_PIO, IOREQ_READ, port, size, 0, 0, logged), into)
  }

  /** An answer goes to another place than the record where its instruction needs no other pass. */
  #taken(status: number, into: Words): number {
    if (status !== STATUS_RETRY && into !== this.record) {
      into.lo = this.record.lo
      into.hi = this.record.hi
    }
    return status
  }

  portWrite(port: number, size: number, value: number, logged: boolean): number {
    return this.#access(IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, value, 0, logged)
  }

  repeat(): number {
    const { record } = this
    if (record.type === IOREQ_TYPE_PIO || !this.#apic.decodes(record.address)) return this.#send(true)
    record.made = 0
    return STATUS_DONE
  }

  answer(): number {
    const { record } = this
    return record.waits ? STATUS_RETRY : record.status
  }

  cancelled(): void {
    if (this.record.waits) this.#mailbox.call(O.CANCEL)
  }

  // ---------------------------------------------------------------- registers

  readMsr(index: number, into: Words): number {
    const known = readApicMsr(this.#apic, index, into)
    if (known !== STATUS_UNHANDLED) return known
    const status = this.#mailbox.call(O.READ_MSR, index)
    into.lo = this.#mailbox.results[0]!
    into.hi = this.#mailbox.results[1]!
    return status
  }

  writeMsr(index: number, lo: number, hi: number): number {
    const known = writeApicMsr(this.#apic, index, lo, hi)
    if (index === MSR_APIC_BASE && known === STATUS_DONE) this.#vcpu.flushTlb(true)
    if (known !== STATUS_UNHANDLED) return known
    return this.#mailbox.call(O.WRITE_MSR, index, lo, hi)
  }

  cpuid(leaf: number, subleaf: number, into: Uint32Array): void {
    const mailbox = this.#mailbox
    mailbox.call(O.CPUID, leaf, subleaf, into[0], into[1], into[2], into[3])
    into.set(mailbox.results)
  }

  hypercall(): number {
    return this.#mailbox.call(O.HYPERCALL)
  }

  timestamp(into: Words): void {
    this.#clock.read(into)
  }

  timeStampMoved(): void {
    this.#apic.tscChanged()
  }

  random(into: Words): void {
    crypto.getRandomValues(this.#random)
    into.lo = this.#random[0]!
    into.hi = this.#random[1]!
  }

  readTaskPriority(): number {
    return this.#apic.cr8
  }

  writeTaskPriority(value: number): void {
    this.#apic.cr8 = value
    this.updateEvents()
  }

  acknowledgeInterrupt(): number {
    const vector = this.#apic.hasInterrupt() ? this.#apic.acknowledge() : -1
    this.updateEvents()
    return vector
  }

  /** Hands the local APIC's events over to the processor. */
  updateEvents(): void {
    const apic = this.#apic
    const cpu = this.#vcpu
    const events = apic.events()
    if ((events & EVENT_INIT) !== 0 && apic.takeInit()) cpu.init()
    if ((events & EVENT_SIPI) !== 0) {
      const vector = apic.takeSipi()
      if (vector >= 0) cpu.startup(vector)
    }
    if ((events & EVENT_SMI) !== 0 && apic.takeSmi()) cpu.smi()
    if ((events & EVENT_NMI) !== 0 && apic.takeNmi()) cpu.nmi()
    cpu.setInterruptPending((events & (EVENT_INTERRUPT | EVENT_EXTINT)) !== 0)
  }

  // ---------------------------------------------------------------- interrupt controllers of the domain's thread

  /** The i8259's vector. */
  acknowledgePic(): number {
    this.#mailbox.call(O.ACKNOWLEDGE_PIC)
    return this.#mailbox.results[0]!
  }

  /** A level-triggered interrupt has ended, for the I/O APIC. */
  eoi(vector: number): void {
    this.#mailbox.call(O.END_OF_INTERRUPT, vector)
  }

  /** The I/O APIC is to try again what no local APIC took. */
  retry(): void {
    this.#mailbox.call(O.RETRY_INTERRUPTS)
  }

  numericError(): void {
    this.#mailbox.call(O.NUMERIC_ERROR)
  }

  /** System-management mode is for the domain's thread, where SMRAM is seen. */
  smiIsDue(): boolean {
    this.parks ??= 'smi'
    return true
  }

  /** Takes the pending kicks. */
  readKicks(): void {
    const kicks = this.#mailbox.takeKicks()
    if ((kicks & KICK_PARK) !== 0) this.parks = 'kicked'
    if (kicks !== 0) this.updateEvents()
  }

  /** An interrupt of another vCPU does not end the run. */
  called(): boolean {
    this.readKicks()
    return this.parks === null
  }

  /**
   * A guest that spins waits for another vCPU, which may be waiting for this thread's processor: it gets that for a moment. A
   * kick ends the sleep.
   */
  pause(): void {
    if (++this.#pauses < SPINS) return
    this.#pauses = 0
    const mailbox = this.#mailbox
    mailbox.onWait?.leave()
    mailbox.sleep(mailbox.ring, SPIN_SLEEP_MS)
    mailbox.onWait?.enter()
  }
}
