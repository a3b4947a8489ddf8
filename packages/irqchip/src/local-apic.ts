import { checkState } from './arguments.ts'
import type { ApicArrivals } from './apic-arrivals.ts'
import type { ApicDelivery } from './apic-delivery.ts'
import type { ApicIdentity } from './apic-identity.ts'
import type { ApicBase } from './apic-base.ts'
import { type ApicEvents, DELIVERABLE } from './apic-events.ts'
import { DFR, ERRORS, ESR, ICR, ICR2, LDR, REGISTER_WORDS, SVR } from './apic-layout.ts'
import {
  APIC_LVT_CMCI,
  APIC_LVT_LINT0,
  APIC_LVT_LINT1,
  APIC_LVT_PMC,
  APIC_LVT_THERMAL,
  APIC_SVR,
  DM_EXTINT,
  DM_NMI,
  EVENT_INIT,
  EVENT_NMI,
  EVENT_SMI,
  LVT_MASKED,
  SVR_ENABLE,
} from './apic-registers.ts'
import type { ApicTimerUnit } from './apic-timer.ts'
import { type ApicPage, STORED_REGISTERS } from './apic-page.ts'
import type { LocalApicBus, LocalApicOptions } from './local-apic-options.ts'
import { localApicParts } from './local-apic-parts.ts'
import type { LocalApicState } from './local-apic-state.ts'
import type { LocalVectorTable } from './local-vector-table.ts'
import type { TaskPriority, TaskPriorityRecord } from './task-priority.ts'
import type { VectorRegisters } from './vector-registers.ts'

/**
 * The registers of a local APIC whose reads have no effect and return a word of its state: a hypervisor may read them by
 * itself, where the page is decoded.
 */
export interface StoredRegisters {
  /** Where the words lie in the buffer of `LocalApicOptions.state`: that of the register at offset n at 4 · n / 16. */
  readonly byteOffset: number
  /** Bit i: the register at offset 16 · i is such a one; registers 0 to 31. */
  readonly lo: number
  /** The same for registers 32 to 63. */
  readonly hi: number
}

/**
 * A local APIC: xAPIC and x2APIC.
 *
 * Its state is a run of words in machine memory. `events` is the word that a vCPU looks at between instructions, zero
 * while there is nothing to do. A change of an input only sets a bit; the vCPU's own look computes what follows from it.
 *
 * Source: Intel SDM vol. 3A, ch. "Advanced Programmable Interrupt Controller (APIC)".
 */
export class LocalApic {
  /** Index of the vCPU. */
  readonly cpu: number
  /** The registers that may be read from memory. */
  readonly storedRegisters: StoredRegisters
  readonly #words: Int32Array
  readonly #identity: ApicIdentity
  readonly #bus: LocalApicBus
  readonly #base: ApicBase
  readonly #events: ApicEvents
  readonly #vectors: VectorRegisters
  readonly #priority: TaskPriority
  readonly #timer: ApicTimerUnit
  readonly #lvt: LocalVectorTable
  readonly #delivery: ApicDelivery
  readonly #arrivals: ApicArrivals
  readonly #page: ApicPage

  /** @throws IrqchipError `ERR_INVALID` for an option of the wrong type or out of range */
  constructor(options: LocalApicOptions) {
    const parts = localApicParts(options)
    this.cpu = options.cpu
    this.storedRegisters = { byteOffset: parts.words.byteOffset, ...STORED_REGISTERS }
    this.#words = parts.words
    this.#bus = options.bus
    this.#base = parts.base
    this.#identity = parts.identity
    this.#events = parts.events
    this.#vectors = parts.vectors
    this.#priority = parts.priority
    this.#timer = parts.timer
    this.#lvt = parts.lvt
    this.#delivery = parts.delivery
    this.#arrivals = parts.arrivals
    this.#page = parts.page
    this.reset()
  }

  // ---- for the vCPU ----

  /** Returns the pending events: `EVENT_*` bits. 0 is the usual answer, and a cheap one. */
  events(): number {
    return this.#delivery.events()
  }

  /** Whether `acknowledge` would yield a vector; the vCPU's IF is not considered. */
  hasInterrupt(): boolean {
    return (this.events() & DELIVERABLE) !== 0
  }

  /**
   * Performs the INTA cycle: takes the vector that the vCPU is to deliver.
   *
   * @returns the vector; with nothing pending any more the spurious vector, which is not in service
   */
  acknowledge(): number {
    return this.#delivery.acknowledge()
  }

  /** Returns the vector that `acknowledge` would yield from this APIC, or −1; an ExtINT does not count. */
  peek(): number {
    return this.#delivery.peek()
  }

  /** Takes a pending NMI. */
  takeNmi(): boolean {
    return this.#events.take(EVENT_NMI)
  }

  /** Takes a pending SMI. */
  takeSmi(): boolean {
    return this.#events.take(EVENT_SMI)
  }

  /** Takes a pending INIT, which resets this APIC but for its ID and base. */
  takeInit(): boolean {
    if (!this.#events.take(EVENT_INIT)) return false
    this.#initReset()
    return true
  }

  /** Takes a pending SIPI: its vector, or −1. A vCPU that does not wait for one takes it and does nothing. */
  takeSipi(): number {
    return this.#events.takeStartup()
  }

  /** CR8: bits 7:4 of the task-priority register. */
  get cr8(): number {
    return (this.#priority.value >>> 4) & 0xf
  }
  set cr8(value: number) {
    this.#priority.value = (value & 0xf) << 4
    this.#delivery.changed()
  }

  /**
   * Moves the guest's task priority into a record of its own; null: back. It keeps its value.
   *
   * The effects of a record that the guest has changed are computed at the next look: `events`, a read of a register.
   */
  useRecord(record: TaskPriorityRecord | null): void {
    this.#priority.moveTo(record)
    this.#delivery.changed()
  }

  /** Returns the record that the guest keeps its task priority in, or null. */
  get record(): TaskPriorityRecord | null {
    return this.#priority.record
  }

  // ---- modes ----

  /** Whether the APIC is on, by IA32_APIC_BASE (it may be disabled by software). CPUID's APIC bit follows it. */
  get present(): boolean {
    return this.#base.present
  }

  /** Whether the register page is decoded. */
  get pageEnabled(): boolean {
    return this.#base.pageEnabled
  }
  /** Whether an address lies in the page, and the page is decoded. Asked for every access of a guest to a device. */
  decodes(gpa: number): boolean {
    return this.#base.decodes(gpa)
  }
  /** Returns the guest-physical address of the register page. */
  get pageAddress(): number {
    return this.#base.pageAddress
  }

  /** Whether the APIC is in x2APIC mode. */
  get x2apic(): boolean {
    return this.#base.x2apic
  }

  /** APIC ID: 8 bits in xAPIC mode. */
  get apicId(): number {
    return this.#identity.id
  }

  /** Low word of IA32_APIC_BASE. */
  get apicBaseLo(): number {
    return this.#base.lo
  }
  /** High word of IA32_APIC_BASE. */
  get apicBaseHi(): number {
    return this.#base.hi
  }

  /**
   * Writes IA32_APIC_BASE.
   *
   * @returns false for #GP: a reserved bit, or a transition that does not exist
   */
  setApicBase(lo: number, hi: number): boolean {
    const change = this.#base.write(lo, hi)
    if (change === 'refused') return false
    if (change === 'off') this.#initReset()
    else if (change === 'mode') this.#identity.reset()
    this.#delivery.changed()
    this.#bus.receptionChanged()
    return true
  }

  // ---- reset ----

  /** Restores the power-on state. */
  reset(): void {
    const events = this.#events.current
    this.#priority.record = null
    this.#words.fill(0)
    this.#base.reset()
    this.#initReset()
    if (events !== 0) this.#bus.wake(this.cpu)
  }

  /** State after INIT: as after power-on, but for base, ID and the lines' levels. A SIPI that came later stays. */
  #initReset(): void {
    const words = this.#words
    words.fill(0, 0, REGISTER_WORDS)
    this.#priority.value = 0
    words[ERRORS] = 0
    this.#events.initReset()
    words[DFR] = -1
    words[SVR] = 0xff
    this.#lvt.reset()
    this.#timer.stop()
    this.#identity.reset()
    this.#events.touch()
  }

  /**
   * Enters virtual wire mode, as firmware does before it starts an operating system.
   *
   * The APIC is on, the i8259 comes through LINT0, NMI through LINT1 (MultiProcessor Specification 1.4 §3.6.2.2).
   */
  enterVirtualWireMode(): void {
    this.write(APIC_SVR, SVR_ENABLE | 0xff)
    this.write(APIC_LVT_LINT0, DM_EXTINT << 8)
    this.write(APIC_LVT_LINT1, DM_NMI << 8)
  }

  // ---- registers ----

  /** Reads a register of the page. Only offsets that are multiples of 16 are registers; the rest reads 0. */
  read(offset: number): number {
    return this.#page.read(offset)
  }

  /** Writes a register of the page. */
  write(offset: number, value: number): void {
    this.#page.write(offset, value)
  }

  /**
   * Reads an x2APIC register by MSR index (0x800–0x8FF) into `lo` and `hi`.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, or a write-only one
   */
  readMsr(index: number, into: { lo: number; hi: number }): boolean {
    return this.#page.readMsr(index, into)
  }

  /**
   * Writes an x2APIC register by MSR index.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, a read-only one, or reserved bits
   */
  writeMsr(index: number, lo: number, hi: number): boolean {
    return this.#page.writeMsr(index, lo, hi)
  }

  // ---- arrivals ----

  /**
   * A fixed interrupt arrives.
   *
   * @returns whether the APIC took it: it must be enabled
   */
  accept(vector: number, level: boolean): boolean {
    return this.#arrivals.accept(vector, level)
  }

  /** Latches an NMI; a second one before the first was taken is the same one. */
  nmi(): void {
    this.#arrivals.nmi()
  }

  /** Latches an SMI. */
  smi(): void {
    this.#arrivals.smi()
  }

  /** Latches an INIT, which overtakes a SIPI that was not taken. */
  init(): void {
    this.#arrivals.init()
  }

  /** Latches a start-up message: execution begins at `vector` · 4096. */
  sipi(vector: number): void {
    this.#arrivals.startup(vector)
  }

  /** Latches an ExtINT message: the vector is the i8259's. */
  extInt(): void {
    this.#arrivals.extInt()
  }

  /** Drives LINT0 (the i8259's INT on a PC) or LINT1 (NMI). */
  setLint(pin: 0 | 1, level: boolean): void {
    if (this.#lvt.level(pin) === level) return
    // Without its APIC the processor has the pins INTR and NMI.
    this.#lvt.drive(pin, level, this.present)
    if (!this.present && pin === 1 && level) this.nmi()
    if (pin === 0) {
      // ExtINT follows the wire: it goes when the i8259 takes its request back.
      this.#delivery.changed()
    }
  }

  /** Performance-counter overflow (the PMC entry masks itself), thermal event, or corrected machine check. */
  signalLvt(entry: 'performance' | 'thermal' | 'cmci'): void {
    this.#lvt.deliver(entry === 'performance' ? APIC_LVT_PMC : entry === 'thermal' ? APIC_LVT_THERMAL : APIC_LVT_CMCI)
    if (entry === 'performance') this.#words[APIC_LVT_PMC >> 4]! |= LVT_MASKED
  }

  /**
   * Whether a message's destination names this APIC.
   *
   * @param destination - in x2APIC width; `DESTINATION_ALL` is everybody
   */
  matches(destination: number, logical: boolean): boolean {
    return this.#identity.matches(destination, logical)
  }

  /** Whether the APIC takes part in lowest-priority arbitration. */
  get arbitrates(): boolean {
    return this.#base.enabled
  }
  /** Priority of the processor: the higher of task priority and service. */
  get processorPriority(): number {
    return this.#delivery.processorPriority
  }

  // ---- timer ----

  /** Low word of IA32_TSC_DEADLINE; 0 outside that mode. */
  get tscDeadlineLo(): number {
    return this.#timer.deadlineLo
  }
  /** High word of IA32_TSC_DEADLINE; 0 outside that mode. */
  get tscDeadlineHi(): number {
    return this.#timer.deadlineHi
  }

  /** Writes IA32_TSC_DEADLINE. A deadline in the past fires at once. */
  setTscDeadline(lo: number, hi: number): void {
    this.#timer.setDeadline(lo, hi)
  }

  /** Tells that the TSC or its offset was changed: the time of the deadline is computed anew. */
  tscChanged(): void {
    this.#timer.tscChanged()
  }

  // ---- state ----

  /** Returns the state by name. */
  save(): LocalApicState {
    this.events()
    const words = this.#words
    return {
      version: 3,
      baseLo: this.#base.lo,
      baseHi: this.#base.hi,
      taskPriority: this.#priority.value,
      logicalDestination: words[LDR]! >>> 0,
      destinationFormat: words[DFR]! >>> 0,
      spuriousVector: words[SVR]!,
      errorStatus: words[ESR]!,
      errors: words[ERRORS]!,
      commandLo: words[ICR]! >>> 0,
      commandHi: words[ICR2]! >>> 0,
      vectors: this.#vectors.save(),
      lvt: this.#lvt.save(),
      timer: this.#timer.save(),
      events: this.#events.save(),
    }
  }

  /**
   * Takes a saved state.
   *
   * @throws IrqchipError `ERR_STATE` for another version or shape; then nothing has changed
   */
  restore(state: LocalApicState): void {
    checkState('local APIC state', state, this.save())
    const words = this.#words
    this.#base.restore(state.baseLo, state.baseHi)
    this.#identity.reset()
    this.#priority.value = state.taskPriority
    words[LDR] = state.logicalDestination
    words[DFR] = state.destinationFormat
    words[SVR] = state.spuriousVector
    words[ESR] = state.errorStatus
    words[ERRORS] = state.errors
    words[ICR] = state.commandLo
    words[ICR2] = state.commandHi
    this.#vectors.restore(state.vectors)
    this.#lvt.restore(state.lvt)
    this.#timer.restore(state.timer)
    this.#events.restore(state.events)
    this.#bus.wake(this.cpu)
  }
}
