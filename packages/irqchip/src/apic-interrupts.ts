import * as apicRegisters from './apic-registers.ts'
import { ApicTimerUnit } from './apic-timer.ts'
import { regionFor } from './arguments.ts'
import {
  checkLocalApicOptions,
  type LocalApicBus,
  type LocalApicOptions,
  type TaskPriorityRecord,
} from './local-apic-options.ts'
import { EXTINT_MESSAGE, LVT } from './local-apic-state.ts'
import { Controller } from './saved-words.ts'

/** Bit of the event word: an input of the deliverable events has changed. */
const RECHECK = 1 << 0
/** Events that depend on other state; all others are latched. */
const DELIVERABLE: number = apicRegisters.EVENT_INTERRUPT | apicRegisters.EVENT_EXTINT

const LINT_ENTRIES = [apicRegisters.W.LVT_LINT0, apicRegisters.W.LVT_LINT1] as const

/**
 * The interrupts of a local APIC: which of them are requested, in service, and to be delivered to the vCPU, by priorities, the
 * local vector table and the pins. {@link LocalApic} has the registers that software sees of it.
 */
export abstract class ApicInterrupts extends Controller {
  /** Index of the vCPU. */
  readonly cpu: number
  protected readonly words: Int32Array
  protected readonly bus: LocalApicBus
  protected readonly timer: ApicTimerUnit
  /** The guest's copy of its task priority. */
  protected priorityRecord: TaskPriorityRecord | null = null
  #isDetached: boolean

  constructor(options: LocalApicOptions) {
    super()
    checkLocalApicOptions(options)
    const { buffer, byteOffset } = regionFor(apicRegisters.LOCAL_APIC_STATE_BYTES, options.state)
    this.cpu = options.cpu
    this.words = new Int32Array(buffer, byteOffset, apicRegisters.LOCAL_APIC_STATE_BYTES / 4)
    this.bus = options.bus
    this.timer = new ApicTimerUnit(this.words, options, () => this.#deliverLvt(apicRegisters.W.LVT_TIMER))
    this.#isDetached = options.attached ?? false
  }

  /** Enters the state after INIT. */
  protected abstract initReset(): void

  /**
   * Whether the vCPU executes in another thread, which has a view of this APIC: here then messages and pins arrive, and what
   * follows from them is computed there, where the timer runs as well.
   */
  get isDetached(): boolean {
    return this.#isDetached
  }
  set isDetached(isDetached: boolean) {
    this.#isDetached = isDetached
    if (isDetached) this.timer.pause()
    else {
      this.touch()
      this.timer.resume()
    }
  }

  /** Whether the APIC is on, by IA32_APIC_BASE (it may be disabled by software). CPUID's APIC bit follows it. */
  get present(): boolean {
    return (this.words[apicRegisters.W.BASE_LO]! & apicRegisters.APIC_BASE_EN) !== 0
  }
  /** Whether IA32_APIC_BASE and software have enabled the APIC: it takes interrupts, and part in their arbitration. */
  get arbitrates(): boolean {
    return this.present && (this.words[apicRegisters.W.SVR]! & apicRegisters.SVR_ENABLE) !== 0
  }

  // ---------------------------------------------------------------- task and processor priority: TPR, CR8, PPR
  // Source: SDM vol. 3A, "Task and Processor Priorities".

  /** The task-priority register; the guest's record replaces it, if present. */
  protected get taskPriority(): number {
    if (this.priorityRecord !== null) this.words[apicRegisters.W.TPR] = this.priorityRecord.read()
    return this.words[apicRegisters.W.TPR]!
  }
  protected set taskPriority(priority: number) {
    this.words[apicRegisters.W.TPR] = priority
    this.priorityRecord?.write(priority)
  }

  /** CR8: bits 7:4 of the task-priority register. */
  get cr8(): number {
    return (this.taskPriority >>> 4) & 0xf
  }
  set cr8(value: number) {
    this.taskPriority = (value & 0xf) << 4
    this.changed()
  }

  /**
   * Moves the guest's task priority into a record of its own; null: back. It keeps its value.
   *
   * The effects of a record that the guest has changed are computed at the next look: `events`, a read of a register.
   */
  useRecord(record: TaskPriorityRecord | null): void {
    const priority = this.taskPriority
    this.priorityRecord = record
    this.taskPriority = priority
    this.changed()
  }

  /** Returns the record that the guest keeps its task priority in, or null. */
  get record(): TaskPriorityRecord | null {
    return this.priorityRecord
  }

  /** Priority of the processor: the higher of task priority and service. */
  get processorPriority(): number {
    return this.#notePriority(this.#highest(apicRegisters.W.ISR))
  }

  /** Computes the processor priority, and notes it in PPR. @param inService - the highest vector in service, or −1 */
  #notePriority(inService: number): number {
    const task = this.taskPriority
    const priority = inService < 0 || task >>> 4 >= inService >>> 4 ? task : inService & 0xf0
    if (!this.#isDetached) this.words[apicRegisters.W.PPR] = priority
    return priority
  }

  // ---------------------------------------------------------------- interrupts: IRR, TMR, ISR, EOI, ESR
  // Requests come from any thread, so IRR and TMR change atomically; ISR is the vCPU's own.
  // Source: SDM vol. 3A, "Handling Interrupts", "Interrupt Acceptance for Fixed Interrupts", "Error Handling".

  /**
   * A fixed interrupt arrives.
   *
   * @returns whether the APIC accepted the interrupt: it must be enabled
   */
  accept(vector: number, level: boolean): boolean {
    if (!this.arbitrates) return false
    if (vector < apicRegisters.FIRST_LEGAL_VECTOR) {
      this.error(apicRegisters.ESR_RECEIVED_ILLEGAL_VECTOR)
      return false
    }
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    if (level) Atomics.or(this.words, apicRegisters.W.TMR + index, bit)
    else Atomics.and(this.words, apicRegisters.W.TMR + index, ~bit)
    Atomics.or(this.words, apicRegisters.W.IRR + index, bit)
    this.#latch(RECHECK)
    return true
  }

  /** Notes an error, and requests the interrupt of the LVT error entry. */
  protected error(bit: number): void {
    const lvt = this.words[apicRegisters.W.LVT_ERROR]!
    const vector = lvt & 0xff
    Atomics.or(this.words, apicRegisters.W.ERRORS, bit)
    if ((lvt & apicRegisters.LVT_MASKED) !== 0) return
    // The error's own interrupt may be an error as well, and then goes no further.
    if (vector < apicRegisters.FIRST_LEGAL_VECTOR)
      this.words[apicRegisters.W.ERRORS]! |= apicRegisters.ESR_RECEIVED_ILLEGAL_VECTOR
    else this.accept(vector, false)
  }

  /** The highest vector of IRR or ISR, or −1. */
  #highest(first: typeof apicRegisters.W.IRR | typeof apicRegisters.W.ISR): number {
    const words = this.words
    for (let i = apicRegisters.VECTOR_WORDS - 1; i >= 0; i--) {
      const word = words[first + i]!
      if (word !== 0) return 32 * i + 31 - Math.clz32(word)
    }
    return -1
  }

  /** Whether `acknowledge` would yield a vector; the vCPU's IF is not considered. */
  hasInterrupt(): boolean {
    return (this.events() & DELIVERABLE) !== 0
  }

  /** Returns the vector that `acknowledge` would yield from this APIC, or −1; an ExtINT does not count. */
  peek(): number {
    return (this.events() & apicRegisters.EVENT_INTERRUPT) === 0 ? -1 : this.#highest(apicRegisters.W.IRR)
  }

  /**
   * Performs the INTA cycle: takes the vector that the vCPU is to deliver.
   *
   * @returns the vector; with nothing pending any more the spurious vector, which is not in service
   */
  acknowledge(): number {
    const words = this.words
    const events = this.events()
    let vector: number
    if ((events & apicRegisters.EVENT_EXTINT) !== 0) {
      // The vector of an external controller is not subject to this APIC's priorities.
      Atomics.and(words, apicRegisters.W.EVENTS, ~(apicRegisters.EVENT_EXTINT | EXTINT_MESSAGE))
      vector = this.bus.acknowledgePic()
    } else if ((events & apicRegisters.EVENT_INTERRUPT) !== 0) {
      vector = this.#highest(apicRegisters.W.IRR)
      const index = vector >> 5
      const bit = 1 << (vector & 31)
      Atomics.and(words, apicRegisters.W.IRR + index, ~bit)
      words[apicRegisters.W.ISR + index]! |= bit
    } else return words[apicRegisters.W.SVR]! & 0xff
    // The acknowledging vCPU checks by itself, so it gets no notice.
    this.#look()
    return vector
  }

  protected endOfInterrupt(): void {
    const words = this.words
    const vector = this.#highest(apicRegisters.W.ISR)
    if (vector < 0) return
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    words[apicRegisters.W.ISR + index]! &= ~bit
    this.changed()
    if ((words[apicRegisters.W.TMR + index]! & bit) === 0) return
    // A pin that is still up interrupts again.
    for (const pin of [0, 1] as const) {
      const entry = words[LINT_ENTRIES[pin]]!
      if ((entry & apicRegisters.LVT_REMOTE_IRR) === 0 || (entry & 0xff) !== vector) continue
      words[LINT_ENTRIES[pin]] = entry & ~apicRegisters.LVT_REMOTE_IRR
      this.#raise(pin)
    }
    if ((words[apicRegisters.W.SVR]! & apicRegisters.SVR_SUPPRESS_EOI) === 0) this.bus.broadcastEoi(vector)
  }

  // ---------------------------------------------------------------- events
  // One look at the event word tells a vCPU whether there is anything to do. Any thread sets bits in it; the vCPU's own
  // look computes the deliverable events anew where a bit says so.

  /** Returns the pending events: `EVENT_*` bits. 0 is the usual answer, and a cheap one. */
  events(): number {
    const events = this.words[apicRegisters.W.EVENTS]!
    return (events & RECHECK) !== 0 || this.priorityRecord !== null ? this.#look() : events
  }

  /** Notes that the deliverable events may have changed. */
  protected touch(): void {
    Atomics.or(this.words, apicRegisters.W.EVENTS, RECHECK)
  }

  /** An input of the events has changed: tells the vCPU if that makes a difference to it. */
  protected changed(): void {
    if (this.#isDetached) {
      this.#latch(RECHECK)
      return
    }
    const before = this.words[apicRegisters.W.EVENTS]! & DELIVERABLE
    if ((this.#look() & DELIVERABLE) !== before) this.bus.wake(this.cpu)
  }

  /** Computes the deliverable events from their inputs. @returns all events */
  #look(): number {
    const words = this.words
    // Before the inputs are read: a change from here on is noted again.
    Atomics.and(words, apicRegisters.W.EVENTS, ~RECHECK)
    const inService = this.#highest(apicRegisters.W.ISR)
    const pending = this.#highest(apicRegisters.W.IRR)
    const priority = this.#notePriority(inService)
    this.priorityRecord?.publish(inService < 0 ? 0 : inService & 0xf0, pending < 0 ? 0 : pending)
    let deliverable = this.arbitrates && pending >> 4 > priority >> 4 ? apicRegisters.EVENT_INTERRUPT : 0
    if (this.#level(0) && this.#acceptsExtInt()) deliverable |= apicRegisters.EVENT_EXTINT
    let old = Atomics.load(words, apicRegisters.W.EVENTS)
    for (;;) {
      const message = (old & EXTINT_MESSAGE) !== 0 ? apicRegisters.EVENT_EXTINT : 0
      const next = (old & ~DELIVERABLE) | deliverable | message
      const seen = Atomics.compareExchange(words, apicRegisters.W.EVENTS, old, next)
      if (seen === old) return next & ~RECHECK
      old = seen
    }
  }

  /** LINT0 as ExtINT (virtual wire), or an APIC that is off, whose LINT0 is the processor's INTR pin. */
  #acceptsExtInt(): boolean {
    if (!this.present) return true
    const lvt = this.words[apicRegisters.W.LVT_LINT0]!
    return (lvt & (apicRegisters.LVT_MASKED | apicRegisters.LVT_MODE)) === apicRegisters.DM_EXTINT << 8
  }

  #latch(events: number): void {
    Atomics.or(this.words, apicRegisters.W.EVENTS, events)
    this.bus.wake(this.cpu)
  }

  /** Takes a latched event. @returns whether it was latched */
  #take(event: number): boolean {
    return (Atomics.and(this.words, apicRegisters.W.EVENTS, ~event) & event) !== 0
  }

  /** Latches an NMI; a second one before delivery merges with the first. */
  nmi(): void {
    this.#latch(apicRegisters.EVENT_NMI)
  }
  /** Takes a pending NMI. */
  takeNmi(): boolean {
    return this.#take(apicRegisters.EVENT_NMI)
  }

  /** Latches an SMI. */
  smi(): void {
    this.#latch(apicRegisters.EVENT_SMI)
  }
  /** Takes a pending SMI. */
  takeSmi(): boolean {
    return this.#take(apicRegisters.EVENT_SMI)
  }

  /** Latches an INIT, which overtakes a SIPI that was not taken. */
  init(): void {
    this.#take(apicRegisters.EVENT_SIPI)
    this.#latch(apicRegisters.EVENT_INIT)
  }
  /** Takes a pending INIT, which resets this APIC but for its ID and base. */
  takeInit(): boolean {
    if (!this.#take(apicRegisters.EVENT_INIT)) return false
    this.initReset()
    return true
  }

  /** Latches a start-up message: execution begins at `vector` · 4096. */
  sipi(vector: number): void {
    this.words[apicRegisters.W.SIPI_VECTOR] = vector & 0xff
    this.#latch(apicRegisters.EVENT_SIPI)
  }
  /** Takes a pending SIPI: its vector, or −1. A vCPU that does not wait for a SIPI discards it. */
  takeSipi(): number {
    return this.#take(apicRegisters.EVENT_SIPI) ? this.words[apicRegisters.W.SIPI_VECTOR]! : -1
  }

  /** Latches an ExtINT message: the vector is the i8259's. */
  extInt(): void {
    if (this.present && !this.arbitrates) return
    this.#latch(apicRegisters.EVENT_EXTINT | EXTINT_MESSAGE)
  }

  // ---------------------------------------------------------------- the local vector table and its pins
  // Source: SDM vol. 3A, "Local Vector Table".

  protected writeLvt(index: number, value: number): void {
    const words = this.words
    // An expiry that is due happened before the write: with the old mode, vector and mask.
    if (index === apicRegisters.W.LVT_TIMER) this.timer.settle()
    const old = words[index]!
    let next = (value & apicRegisters.LVT_WRITABLE[index]!) | (old & apicRegisters.LVT_REMOTE_IRR)
    // An APIC that software has disabled has no entry unmasked.
    if ((words[apicRegisters.W.SVR]! & apicRegisters.SVR_ENABLE) === 0) next |= apicRegisters.LVT_MASKED
    // Only a fixed, level-triggered interrupt waits for its EOI.
    if ((next & (apicRegisters.LVT_LEVEL | apicRegisters.LVT_MODE)) !== apicRegisters.LVT_LEVEL)
      next &= ~apicRegisters.LVT_REMOTE_IRR
    words[index] = next
    if (index === apicRegisters.W.LVT_LINT0) this.#raise(0)
    else if (index === apicRegisters.W.LVT_LINT1) this.#raise(1)
    else if (index === apicRegisters.W.LVT_TIMER) this.timer.modeChanged(old)
    this.changed()
  }

  #level(pin: 0 | 1): boolean {
    return (this.words[apicRegisters.W.LINT]! & (1 << pin)) !== 0
  }

  /** Drives LINT0 (the i8259's INT on a PC) or LINT1 (NMI). */
  setLint(pin: 0 | 1, level: boolean): void {
    if (this.#level(pin) === level) return
    this.words[apicRegisters.W.LINT]! ^= 1 << pin
    // Without its APIC the processor has the pins INTR and NMI.
    if (level && this.present) {
      const entry = this.words[LINT_ENTRIES[pin]]!
      if ((entry & (apicRegisters.LVT_LEVEL | apicRegisters.LVT_MODE)) === apicRegisters.LVT_LEVEL) this.#raise(pin)
      else this.#deliverLvt(LINT_ENTRIES[pin])
    } else if (level && pin === 1) this.nmi()
    // ExtINT follows the wire: it ends when the i8259 withdraws its request.
    if (pin === 0) this.changed()
  }

  /** Raises a pin's level-triggered interrupt while its line is up and it does not wait for an EOI. */
  #raise(pin: 0 | 1): void {
    const entry = this.words[LINT_ENTRIES[pin]]!
    const wanted =
      (entry &
        (apicRegisters.LVT_MASKED |
          apicRegisters.LVT_LEVEL |
          apicRegisters.LVT_REMOTE_IRR |
          apicRegisters.LVT_MODE)) ===
      apicRegisters.LVT_LEVEL
    if (!wanted || !this.#level(pin)) return
    if (this.accept(entry & 0xff, true)) this.words[LINT_ENTRIES[pin]]! |= apicRegisters.LVT_REMOTE_IRR
  }

  /** Performance-counter overflow (the PMC entry masks itself), thermal event, or corrected machine check. */
  signalLvt(entry: 'performance' | 'thermal' | 'cmci'): void {
    this.#deliverLvt(LVT[entry])
    if (entry === 'performance') this.words[apicRegisters.W.LVT_PMC]! |= apicRegisters.LVT_MASKED
  }

  /** An entry's event has happened. */
  #deliverLvt(index: number): void {
    const entry = this.words[index]!
    if ((entry & apicRegisters.LVT_MASKED) !== 0) return
    // Timer and error entries have no mode field; it reads as fixed.
    switch ((entry & apicRegisters.LVT_MODE) >>> 8) {
      case apicRegisters.DM_FIXED:
        this.accept(entry & 0xff, false)
        return
      case apicRegisters.DM_SMI:
        this.smi()
        return
      case apicRegisters.DM_NMI:
        this.nmi()
        return
      case apicRegisters.DM_INIT:
        this.init()
        return
      default:
      // ExtINT follows the line and not the edge; the rest is reserved.
    }
  }
}
