import { fieldsPart, viewed } from '@retrap/device'
import * as apicRegisters from './apic-registers.ts'
import { isInPage, isMsr, isMsrWriteAllowed, wideDestination } from './apic-registers.ts'
import { ApicTimerUnit } from './apic-timer.ts'
import { regionFor } from './arguments.ts'
import {
  checkLocalApicOptions,
  type LocalApicBus,
  type LocalApicOptions,
  type TaskPriorityRecord,
} from './local-apic-options.ts'
import { bitOf, Controller, listedWords, namedWords } from './saved-words.ts'

/** Bit of the event word: an input of the deliverable events has changed. */
const RECHECK = 1 << 0
/** Bit of the event word: an ExtINT came as a message; `EVENT_EXTINT` accompanies it. */
const EXTINT_MESSAGE = 1 << 8
/** Events that depend on other state; all others are latched. */
const DELIVERABLE: number = apicRegisters.EVENT_INTERRUPT | apicRegisters.EVENT_EXTINT

/** Reserved bits of IA32_APIC_BASE: 7:0 and 9. */
const BASE_RESERVED = 0x2ff
const MODES: number = apicRegisters.APIC_BASE_EN | apicRegisters.APIC_BASE_EXTD

/** Word of each LVT entry, by the name that saved states have for it. */
const LVT = {
  cmci: apicRegisters.W.LVT_CMCI,
  timer: apicRegisters.W.LVT_TIMER,
  thermal: apicRegisters.W.LVT_THERMAL,
  performance: apicRegisters.W.LVT_PMC,
  lint0: apicRegisters.W.LVT_LINT0,
  lint1: apicRegisters.W.LVT_LINT1,
  error: apicRegisters.W.LVT_ERROR,
}
/** Words of the registers that are saved unchanged. */
const REGISTERS = {
  baseLo: apicRegisters.W.BASE_LO,
  baseHi: apicRegisters.W.BASE_HI,
  logicalDestination: apicRegisters.W.LDR,
  destinationFormat: apicRegisters.W.DFR,
  spuriousVector: apicRegisters.W.SVR,
  errorStatus: apicRegisters.W.ESR,
  errors: apicRegisters.W.ERRORS,
  commandLo: apicRegisters.W.ICR,
  commandHi: apicRegisters.W.ICR2,
}
const LINT_ENTRIES = [apicRegisters.W.LVT_LINT0, apicRegisters.W.LVT_LINT1] as const

/** Value of DFR bits 31:28, and of a destination's cluster. */
const FLAT_MODEL = 0xf
const ALL_CLUSTERS = 0xf

/**
 * The registers of a local APIC whose reads have no effect and return a word of its state: a hypervisor may read these
 * directly, after decoding the access to the page.
 */
export interface StoredRegisters {
  /** Where the words lie in the buffer of `LocalApicOptions.state`: that of the register at offset n at 4 · n / 16. */
  readonly byteOffset: number
  /** Mask of such registers: bit i is the register at offset 16 · i; registers 0 to 31. */
  readonly lo: number
  /** Mask of registers 32 to 63. */
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
// The file is long so that a reader finds the effect of every register in it. Names, numbers and places of the registers
// are in apic-registers.ts; how the timer counts is in apic-timer.ts.
export class LocalApic extends Controller {
  /** Index of the vCPU. */
  readonly cpu: number
  /** The registers that may be read from memory. */
  readonly storedRegisters: StoredRegisters
  readonly #words: Int32Array
  readonly #bus: LocalApicBus
  readonly #timer: ApicTimerUnit
  readonly #apicId: number
  readonly #bootstrap: boolean
  readonly #cmci: boolean
  readonly #version: number
  /** Bits of the spurious-vector register that exist. */
  readonly #svrWritable: number
  /** Reserved bits of IA32_APIC_BASE. */
  readonly #baseReservedLo: number
  readonly #baseReservedHi: number
  /** The guest's copy of its task priority. */
  #record: TaskPriorityRecord | null = null
  #elsewhere: boolean

  /** @throws IrqchipError `ERR_INVALID` for an option of the wrong type or out of range */
  constructor(options: LocalApicOptions) {
    super()
    checkLocalApicOptions(options)
    const region = regionFor(apicRegisters.LOCAL_APIC_STATE_BYTES, options.state)
    const words = new Int32Array(region.buffer, region.byteOffset, apicRegisters.LOCAL_APIC_STATE_BYTES / 4)
    const directedEoi = options.directedEoi ?? true
    this.cpu = options.cpu
    this.storedRegisters = { byteOffset: words.byteOffset, ...apicRegisters.STORED_REGISTERS }
    this.#words = words
    this.#bus = options.bus
    this.#apicId = options.apicId ?? options.cpu
    this.#bootstrap = options.bootstrap
    this.#cmci = options.cmci ?? false
    // Version 0x14: an integrated APIC. Bits 23:16: highest LVT entry.
    this.#version = 0x14 | ((this.#cmci ? 6 : 5) << 16) | (directedEoi ? 1 << 24 : 0)
    this.#svrWritable = 0x1ff | (directedEoi ? apicRegisters.SVR_SUPPRESS_EOI : 0)
    this.#baseReservedLo = BASE_RESERVED | ((options.x2apic ?? true) ? 0 : apicRegisters.APIC_BASE_EXTD)
    this.#baseReservedHi = ~((1 << ((options.physicalBits ?? 40) - 32)) - 1)
    this.#timer = new ApicTimerUnit(words, options, () => this.#deliverLvt(apicRegisters.W.LVT_TIMER))
    this.#elsewhere = options.attached ?? false
    this.#keepWords(words)
    if (!this.#elsewhere) this.reset()
  }

  /**
   * Whether the vCPU executes in another thread, which has a view of this APIC: here then messages and pins arrive, and what
   * follows from them is computed there, where the timer runs as well.
   */
  get elsewhere(): boolean {
    return this.#elsewhere
  }
  set elsewhere(elsewhere: boolean) {
    this.#elsewhere = elsewhere
    if (elsewhere) this.#timer.pause()
    else {
      this.#touch()
      this.#timer.resume()
    }
  }

  // ---------------------------------------------------------------- reset

  /** Restores the power-on state. */
  override reset(): void {
    const words = this.#words
    const events = words[apicRegisters.W.EVENTS]!
    this.#record = null
    words.fill(0)
    words[apicRegisters.W.BASE_LO] =
      apicRegisters.APIC_BASE_ADDRESS |
      apicRegisters.APIC_BASE_EN |
      (this.#bootstrap ? apicRegisters.APIC_BASE_BSP : 0) |
      0
    this.#initReset()
    if (events !== 0) this.#bus.wake(this.cpu)
  }

  /** State after INIT: as after power-on, but for base, ID and the lines' levels. A SIPI that came later stays. */
  #initReset(): void {
    const words = this.#words
    words.fill(0, 0, apicRegisters.REGISTER_WORDS)
    this.#taskPriority = 0
    words[apicRegisters.W.ERRORS] = 0
    Atomics.and(words, apicRegisters.W.EVENTS, apicRegisters.EVENT_SIPI | apicRegisters.EVENT_INIT)
    words[apicRegisters.W.DFR] = -1
    words[apicRegisters.W.SVR] = 0xff
    for (const index of Object.values(LVT)) words[index] = apicRegisters.LVT_MASKED
    this.#timer.stop()
    this.#resetIdentity()
    this.#touch()
  }

  /** Sets the ID register, and in x2APIC mode the logical destination, which software cannot choose there. */
  #resetIdentity(): void {
    const words = this.#words
    const { x2apic } = this
    words[apicRegisters.W.ID] = x2apic ? this.#apicId : this.#apicId << 24
    if (x2apic) words[apicRegisters.W.LDR] = ((this.#apicId >>> 4) << 16) | (1 << (this.#apicId & 15))
  }

  /**
   * Enters virtual wire mode, as firmware does before it starts an operating system.
   *
   * The APIC is on, the i8259 comes through LINT0, NMI through LINT1 (MultiProcessor Specification 1.4 §3.6.2.2).
   */
  enterVirtualWireMode(): void {
    this.#set(apicRegisters.W.SVR, apicRegisters.SVR_ENABLE | 0xff)
    this.#set(apicRegisters.W.LVT_LINT0, apicRegisters.DM_EXTINT << 8)
    this.#set(apicRegisters.W.LVT_LINT1, apicRegisters.DM_NMI << 8)
  }

  // ---------------------------------------------------------------- IA32_APIC_BASE: mode and address
  // Source: SDM vol. 3A, "Local APIC Status and Location", "x2APIC State Transitions".

  /** Whether the APIC is on, by IA32_APIC_BASE (it may be disabled by software). CPUID's APIC bit follows it. */
  get present(): boolean {
    return (this.#words[apicRegisters.W.BASE_LO]! & apicRegisters.APIC_BASE_EN) !== 0
  }
  /** Whether IA32_APIC_BASE and software have enabled the APIC: it takes interrupts, and part in their arbitration. */
  get arbitrates(): boolean {
    return this.present && (this.#words[apicRegisters.W.SVR]! & apicRegisters.SVR_ENABLE) !== 0
  }
  /** Whether the APIC is in x2APIC mode. */
  get x2apic(): boolean {
    return (this.#words[apicRegisters.W.BASE_LO]! & apicRegisters.APIC_BASE_EXTD) !== 0
  }

  /** Whether the register page is decoded. */
  get pageEnabled(): boolean {
    return (this.#words[apicRegisters.W.BASE_LO]! & MODES) === apicRegisters.APIC_BASE_EN
  }
  /** Whether an address lies in the page, and the page is decoded. Asked for every access of a guest to a device. */
  decodes(gpa: number): boolean {
    // Most addresses differ in the low word: the rest is apart, so that this much is inlined everywhere.
    return ((gpa ^ this.#words[apicRegisters.W.BASE_LO]!) & ~0xfff) === 0 && this.#isInPage(gpa)
  }
  #isInPage(gpa: number): boolean {
    const high = gpa < 2 ** 32 ? 0 : Math.floor(gpa / 2 ** 32)
    return this.pageEnabled && high === this.apicBaseHi
  }
  /** Returns the guest-physical address of the register page. */
  get pageAddress(): number {
    return this.apicBaseHi * 2 ** 32 + ((this.apicBaseLo & ~0xfff) >>> 0)
  }

  /** Low word of IA32_APIC_BASE. */
  get apicBaseLo(): number {
    return this.#words[apicRegisters.W.BASE_LO]! >>> 0
  }
  /** High word of IA32_APIC_BASE. */
  get apicBaseHi(): number {
    return this.#words[apicRegisters.W.BASE_HI]! >>> 0
  }

  /**
   * Writes IA32_APIC_BASE.
   *
   * @returns false for #GP: a reserved bit, or a transition that does not exist
   */
  setApicBase(lo: number, hi: number): boolean {
    if ((lo & this.#baseReservedLo) !== 0 || (hi & this.#baseReservedHi) !== 0) return false
    const old = this.#words[apicRegisters.W.BASE_LO]! & MODES
    const next = lo & MODES
    if (next === apicRegisters.APIC_BASE_EXTD) return false
    if (old === MODES && next === apicRegisters.APIC_BASE_EN) return false
    if (old === 0 && next === MODES) return false
    this.#words[apicRegisters.W.BASE_LO] = lo
    this.#words[apicRegisters.W.BASE_HI] = hi
    if (next !== old) {
      if (next === 0) this.#initReset()
      else this.#resetIdentity()
    }
    this.#changed()
    this.#bus.receptionChanged()
    return true
  }

  // ---------------------------------------------------------------- the register page
  // Source: SDM vol. 3A, "Local APIC Register Address Map".

  /** Reads a register of the page. Only offsets that are multiples of 16 are registers; the rest reads 0. */
  read(offset: number): number {
    if ((offset & 0xf) !== 0 || offset >>> 0 >= 0x400) return 0
    const index = offset >> 4
    return apicRegisters.STORED[index] === 1 ? this.#words[index]! >>> 0 : this.#readOther(index)
  }

  #readOther(index: number): number {
    if (isInPage(index, this.#cmci)) return this.#get(index)
    this.#error(apicRegisters.ESR_ILLEGAL_REGISTER)
    return 0
  }

  /** Writes a register of the page. */
  write(offset: number, value: number): void {
    if ((offset & 0xf) !== 0 || offset >>> 0 >= 0x400) return
    if (isInPage(offset >> 4, this.#cmci)) this.#set(offset >> 4, value)
    else this.#error(apicRegisters.ESR_ILLEGAL_REGISTER)
  }

  #get(index: number): number {
    switch (index) {
      // Arbitration priority and remote read went with the APIC bus; EOI is write-only.
      case apicRegisters.W.APR:
      case apicRegisters.W.RRD:
      case apicRegisters.W.EOI:
        return 0
      case apicRegisters.W.VERSION:
        return this.#version
      case apicRegisters.W.TPR:
        return this.#taskPriority
      case apicRegisters.W.PPR:
        return this.processorPriority
      case apicRegisters.W.TMCCT:
        // If the machine noticed the timer's end late, raise its interrupt before the guest sees the count.
        this.#timer.settle()
        return this.#timer.count()
      default:
        return this.#words[index]! >>> 0
    }
  }

  #set(index: number, value: number): void {
    const words = this.#words
    switch (index) {
      case apicRegisters.W.TPR:
        this.#taskPriority = value & 0xff
        this.#changed()
        return
      case apicRegisters.W.EOI:
        this.#endOfInterrupt()
        return
      case apicRegisters.W.LDR:
        words[apicRegisters.W.LDR] = value & 0xff00_0000
        this.#bus.receptionChanged()
        return
      case apicRegisters.W.DFR:
        words[apicRegisters.W.DFR] = value | 0x0fff_ffff
        this.#bus.receptionChanged()
        return
      case apicRegisters.W.SVR:
        words[apicRegisters.W.SVR] = value & this.#svrWritable
        if ((value & apicRegisters.SVR_ENABLE) === 0)
          for (const index of Object.values(LVT)) words[index]! |= apicRegisters.LVT_MASKED
        this.#changed()
        if ((value & apicRegisters.SVR_ENABLE) !== 0) this.#bus.receptionChanged()
        return
      case apicRegisters.W.ESR:
        words[apicRegisters.W.ESR] = words[apicRegisters.W.ERRORS]!
        words[apicRegisters.W.ERRORS] = 0
        return
      case apicRegisters.W.ICR:
        words[apicRegisters.W.ICR] = value & apicRegisters.ICR_WRITABLE
        this.#sendIcr()
        return
      case apicRegisters.W.ICR2:
        words[apicRegisters.W.ICR2] = value & 0xff00_0000
        return
      case apicRegisters.W.TMICT:
        this.#timer.start(value >>> 0)
        return
      case apicRegisters.W.TDCR:
        this.#timer.divide(value & 0xb)
        return
      default:
        if (apicRegisters.LVT_WRITABLE[index] !== undefined) this.#writeLvt(index, value)
      // ID, version, ISR and their like are read-only: such a write is ignored.
    }
  }

  #sendIcr(): void {
    const icr = this.#words[apicRegisters.W.ICR]!
    const mode = (icr >>> 8) & 7
    if (
      (mode === apicRegisters.DM_FIXED || mode === apicRegisters.DM_LOWEST) &&
      (icr & 0xff) < apicRegisters.FIRST_LEGAL_VECTOR
    ) {
      this.#error(apicRegisters.ESR_SEND_ILLEGAL_VECTOR)
      return
    }
    const high = this.#words[apicRegisters.W.ICR2]! >>> 0
    this.#bus.sendIpi(this.cpu, icr, this.x2apic ? high : wideDestination(high >>> 24))
  }

  // ---------------------------------------------------------------- registers as MSRs
  // Source: SDM vol. 3A, "x2APIC Register Address Space".

  /**
   * Reads an x2APIC register by MSR index (0x800–0x8FF) into `lo` and `hi`.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, or a write-only one
   */
  readMsr(index: number, into: { lo: number; hi: number }): boolean {
    const number = index & 0xff
    if (
      !this.x2apic ||
      !isMsr(number, this.#cmci) ||
      number === apicRegisters.W.EOI ||
      number === apicRegisters.W.SELF_IPI
    )
      return false
    into.lo = this.#get(number)
    into.hi = number === apicRegisters.W.ICR ? this.#words[apicRegisters.W.ICR2]! >>> 0 : 0
    return true
  }

  /**
   * Writes an x2APIC register by MSR index.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, a read-only one, or reserved bits
   */
  writeMsr(index: number, lo: number, hi: number): boolean {
    const number = index & 0xff
    if (!this.x2apic || !isMsr(number, this.#cmci)) return false
    if (!isMsrWriteAllowed(number, lo, hi, this.#svrWritable)) return false
    if (number === apicRegisters.W.SELF_IPI) {
      if (lo < apicRegisters.FIRST_LEGAL_VECTOR) this.#error(apicRegisters.ESR_SEND_ILLEGAL_VECTOR)
      else this.accept(lo, false)
      return true
    }
    // x2APIC has one 64-bit ICR, with the destination in the whole high word.
    if (number === apicRegisters.W.ICR) this.#words[apicRegisters.W.ICR2] = hi
    this.#set(number, lo)
    return true
  }

  // ---------------------------------------------------------------- task and processor priority: TPR, CR8, PPR
  // Source: SDM vol. 3A, "Task and Processor Priorities".

  /** The task-priority register; the guest's record replaces it, if present. */
  get #taskPriority(): number {
    if (this.#record !== null) this.#words[apicRegisters.W.TPR] = this.#record.read()
    return this.#words[apicRegisters.W.TPR]!
  }
  set #taskPriority(priority: number) {
    this.#words[apicRegisters.W.TPR] = priority
    this.#record?.write(priority)
  }

  /** CR8: bits 7:4 of the task-priority register. */
  get cr8(): number {
    return (this.#taskPriority >>> 4) & 0xf
  }
  set cr8(value: number) {
    this.#taskPriority = (value & 0xf) << 4
    this.#changed()
  }

  /**
   * Moves the guest's task priority into a record of its own; null: back. It keeps its value.
   *
   * The effects of a record that the guest has changed are computed at the next look: `events`, a read of a register.
   */
  useRecord(record: TaskPriorityRecord | null): void {
    const priority = this.#taskPriority
    this.#record = record
    this.#taskPriority = priority
    this.#changed()
  }

  /** Returns the record that the guest keeps its task priority in, or null. */
  get record(): TaskPriorityRecord | null {
    return this.#record
  }

  /** Priority of the processor: the higher of task priority and service. */
  get processorPriority(): number {
    return this.#notePriority(this.#highest(apicRegisters.W.ISR))
  }

  /** Computes the processor priority, and notes it in PPR. @param inService - the highest vector in service, or −1 */
  #notePriority(inService: number): number {
    const task = this.#taskPriority
    const priority = inService < 0 || task >>> 4 >= inService >>> 4 ? task : inService & 0xf0
    if (!this.#elsewhere) this.#words[apicRegisters.W.PPR] = priority
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
      this.#error(apicRegisters.ESR_RECEIVED_ILLEGAL_VECTOR)
      return false
    }
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    if (level) Atomics.or(this.#words, apicRegisters.W.TMR + index, bit)
    else Atomics.and(this.#words, apicRegisters.W.TMR + index, ~bit)
    Atomics.or(this.#words, apicRegisters.W.IRR + index, bit)
    this.#latch(RECHECK)
    return true
  }

  /** Notes an error, and requests the interrupt of the LVT error entry. */
  #error(bit: number): void {
    const lvt = this.#words[apicRegisters.W.LVT_ERROR]!
    const vector = lvt & 0xff
    Atomics.or(this.#words, apicRegisters.W.ERRORS, bit)
    if ((lvt & apicRegisters.LVT_MASKED) !== 0) return
    // The error's own interrupt may be an error as well, and then goes no further.
    if (vector < apicRegisters.FIRST_LEGAL_VECTOR)
      this.#words[apicRegisters.W.ERRORS]! |= apicRegisters.ESR_RECEIVED_ILLEGAL_VECTOR
    else this.accept(vector, false)
  }

  /** The highest vector of IRR or ISR, or −1. */
  #highest(first: typeof apicRegisters.W.IRR | typeof apicRegisters.W.ISR): number {
    const words = this.#words
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
    const words = this.#words
    const events = this.events()
    let vector: number
    if ((events & apicRegisters.EVENT_EXTINT) !== 0) {
      // The vector of an external controller is not subject to this APIC's priorities.
      Atomics.and(words, apicRegisters.W.EVENTS, ~(apicRegisters.EVENT_EXTINT | EXTINT_MESSAGE))
      vector = this.#bus.acknowledgePic()
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

  #endOfInterrupt(): void {
    const words = this.#words
    const vector = this.#highest(apicRegisters.W.ISR)
    if (vector < 0) return
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    words[apicRegisters.W.ISR + index]! &= ~bit
    this.#changed()
    if ((words[apicRegisters.W.TMR + index]! & bit) === 0) return
    // A pin that is still up interrupts again.
    for (const pin of [0, 1] as const) {
      const entry = words[LINT_ENTRIES[pin]]!
      if ((entry & apicRegisters.LVT_REMOTE_IRR) === 0 || (entry & 0xff) !== vector) continue
      words[LINT_ENTRIES[pin]] = entry & ~apicRegisters.LVT_REMOTE_IRR
      this.#raise(pin)
    }
    if ((words[apicRegisters.W.SVR]! & apicRegisters.SVR_SUPPRESS_EOI) === 0) this.#bus.broadcastEoi(vector)
  }

  // ---------------------------------------------------------------- events
  // One look at the event word tells a vCPU whether there is anything to do. Any thread sets bits in it; the vCPU's own
  // look computes the deliverable events anew where a bit says so.

  /** Returns the pending events: `EVENT_*` bits. 0 is the usual answer, and a cheap one. */
  events(): number {
    const events = this.#words[apicRegisters.W.EVENTS]!
    return (events & RECHECK) !== 0 || this.#record !== null ? this.#look() : events
  }

  /** Notes that the deliverable events may have changed. */
  #touch(): void {
    Atomics.or(this.#words, apicRegisters.W.EVENTS, RECHECK)
  }

  /** An input of the events has changed: tells the vCPU if that makes a difference to it. */
  #changed(): void {
    if (this.#elsewhere) {
      this.#latch(RECHECK)
      return
    }
    const before = this.#words[apicRegisters.W.EVENTS]! & DELIVERABLE
    if ((this.#look() & DELIVERABLE) !== before) this.#bus.wake(this.cpu)
  }

  /** Computes the deliverable events from their inputs. @returns all events */
  #look(): number {
    const words = this.#words
    // Before the inputs are read: a change from here on is noted again.
    Atomics.and(words, apicRegisters.W.EVENTS, ~RECHECK)
    const inService = this.#highest(apicRegisters.W.ISR)
    const pending = this.#highest(apicRegisters.W.IRR)
    const priority = this.#notePriority(inService)
    this.#record?.publish(inService < 0 ? 0 : inService & 0xf0, pending < 0 ? 0 : pending)
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
    const lvt = this.#words[apicRegisters.W.LVT_LINT0]!
    return (lvt & (apicRegisters.LVT_MASKED | apicRegisters.LVT_MODE)) === apicRegisters.DM_EXTINT << 8
  }

  #latch(events: number): void {
    Atomics.or(this.#words, apicRegisters.W.EVENTS, events)
    this.#bus.wake(this.cpu)
  }

  /** Takes a latched event. @returns whether it was latched */
  #take(event: number): boolean {
    return (Atomics.and(this.#words, apicRegisters.W.EVENTS, ~event) & event) !== 0
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
    this.#initReset()
    return true
  }

  /** Latches a start-up message: execution begins at `vector` · 4096. */
  sipi(vector: number): void {
    this.#words[apicRegisters.W.SIPI_VECTOR] = vector & 0xff
    this.#latch(apicRegisters.EVENT_SIPI)
  }
  /** Takes a pending SIPI: its vector, or −1. A vCPU that does not wait for a SIPI discards it. */
  takeSipi(): number {
    return this.#take(apicRegisters.EVENT_SIPI) ? this.#words[apicRegisters.W.SIPI_VECTOR]! : -1
  }

  /** Latches an ExtINT message: the vector is the i8259's. */
  extInt(): void {
    if (this.present && !this.arbitrates) return
    this.#latch(apicRegisters.EVENT_EXTINT | EXTINT_MESSAGE)
  }

  // ---------------------------------------------------------------- the local vector table and its pins
  // Source: SDM vol. 3A, "Local Vector Table".

  #writeLvt(index: number, value: number): void {
    const words = this.#words
    // An expiry that is due happened before the write: with the old mode, vector and mask.
    if (index === apicRegisters.W.LVT_TIMER) this.#timer.settle()
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
    else if (index === apicRegisters.W.LVT_TIMER) this.#timer.modeChanged(old)
    this.#changed()
  }

  /** The level of a pin. */
  #level(pin: 0 | 1): boolean {
    return (this.#words[apicRegisters.W.LINT]! & (1 << pin)) !== 0
  }

  /** Drives LINT0 (the i8259's INT on a PC) or LINT1 (NMI). */
  setLint(pin: 0 | 1, level: boolean): void {
    if (this.#level(pin) === level) return
    this.#words[apicRegisters.W.LINT]! ^= 1 << pin
    // Without its APIC the processor has the pins INTR and NMI.
    if (level && this.present) {
      const entry = this.#words[LINT_ENTRIES[pin]]!
      if ((entry & (apicRegisters.LVT_LEVEL | apicRegisters.LVT_MODE)) === apicRegisters.LVT_LEVEL) this.#raise(pin)
      else this.#deliverLvt(LINT_ENTRIES[pin])
    } else if (level && pin === 1) this.nmi()
    // ExtINT follows the wire: it ends when the i8259 withdraws its request.
    if (pin === 0) this.#changed()
  }

  /** Raises a pin's level-triggered interrupt while its line is up and it does not wait for an EOI. */
  #raise(pin: 0 | 1): void {
    const entry = this.#words[LINT_ENTRIES[pin]]!
    const wanted =
      (entry &
        (apicRegisters.LVT_MASKED |
          apicRegisters.LVT_LEVEL |
          apicRegisters.LVT_REMOTE_IRR |
          apicRegisters.LVT_MODE)) ===
      apicRegisters.LVT_LEVEL
    if (!wanted || !this.#level(pin)) return
    if (this.accept(entry & 0xff, true)) this.#words[LINT_ENTRIES[pin]]! |= apicRegisters.LVT_REMOTE_IRR
  }

  /** Performance-counter overflow (the PMC entry masks itself), thermal event, or corrected machine check. */
  signalLvt(entry: 'performance' | 'thermal' | 'cmci'): void {
    this.#deliverLvt(LVT[entry])
    if (entry === 'performance') this.#words[apicRegisters.W.LVT_PMC]! |= apicRegisters.LVT_MASKED
  }

  /** An entry's event has happened. */
  #deliverLvt(index: number): void {
    const entry = this.#words[index]!
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

  // ---------------------------------------------------------------- destinations: ID, LDR, DFR
  // Source: SDM vol. 3A, "Determining IPI Destination", "Logical Destination Mode in x2APIC Mode".

  /** APIC ID: 8 bits in xAPIC mode. */
  get apicId(): number {
    return this.x2apic ? this.#apicId : this.#apicId & 0xff
  }

  /**
   * Whether a message's destination names this APIC.
   *
   * @param destination - in x2APIC width; `DESTINATION_ALL` is everybody
   */
  matches(destination: number, logical: boolean): boolean {
    if (!this.present) return false
    if (destination === apicRegisters.DESTINATION_ALL) return true
    if (!logical) return destination === this.apicId
    const ldr = this.#words[apicRegisters.W.LDR]!
    // x2APIC: a cluster in the high half, bits for its members in the low half.
    if (this.x2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0
    if (destination > 0xff) return false
    const own = ldr >>> 24
    if (this.#words[apicRegisters.W.DFR]! >>> 28 === FLAT_MODEL) return (own & destination) !== 0
    const cluster = destination >>> 4
    return (cluster === ALL_CLUSTERS || cluster === own >>> 4) && (own & destination & 0xf) !== 0
  }

  // ---------------------------------------------------------------- TSC deadline

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

  // ---------------------------------------------------------------- state

  #keepWords(words: Int32Array): void {
    const { W } = apicRegisters
    const vectors = (first: number): Uint32Array => listedWords(words, first, apicRegisters.VECTOR_WORDS)
    this.keeps(
      {
        version: 3,
        registers: namedWords(words, REGISTERS),
        taskPriority: viewed(
          () => this.#taskPriority,
          (priority) => (this.#taskPriority = priority),
        ),
        // The lowest vectors first.
        vectors: fieldsPart({ requests: vectors(W.IRR), inService: vectors(W.ISR), triggerMode: vectors(W.TMR) }),
        lvt: fieldsPart(
          { entries: namedWords(words, LVT), pins: [bitOf(words, W.LINT, 1), bitOf(words, W.LINT, 2)] },
          { flat: ['entries'] },
        ),
        timer: this.#timer.state,
        events: fieldsPart({
          nmi: bitOf(words, W.EVENTS, apicRegisters.EVENT_NMI),
          smi: bitOf(words, W.EVENTS, apicRegisters.EVENT_SMI),
          init: bitOf(words, W.EVENTS, apicRegisters.EVENT_INIT),
          // Vector of a pending start-up message; −1: none.
          startup: viewed(
            () => ((words[W.EVENTS]! & apicRegisters.EVENT_SIPI) === 0 ? -1 : words[W.SIPI_VECTOR]!),
            (vector) => {
              words[W.SIPI_VECTOR] = Math.max(0, vector)
              words[W.EVENTS]! &= ~apicRegisters.EVENT_SIPI
              if (vector >= 0) words[W.EVENTS]! |= apicRegisters.EVENT_SIPI
            },
          ),
          extInt: bitOf(words, W.EVENTS, EXTINT_MESSAGE),
        }),
      },
      { device: 'local APIC', flat: ['registers'], settled: () => this.#restored() },
    )
  }

  #restored(): void {
    // The state may come from an APIC with another ID.
    const destination = this.#words[apicRegisters.W.LDR]!
    this.#resetIdentity()
    this.#words[apicRegisters.W.LDR] = destination
    this.#touch()
    this.#bus.wake(this.cpu)
  }
}
