import {
  APIC_APR,
  APIC_BASE_ADDRESS,
  APIC_BASE_BSP,
  APIC_BASE_EN,
  APIC_BASE_EXTD,
  APIC_DFR,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR2,
  APIC_ID,
  APIC_IRR,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_CMCI,
  APIC_LVT_ERROR,
  APIC_LVT_LINT0,
  APIC_LVT_LINT1,
  APIC_LVT_PMC,
  APIC_LVT_THERMAL,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_RRD,
  APIC_SELF_IPI,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMCCT,
  APIC_TMICT,
  APIC_TMR,
  APIC_TPR,
  APIC_VERSION,
  DESTINATION_ALL,
  DM_EXTINT,
  DM_FIXED,
  DM_LOWEST,
  DM_NMI,
  ESR_ILLEGAL_REGISTER,
  ESR_RECEIVED_ILLEGAL_VECTOR,
  ESR_SEND_ILLEGAL_VECTOR,
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_SMI,
  ICR_WRITABLE,
  LVT_MASKED,
  LVT_WRITABLE,
  SVR_ENABLE,
  SVR_SUPPRESS_EOI,
  isApicRegister,
} from './apic-registers.ts'
import { matchesX2apicLogical, matchesXapicLogical } from './apic-destination.ts'
import { ApicTimerUnit } from './apic-timer.ts'
import { IrqchipError } from './errors.ts'
import { LocalVectorTable, type LvtEvents } from './local-vector-table.ts'
import { ownRegion, type ApicClock, type StateRegion } from './time.ts'
import { isX2apicRegister, x2apicWriteAllowed } from './x2apic.ts'

/** Bytes of machine memory that a local APIC's state takes. */
export const LOCAL_APIC_STATE_BYTES = 512

/*
 * State: 64 words of registers, at offset/16 of the register page, then these.
 */
const BASE_LO = 64
const BASE_HI = 65
/** Events, and in bit 0 that they must be computed again. */
const EVENTS = 66
const SIPI_VECTOR = 67
/** Errors since the last write of ESR. */
const ERRORS = 68

const RECHECK = 1 << 0
const DELIVERABLE = EVENT_INTERRUPT | EVENT_EXTINT
/** An ExtINT came as a message; `EVENT_EXTINT` accompanies it. */
const EXTINT_MESSAGE = 1 << 8

const ID = APIC_ID >> 4
const TPR = APIC_TPR >> 4
const PPR = APIC_PPR >> 4
const LDR = APIC_LDR >> 4
const DFR = APIC_DFR >> 4
const SVR = APIC_SVR >> 4
const ISR = APIC_ISR >> 4
const TMR = APIC_TMR >> 4
const IRR = APIC_IRR >> 4
const ESR = APIC_ESR >> 4
const ICR = APIC_ICR >> 4
const ICR2 = APIC_ICR2 >> 4

/** What a local APIC needs from the rest of the interrupt system. */
export interface LocalApicBus {
  /** Sends an interprocessor interrupt: the ICR's low word, and a destination in x2APIC width. */
  sendIpi(source: LocalApic, icr: number, destination: number): void
  /** A level-triggered interrupt has ended. */
  broadcastEoi(vector: number): void
  /** Fetches the i8259's vector: an INTA cycle. */
  acknowledgePic(): number
  /** What `events` gives has changed: the vCPU is to look at it. Also where an interrupt can no longer be delivered. */
  wake(cpu: number): void
  /** An APIC now takes what it refused, or has another address: level-triggered interrupts are tried again. */
  receptionChanged(): void
}

export interface LocalApicOptions {
  /** Index of the vCPU. */
  readonly cpu: number
  /** APIC ID; default the index. */
  readonly apicId?: number
  readonly bootstrap: boolean
  readonly bus: LocalApicBus
  readonly clock: ApicClock
  /** Frequency that the timer divides. Default 1 GHz. */
  readonly timerHz?: number
  /** TSC frequency, for the deadline mode. Default 1 GHz. */
  readonly tscHz?: number
  /** When the vCPU's TSC reaches a value, in nanoseconds. Default: a TSC that was 0 at time 0. */
  tscToNs?(lo: number, hi: number): number
  /** Default true. */
  readonly x2apic?: boolean
  /** LVT entry for corrected machine checks. Default false. */
  readonly cmci?: boolean
  /** EOI broadcasts can be suppressed. Default true. */
  readonly directedEoi?: boolean
  /** Physical-address bits, for the checks of IA32_APIC_BASE. Default 40. */
  readonly physicalBits?: number
  readonly state?: StateRegion
}

/**
 * A guest's own copy of its task priority, in its memory: it changes it without telling, and finds there whether that
 * makes a difference. See `LocalApic.useRecord`.
 */
export interface TaskPriorityRecord {
  /** The task priority, 8 bits. */
  read(): number
  write(taskPriority: number): void
  /**
   * What the guest compares a new task priority with.
   *
   * @param inService - bits 7:4 of the highest vector in service; 0: none
   * @param pending - the highest vector that is pending; 0: none
   */
  publish(inService: number, pending: number): void
}

/** Saved form of a {@link LocalApic}. */
export interface LocalApicState {
  readonly version: 1
  /** Register words by offset/16, then the hidden state. */
  readonly words: readonly number[]
  readonly timerStartNs: number
}

/**
 * A local APIC: xAPIC and x2APIC.
 *
 * Its state is a run of words in machine memory. `events` is what a vCPU looks at between instructions: one word,
 * zero while there is nothing to do. Whoever changes an input only sets a bit; the vCPU's own look computes what
 * follows from it.
 *
 * Source: Intel SDM vol. 3A, ch. "Advanced Programmable Interrupt Controller (APIC)".
 */
export class LocalApic implements LvtEvents {
  readonly cpu: number
  readonly words: Int32Array
  readonly #apicId: number
  readonly #bootstrap: boolean
  readonly #bus: LocalApicBus
  readonly #timer: ApicTimerUnit
  readonly #lvt: LocalVectorTable
  readonly #doubles: Float64Array
  readonly #x2apicThere: boolean
  readonly #version: number
  readonly #cmci: boolean
  readonly #svrWritable: number
  readonly #baseHiReserved: number
  #record: TaskPriorityRecord | null = null

  constructor(options: LocalApicOptions) {
    const region = options.state ?? ownRegion(LOCAL_APIC_STATE_BYTES)
    if (region.byteOffset % 8 !== 0) {
      throw new IrqchipError('ERR_INVALID', `local APIC state at ${region.byteOffset}: expected a multiple of 8`)
    }
    this.cpu = options.cpu
    this.words = new Int32Array(region.buffer, region.byteOffset, LOCAL_APIC_STATE_BYTES / 4)
    this.#doubles = new Float64Array(region.buffer, region.byteOffset, LOCAL_APIC_STATE_BYTES / 8)
    this.#apicId = options.apicId ?? options.cpu
    this.#bootstrap = options.bootstrap
    this.#bus = options.bus
    this.#x2apicThere = options.x2apic ?? true
    this.#cmci = options.cmci ?? false
    const directed = options.directedEoi ?? true
    // Version 0x14: an integrated APIC. Bits 23:16: highest LVT entry.
    this.#version = 0x14 | ((this.#cmci ? 6 : 5) << 16) | (directed ? 1 << 24 : 0)
    this.#svrWritable = 0x1ff | (directed ? SVR_SUPPRESS_EOI : 0)
    const bits = options.physicalBits ?? 40
    this.#baseHiReserved = bits >= 64 ? 0 : ~((1 << (bits - 32)) - 1)
    const tscPerNs = (options.tscHz ?? 1e9) / 1e9
    const tscToNs = (lo: number, hi: number): number => Math.ceil((hi * 2 ** 32 + lo) / tscPerNs)
    this.#timer = new ApicTimerUnit(
      this.words,
      this.#doubles,
      options.clock,
      options.timerHz ?? 1e9,
      options.tscToNs?.bind(options) ?? tscToNs,
      () => this.#lvt.deliver(APIC_LVT_TIMER),
    )
    this.#lvt = new LocalVectorTable(this.words, this)
    this.reset()
  }

  // ---- what the vCPU asks ----

  /** What waits for the vCPU: `EVENT_*` bits. 0 is the usual answer, and a cheap one. */
  events(): number {
    const events = this.words[EVENTS]!
    return (events & RECHECK) === 0 && this.#record === null ? events : this.#recheck()
  }

  /** Whether `acknowledge` would yield a vector (the vCPU's IF is its own affair). */
  hasInterrupt(): boolean {
    return (this.events() & DELIVERABLE) !== 0
  }

  /**
   * The INTA cycle: takes the vector that the vCPU is to deliver. With nothing pending any more it is the spurious
   * vector, which is not in service.
   */
  acknowledge(): number {
    const events = this.events()
    if ((events & EVENT_EXTINT) !== 0) {
      // The vector of an external controller is not subject to this APIC's priorities.
      Atomics.and(this.words, EVENTS, ~(EVENT_EXTINT | EXTINT_MESSAGE))
      const vector = this.#bus.acknowledgePic()
      this.#recheck()
      return vector
    }
    if ((events & EVENT_INTERRUPT) === 0) return this.words[SVR]! & 0xff
    const vector = this.#highest(IRR)
    const bit = 1 << (vector & 31)
    Atomics.and(this.words, IRR + (vector >> 5), ~bit)
    this.words[ISR + (vector >> 5)]! |= bit
    // Not a change to tell of: whoever acknowledges looks at the rest by itself.
    this.#recheck()
    return vector
  }

  /** The vector that `acknowledge` would yield from this APIC, or −1; an ExtINT does not count. */
  peek(): number {
    return (this.events() & EVENT_INTERRUPT) === 0 ? -1 : this.#highest(IRR)
  }

  /** Takes a pending NMI. */
  takeNmi(): boolean {
    return this.#take(EVENT_NMI)
  }

  /** Takes a pending SMI. */
  takeSmi(): boolean {
    return this.#take(EVENT_SMI)
  }

  /** Takes a pending INIT, which resets this APIC but for its ID and base. */
  takeInit(): boolean {
    if (!this.#take(EVENT_INIT)) return false
    this.#initReset()
    return true
  }

  /** Takes a pending SIPI: its vector, or −1. A vCPU that does not wait for one takes it and does nothing. */
  takeSipi(): number {
    return this.#take(EVENT_SIPI) ? this.words[SIPI_VECTOR]! : -1
  }

  #take(event: number): boolean {
    return (Atomics.and(this.words, EVENTS, ~event) & event) !== 0
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
   * Has the guest's task priority live in a record of its own from now on; null: here again. It keeps its value. What
   * follows from a record that the guest has changed is computed when something looks: `events`, a read of a register.
   */
  useRecord(record: TaskPriorityRecord | null): void {
    const value = this.#taskPriority
    this.#record = record
    this.#taskPriority = value
    this.#changed()
  }

  /** Where the guest keeps its task priority, or null. */
  get record(): TaskPriorityRecord | null {
    return this.#record
  }

  /** The register, which follows the record where there is one. */
  get #taskPriority(): number {
    if (this.#record !== null) this.words[TPR] = this.#record.read()
    return this.words[TPR]!
  }
  set #taskPriority(value: number) {
    this.words[TPR] = value
    this.#record?.write(value)
  }

  #recheck(): number {
    const words = this.words
    // Bit 0 goes first: an input that changes from here on sets it again.
    Atomics.and(words, EVENTS, ~RECHECK)
    let events = 0
    const inService = this.#updatePpr()
    const pending = this.#highest(IRR)
    this.#record?.publish(inService < 0 ? 0 : inService & 0xf0, pending < 0 ? 0 : pending)
    if (this.#enabled && pending >> 4 > words[PPR]! >> 4) events |= EVENT_INTERRUPT
    if (this.#lvt.level(0) && this.#acceptsExtInt) events |= EVENT_EXTINT
    let old = Atomics.load(words, EVENTS)
    for (;;) {
      const message = (old & EXTINT_MESSAGE) !== 0 ? EVENT_EXTINT : 0
      const next = (old & ~DELIVERABLE) | events | message
      const seen = Atomics.compareExchange(words, EVENTS, old, next)
      if (seen === old) return next & ~RECHECK
      old = seen
    }
  }

  /** @returns the highest vector in service, or −1 */
  #updatePpr(): number {
    const tpr = this.#taskPriority
    const isr = this.#highest(ISR)
    this.words[PPR] = isr < 0 || tpr >>> 4 >= isr >>> 4 ? tpr : isr & 0xf0
    return isr
  }

  /** An input of the events has changed and the vCPU will look. */
  #touch(): void {
    Atomics.or(this.words, EVENTS, RECHECK)
  }

  /** An input of the events has changed: tells the vCPU if that makes a difference to it. */
  #changed(): void {
    const before = this.words[EVENTS]! & DELIVERABLE
    if ((this.#recheck() & DELIVERABLE) !== before) this.#bus.wake(this.cpu)
  }

  /** Highest bit of a 256-bit register, or −1. */
  #highest(first: number): number {
    const words = this.words
    for (let i = 7; i >= 0; i--) {
      const word = words[first + i]!
      if (word !== 0) return 32 * i + 31 - Math.clz32(word)
    }
    return -1
  }

  // ---- modes ----

  /** Whether the APIC is on, by IA32_APIC_BASE and by the spurious-vector register. */
  get #enabled(): boolean {
    return (this.words[BASE_LO]! & APIC_BASE_EN) !== 0 && (this.words[SVR]! & SVR_ENABLE) !== 0
  }

  /** Whether the APIC is on, by IA32_APIC_BASE (it may be disabled by software). CPUID's APIC bit follows it. */
  get present(): boolean {
    return (this.words[BASE_LO]! & APIC_BASE_EN) !== 0
  }

  /** Whether the register page is decoded, and where. */
  get pageEnabled(): boolean {
    return (this.words[BASE_LO]! & (APIC_BASE_EN | APIC_BASE_EXTD)) === APIC_BASE_EN
  }
  /** Whether an address lies in the page, and the page is decoded. For every access of a guest to a device. */
  decodes(gpa: number): boolean {
    const base = this.words[BASE_LO]!
    return (
      ((gpa ^ base) & ~0xfff) === 0 &&
      (base & (APIC_BASE_EN | APIC_BASE_EXTD)) === APIC_BASE_EN &&
      (gpa < 2 ** 32 ? 0 : Math.floor(gpa / 2 ** 32)) === this.words[BASE_HI]! >>> 0
    )
  }
  get pageAddress(): number {
    return (this.words[BASE_HI]! >>> 0) * 2 ** 32 + ((this.words[BASE_LO]! & ~0xfff) >>> 0)
  }

  get x2apic(): boolean {
    return (this.words[BASE_LO]! & APIC_BASE_EXTD) !== 0
  }

  /** APIC ID: 8 bits in xAPIC mode. */
  get apicId(): number {
    return this.x2apic ? this.#apicId : this.#apicId & 0xff
  }

  /** LINT0 as ExtINT (virtual wire), or an APIC that is off, whose LINT0 is the processor's INTR pin. */
  get #acceptsExtInt(): boolean {
    if (!this.present) return true
    const lvt = this.words[APIC_LVT_LINT0 >> 4]!
    return (lvt & LVT_MASKED) === 0 && ((lvt >>> 8) & 7) === DM_EXTINT
  }

  get apicBaseLo(): number {
    return this.words[BASE_LO]! >>> 0
  }
  get apicBaseHi(): number {
    return this.words[BASE_HI]! >>> 0
  }

  /**
   * A write of IA32_APIC_BASE.
   *
   * @returns false for #GP: a reserved bit, or a step that the state machine does not have
   */
  setApicBase(lo: number, hi: number): boolean {
    const reserved = 0x2ff | (this.#x2apicThere ? 0 : APIC_BASE_EXTD)
    if ((lo & reserved) !== 0 || (hi & this.#baseHiReserved) !== 0) return false
    const modes = APIC_BASE_EN | APIC_BASE_EXTD
    const old = this.words[BASE_LO]! & modes
    const next = lo & modes
    if (next === APIC_BASE_EXTD) return false
    if (old === modes && next === APIC_BASE_EN) return false
    if (old === 0 && next === modes) return false
    this.words[BASE_LO] = lo
    this.words[BASE_HI] = hi
    if (next === 0 && old !== 0) this.#initReset()
    else if (next !== old) this.#resetIdentity()
    this.#changed()
    this.#bus.receptionChanged()
    return true
  }

  // ---- reset ----

  /** Power-on state. */
  reset(): void {
    const events = this.words[EVENTS]!
    this.#record = null
    this.words.fill(0)
    this.words[BASE_LO] = APIC_BASE_ADDRESS | APIC_BASE_EN | (this.#bootstrap ? APIC_BASE_BSP : 0) | 0
    this.#initReset()
    if (events !== 0) this.#bus.wake(this.cpu)
  }

  /** State after INIT: as after power-on, but for base, ID and the lines' levels. A SIPI that came later stays. */
  #initReset(): void {
    const { words } = this
    words.fill(0, 0, 64)
    this.#taskPriority = 0
    words[ERRORS] = 0
    Atomics.and(words, EVENTS, EVENT_SIPI | EVENT_INIT)
    words[DFR] = -1
    words[SVR] = 0xff
    this.#lvt.reset()
    this.#timer.stop()
    this.#resetIdentity()
    this.#touch()
  }

  #resetIdentity(): void {
    const { words } = this
    words[ID] = this.x2apic ? this.#apicId : this.#apicId << 24
    if (this.x2apic) words[LDR] = ((this.#apicId >>> 4) << 16) | (1 << (this.#apicId & 15))
  }

  /**
   * What firmware leaves behind for an operating system that it starts: the APIC on, the i8259 through LINT0, NMI
   * through LINT1 ("virtual wire mode", MultiProcessor Specification 1.4 §3.6.2.2).
   */
  enterVirtualWireMode(): void {
    this.write(APIC_SVR, SVR_ENABLE | 0xff)
    this.write(APIC_LVT_LINT0, DM_EXTINT << 8)
    this.write(APIC_LVT_LINT1, DM_NMI << 8)
  }

  // ---- registers ----

  /** Reads a register of the page. Only offsets that are multiples of 16 are registers; the rest reads 0. */
  read(offset: number): number {
    if ((offset & 0xf) !== 0 || offset >= 0x400 || offset < 0) return 0
    if (!this.#isRegister(offset)) {
      this.#error(ESR_ILLEGAL_REGISTER)
      return 0
    }
    return this.#get(offset)
  }

  /** Writes a register of the page. */
  write(offset: number, value: number): void {
    if ((offset & 0xf) !== 0 || offset >= 0x400 || offset < 0) return
    if (!this.#isRegister(offset)) {
      this.#error(ESR_ILLEGAL_REGISTER)
      return
    }
    this.#set(offset, value)
  }

  #isRegister(offset: number): boolean {
    return isApicRegister(offset) || (offset === APIC_LVT_CMCI && this.#cmci)
  }

  #get(offset: number): number {
    switch (offset) {
      case APIC_VERSION:
        return this.#version
      case APIC_TPR:
        return this.#taskPriority
      case APIC_PPR:
        this.#updatePpr()
        return this.words[PPR]! >>> 0
      case APIC_TMCCT:
        return this.#timer.count()
      // Arbitration priority and remote read went with the APIC bus; EOI is write-only.
      case APIC_APR:
      case APIC_RRD:
      case APIC_EOI:
        return 0
      default:
        return this.words[offset >> 4]! >>> 0
    }
  }

  #set(offset: number, value: number): void {
    const { words } = this
    switch (offset) {
      case APIC_TPR:
        this.#taskPriority = value & 0xff
        this.#changed()
        return
      case APIC_EOI:
        this.#endOfInterrupt()
        return
      case APIC_LDR:
        words[LDR] = value & 0xff00_0000
        this.#bus.receptionChanged()
        return
      case APIC_DFR:
        words[DFR] = value | 0x0fff_ffff
        this.#bus.receptionChanged()
        return
      case APIC_SVR:
        this.#setSvr(value & this.#svrWritable)
        return
      case APIC_ESR:
        words[ESR] = words[ERRORS]!
        words[ERRORS] = 0
        return
      case APIC_ICR:
        words[ICR] = value & ICR_WRITABLE
        this.#sendIcr(words[ICR]!, this.#icrDestination())
        return
      case APIC_ICR2:
        words[ICR2] = value & 0xff00_0000
        return
      case APIC_TMICT:
        this.#timer.start(value >>> 0)
        return
      case APIC_TDCR:
        this.#timer.divide(value & 0xb)
        return
      default:
        if (LVT_WRITABLE[offset] !== undefined) this.#writeLvt(offset, value)
      // ID, version, ISR and their like are read-only: such a write is ignored.
    }
  }

  #icrDestination(): number {
    const high = this.words[ICR2]!
    if (this.x2apic) return high >>> 0
    const destination = high >>> 24
    return destination === 0xff ? DESTINATION_ALL : destination
  }

  #sendIcr(icr: number, destination: number): void {
    const mode = (icr >>> 8) & 7
    if ((mode === DM_FIXED || mode === DM_LOWEST) && (icr & 0xff) < 16) {
      this.#error(ESR_SEND_ILLEGAL_VECTOR)
      return
    }
    this.#bus.sendIpi(this, icr, destination)
  }

  #setSvr(value: number): void {
    const { words } = this
    words[SVR] = value
    if ((value & SVR_ENABLE) === 0) {
      this.#lvt.maskAll()
    }
    this.#changed()
    if ((value & SVR_ENABLE) !== 0) this.#bus.receptionChanged()
  }

  #writeLvt(offset: number, value: number): void {
    const old = this.words[offset >> 4]!
    this.#lvt.write(offset, value, (this.words[SVR]! & SVR_ENABLE) === 0)
    if (offset === APIC_LVT_TIMER) this.#timer.modeChanged(old)
    this.#changed()
  }

  #endOfInterrupt(): void {
    const { words } = this
    const vector = this.#highest(ISR)
    if (vector < 0) return
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    words[ISR + index]! &= ~bit
    this.#changed()
    if ((words[TMR + index]! & bit) === 0) return
    this.#lvt.endOfInterrupt(vector)
    if ((words[SVR]! & SVR_SUPPRESS_EOI) === 0) this.#bus.broadcastEoi(vector)
  }

  #error(bit: number): void {
    this.words[ERRORS]! |= bit
    // An illegal vector in this entry itself is recorded and goes no further.
    const lvt = this.words[APIC_LVT_ERROR >> 4]!
    if ((lvt & LVT_MASKED) === 0 && (lvt & 0xff) >= 16) this.accept(lvt & 0xff, false)
  }

  // ---- what arrives ----

  /**
   * A fixed interrupt arrives.
   *
   * @returns whether the APIC took it: it must be enabled
   */
  accept(vector: number, level: boolean): boolean {
    if (!this.#enabled) return false
    if (vector < 16) {
      this.#error(ESR_RECEIVED_ILLEGAL_VECTOR)
      return false
    }
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    if (level) Atomics.or(this.words, TMR + index, bit)
    else Atomics.and(this.words, TMR + index, ~bit)
    Atomics.or(this.words, IRR + index, bit)
    // The vCPU's own look computes what follows.
    this.#touch()
    this.#bus.wake(this.cpu)
    return true
  }

  /** An NMI arrives; a second one before the first was taken is the same one. */
  nmi(): void {
    this.#latch(EVENT_NMI)
  }

  /** An SMI arrives. */
  smi(): void {
    this.#latch(EVENT_SMI)
  }

  /** An INIT arrives; it overtakes a SIPI that was not taken yet. */
  init(): void {
    Atomics.and(this.words, EVENTS, ~EVENT_SIPI)
    this.#latch(EVENT_INIT)
  }

  /** A start-up message arrives: execution at `vector` · 4096. */
  sipi(vector: number): void {
    this.words[SIPI_VECTOR] = vector & 0xff
    this.#latch(EVENT_SIPI)
  }

  /** An ExtINT message arrives: the vector is the i8259's. */
  extInt(): void {
    if (this.present && !this.#enabled) return
    this.#latch(EVENT_EXTINT | EXTINT_MESSAGE)
  }

  #latch(event: number): void {
    Atomics.or(this.words, EVENTS, event)
    this.#bus.wake(this.cpu)
  }

  /** Drives LINT0 (the i8259's INT on a PC) or LINT1 (NMI). */
  setLint(pin: 0 | 1, level: boolean): void {
    if (this.#lvt.level(pin) === level) return
    // Without its APIC the processor has the pins INTR and NMI.
    this.#lvt.drive(pin, level, this.present)
    if (!this.present && pin === 1 && level) this.nmi()
    if (pin === 0) {
      // ExtINT follows the wire: it goes when the i8259 takes its request back.
      this.#changed()
    }
  }

  /** Performance-counter overflow (the PMC entry masks itself), thermal event, or corrected machine check. */
  signalLvt(entry: 'performance' | 'thermal' | 'cmci'): void {
    this.#lvt.deliver(entry === 'performance' ? APIC_LVT_PMC : entry === 'thermal' ? APIC_LVT_THERMAL : APIC_LVT_CMCI)
    if (entry === 'performance') this.words[APIC_LVT_PMC >> 4]! |= LVT_MASKED
  }

  /**
   * Whether a message's destination names this APIC.
   *
   * @param destination - in x2APIC width; `DESTINATION_ALL` is everybody
   */
  matches(destination: number, logical: boolean): boolean {
    if (!this.present) return false
    if (destination === DESTINATION_ALL) return true
    if (!logical) return destination === this.apicId
    const ldr = this.words[LDR]!
    return this.x2apic
      ? matchesX2apicLogical(ldr, destination)
      : matchesXapicLogical(ldr >>> 24, this.words[DFR]! >>> 28, destination)
  }

  /** Whether the APIC takes part in lowest-priority arbitration, and with what priority. */
  get arbitrates(): boolean {
    return this.#enabled
  }
  get processorPriority(): number {
    this.#updatePpr()
    return this.words[PPR]!
  }

  // ---- x2APIC ----

  /**
   * Reads an x2APIC register by MSR index (0x800–0x8FF) into `lo` and `hi`; see `readMsr`'s caller for #GP.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, or a write-only one
   */
  readMsr(index: number, into: { lo: number; hi: number }): boolean {
    const offset = (index & 0xff) << 4
    if (!this.x2apic || !this.#isX2Register(offset) || offset === APIC_EOI || offset === APIC_SELF_IPI) return false
    into.lo = this.#get(offset)
    into.hi = offset === APIC_ICR ? this.words[ICR2]! >>> 0 : 0
    return true
  }

  /**
   * Writes an x2APIC register by MSR index.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, a read-only one, or reserved bits
   */
  writeMsr(index: number, lo: number, hi: number): boolean {
    const offset = (index & 0xff) << 4
    if (!this.x2apic || !this.#isX2Register(offset) || !x2apicWriteAllowed(offset, lo, hi, this.#svrWritable)) {
      return false
    }
    if (offset === APIC_ICR) {
      // One 64-bit register; the destination is all of the high word.
      this.words[ICR] = lo & ICR_WRITABLE
      this.words[ICR2] = hi
      this.#sendIcr(this.words[ICR]!, hi >>> 0)
    } else if (offset === APIC_SELF_IPI) {
      if (lo < 16) this.#error(ESR_SEND_ILLEGAL_VECTOR)
      else this.accept(lo, false)
    } else {
      this.#set(offset, lo)
    }
    return true
  }

  #isX2Register(offset: number): boolean {
    return isX2apicRegister(offset) || (offset === APIC_LVT_CMCI && this.#cmci)
  }

  /** IA32_TSC_DEADLINE. */
  get tscDeadlineLo(): number {
    return this.#timer.deadlineLo
  }
  get tscDeadlineHi(): number {
    return this.#timer.deadlineHi
  }

  /** A write of IA32_TSC_DEADLINE. */
  setTscDeadline(lo: number, hi: number): void {
    this.#timer.setDeadline(lo, hi)
  }

  /** The TSC was changed or its offset was: a deadline is looked at anew. */
  tscChanged(): void {
    this.#timer.resume()
  }

  // ---- state ----

  save(): LocalApicState {
    this.events()
    return { version: 1, words: Array.from(this.words.subarray(0, 96)), timerStartNs: this.#doubles[48]! }
  }

  /** @throws IrqchipError `ERR_STATE` for a state of another shape or version */
  restore(state: LocalApicState): void {
    if (state.version !== 1 || state.words.length !== 96) {
      throw new IrqchipError(
        'ERR_STATE',
        `local APIC state of version ${String(state.version)}: expected 1, with 96 words`,
      )
    }
    this.words.set(state.words)
    this.#taskPriority = state.words[TPR]!
    this.#doubles[48] = state.timerStartNs
    this.#touch()
    this.#bus.wake(this.cpu)
    this.#timer.resume()
  }
}
