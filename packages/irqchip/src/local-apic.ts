import { viewed } from '@retrap/device'
import * as apicRegisters from './apic-registers.ts'
import { isInPage, isMsr, isMsrWriteAllowed, wideDestination } from './apic-registers.ts'
import { ApicInterrupts } from './apic-interrupts.ts'
import type { LocalApicOptions } from './local-apic-options.ts'
import { LVT, localApicRecord } from './local-apic-state.ts'

/** Reserved bits of IA32_APIC_BASE: 7:0 and 9. */
const BASE_RESERVED = 0x2ff
const MODES: number = apicRegisters.APIC_BASE_EN | apicRegisters.APIC_BASE_EXTD

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
// apic-registers.ts has names, numbers and places of the registers, apic-interrupts.ts the choice of interrupts, and
// apic-timer.ts the timer's counting.
export class LocalApic extends ApicInterrupts {
  /** The registers that may be read from memory. */
  readonly storedRegisters: StoredRegisters
  readonly #apicId: number
  readonly #bootstrap: boolean
  readonly #cmci: boolean
  readonly #version: number
  /** Bits of the spurious-vector register that exist. */
  readonly #svrWritable: number
  /** Reserved bits of IA32_APIC_BASE. */
  readonly #baseReservedLo: number
  readonly #baseReservedHi: number

  /** @throws IrqchipError `ERR_INVALID` for an option of the wrong type or out of range */
  constructor(options: LocalApicOptions) {
    super(options)
    const directedEoi = options.directedEoi ?? true
    this.storedRegisters = { byteOffset: this.words.byteOffset, ...apicRegisters.STORED_REGISTERS }
    this.#apicId = options.apicId ?? options.cpu
    this.#bootstrap = options.bootstrap
    this.#cmci = options.cmci ?? false
    // Version 0x14: an integrated APIC. Bits 23:16: highest LVT entry.
    this.#version = 0x14 | ((this.#cmci ? 6 : 5) << 16) | (directedEoi ? 1 << 24 : 0)
    this.#svrWritable = 0x1ff | (directedEoi ? apicRegisters.SVR_SUPPRESS_EOI : 0)
    this.#baseReservedLo = BASE_RESERVED | ((options.x2apic ?? true) ? 0 : apicRegisters.APIC_BASE_EXTD)
    this.#baseReservedHi = ~((1 << ((options.physicalBits ?? 40) - 32)) - 1)
    const taskPriority = viewed(
      () => this.taskPriority,
      (priority) => (this.taskPriority = priority),
    )
    this.keeps(localApicRecord(this.words, taskPriority, this.timer.state), {
      device: 'local APIC',
      flat: ['registers'],
      settled: () => this.#restored(),
    })
    if (!this.isDetached) this.reset()
  }

  // ---------------------------------------------------------------- reset

  /** Restores the power-on state. */
  override reset(): void {
    const words = this.words
    const events = words[apicRegisters.W.EVENTS]!
    this.priorityRecord = null
    words.fill(0)
    words[apicRegisters.W.BASE_LO] =
      apicRegisters.APIC_BASE_ADDRESS | apicRegisters.APIC_BASE_EN | (this.#bootstrap ? apicRegisters.APIC_BASE_BSP : 0)
    this.initReset()
    if (events !== 0) this.bus.wake(this.cpu)
  }

  /** State after INIT: as after power-on, but for base, ID and the lines' levels. A SIPI that came later stays. */
  protected override initReset(): void {
    const words = this.words
    words.fill(0, 0, apicRegisters.REGISTER_WORDS)
    this.taskPriority = 0
    words[apicRegisters.W.ERRORS] = 0
    Atomics.and(words, apicRegisters.W.EVENTS, apicRegisters.EVENT_SIPI | apicRegisters.EVENT_INIT)
    words[apicRegisters.W.DFR] = -1
    words[apicRegisters.W.SVR] = 0xff
    for (const index of Object.values(LVT)) words[index] = apicRegisters.LVT_MASKED
    this.timer.stop()
    this.#resetIdentity()
    this.touch()
  }

  /** Sets the ID register, and in x2APIC mode the logical destination, which software cannot choose there. */
  #resetIdentity(): void {
    const words = this.words
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

  /** Whether the APIC is in x2APIC mode. */
  get x2apic(): boolean {
    return (this.words[apicRegisters.W.BASE_LO]! & apicRegisters.APIC_BASE_EXTD) !== 0
  }

  /** Whether the register page is decoded. */
  get pageEnabled(): boolean {
    return (this.words[apicRegisters.W.BASE_LO]! & MODES) === apicRegisters.APIC_BASE_EN
  }
  /** Whether an address lies in the page, and the page is decoded. Asked for every access of a guest to a device. */
  decodes(gpa: number): boolean {
    // Most addresses differ in the low word: the rest is apart, so that this much is inlined everywhere.
    return ((gpa ^ this.words[apicRegisters.W.BASE_LO]!) & ~0xfff) === 0 && this.#isInPage(gpa)
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
    return this.words[apicRegisters.W.BASE_LO]! >>> 0
  }
  /** High word of IA32_APIC_BASE. */
  get apicBaseHi(): number {
    return this.words[apicRegisters.W.BASE_HI]! >>> 0
  }

  /**
   * Writes IA32_APIC_BASE.
   *
   * @returns false for #GP: a reserved bit, or a transition that does not exist
   */
  setApicBase(lo: number, hi: number): boolean {
    if ((lo & this.#baseReservedLo) !== 0 || (hi & this.#baseReservedHi) !== 0) return false
    const old = this.words[apicRegisters.W.BASE_LO]! & MODES
    const next = lo & MODES
    if (next === apicRegisters.APIC_BASE_EXTD) return false
    if (old === MODES && next === apicRegisters.APIC_BASE_EN) return false
    if (old === 0 && next === MODES) return false
    this.words[apicRegisters.W.BASE_LO] = lo
    this.words[apicRegisters.W.BASE_HI] = hi
    if (next !== old) {
      if (next === 0) this.initReset()
      else this.#resetIdentity()
    }
    this.changed()
    this.bus.receptionChanged()
    return true
  }

  // ---------------------------------------------------------------- the register page
  // Source: SDM vol. 3A, "Local APIC Register Address Map".

  /** Reads a register of the page. Only offsets that are multiples of 16 are registers; the rest reads 0. */
  read(offset: number): number {
    if ((offset & 0xf) !== 0 || offset >>> 0 >= 0x400) return 0
    const index = offset >> 4
    return apicRegisters.STORED[index] === 1 ? this.words[index]! >>> 0 : this.#readOther(index)
  }

  #readOther(index: number): number {
    if (isInPage(index, this.#cmci)) return this.#get(index)
    this.error(apicRegisters.ESR_ILLEGAL_REGISTER)
    return 0
  }

  /** Writes a register of the page. */
  write(offset: number, value: number): void {
    if ((offset & 0xf) !== 0 || offset >>> 0 >= 0x400) return
    if (isInPage(offset >> 4, this.#cmci)) this.#set(offset >> 4, value)
    else this.error(apicRegisters.ESR_ILLEGAL_REGISTER)
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
        return this.taskPriority
      case apicRegisters.W.PPR:
        return this.processorPriority
      case apicRegisters.W.TMCCT:
        // If the machine noticed the timer's end late, raise its interrupt before the guest sees the count.
        this.timer.settle()
        return this.timer.count()
      default:
        return this.words[index]! >>> 0
    }
  }

  #set(index: number, value: number): void {
    const words = this.words
    switch (index) {
      case apicRegisters.W.TPR:
        this.taskPriority = value & 0xff
        this.changed()
        return
      case apicRegisters.W.EOI:
        this.endOfInterrupt()
        return
      case apicRegisters.W.LDR:
        words[apicRegisters.W.LDR] = value & 0xff00_0000
        this.bus.receptionChanged()
        return
      case apicRegisters.W.DFR:
        words[apicRegisters.W.DFR] = value | 0x0fff_ffff
        this.bus.receptionChanged()
        return
      case apicRegisters.W.SVR:
        words[apicRegisters.W.SVR] = value & this.#svrWritable
        if ((value & apicRegisters.SVR_ENABLE) === 0)
          for (const index of Object.values(LVT)) words[index]! |= apicRegisters.LVT_MASKED
        this.changed()
        if ((value & apicRegisters.SVR_ENABLE) !== 0) this.bus.receptionChanged()
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
        this.timer.start(value >>> 0)
        return
      case apicRegisters.W.TDCR:
        this.timer.divide(value & 0xb)
        return
      default:
        if (apicRegisters.LVT_WRITABLE[index] !== undefined) this.writeLvt(index, value)
      // ID, version, ISR and their like are read-only: such a write is ignored.
    }
  }

  #sendIcr(): void {
    const icr = this.words[apicRegisters.W.ICR]!
    const mode = (icr >>> 8) & 7
    if (
      (mode === apicRegisters.DM_FIXED || mode === apicRegisters.DM_LOWEST) &&
      (icr & 0xff) < apicRegisters.FIRST_LEGAL_VECTOR
    ) {
      this.error(apicRegisters.ESR_SEND_ILLEGAL_VECTOR)
      return
    }
    const high = this.words[apicRegisters.W.ICR2]! >>> 0
    this.bus.sendIpi(this.cpu, icr, this.x2apic ? high : wideDestination(high >>> 24))
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
    into.hi = number === apicRegisters.W.ICR ? this.words[apicRegisters.W.ICR2]! >>> 0 : 0
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
      if (lo < apicRegisters.FIRST_LEGAL_VECTOR) this.error(apicRegisters.ESR_SEND_ILLEGAL_VECTOR)
      else this.accept(lo, false)
      return true
    }
    // x2APIC has one 64-bit ICR, with the destination in the whole high word.
    if (number === apicRegisters.W.ICR) this.words[apicRegisters.W.ICR2] = hi
    this.#set(number, lo)
    return true
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
    const ldr = this.words[apicRegisters.W.LDR]!
    // x2APIC: a cluster in the high half, bits for its members in the low half.
    if (this.x2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0
    if (destination > 0xff) return false
    const own = ldr >>> 24
    if (this.words[apicRegisters.W.DFR]! >>> 28 === FLAT_MODEL) return (own & destination) !== 0
    const cluster = destination >>> 4
    return (cluster === ALL_CLUSTERS || cluster === own >>> 4) && (own & destination & 0xf) !== 0
  }

  // ---------------------------------------------------------------- TSC deadline

  /** Low word of IA32_TSC_DEADLINE; 0 outside that mode. */
  get tscDeadlineLo(): number {
    return this.timer.deadlineLo
  }
  /** High word of IA32_TSC_DEADLINE; 0 outside that mode. */
  get tscDeadlineHi(): number {
    return this.timer.deadlineHi
  }

  /** Writes IA32_TSC_DEADLINE. A deadline in the past fires at once. */
  setTscDeadline(lo: number, hi: number): void {
    this.timer.setDeadline(lo, hi)
  }

  /** Tells that the TSC or its offset was changed: the time of the deadline is computed anew. */
  tscChanged(): void {
    this.timer.tscChanged()
  }

  #restored(): void {
    // The state may come from an APIC with another ID.
    const destination = this.words[apicRegisters.W.LDR]!
    this.#resetIdentity()
    this.words[apicRegisters.W.LDR] = destination
    this.touch()
    this.bus.wake(this.cpu)
  }
}
