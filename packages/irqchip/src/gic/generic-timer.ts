import { fieldsPart, Instant, type PlainState, type StatePart, viewed, type Word64 } from '@retrap/device'
import { checkInteger, checkMethod, checkObject, regionFor, type StateRegion } from '../arguments.ts'
import { bitOf, Controller, namedWords } from '../saved-words.ts'
import { type ApicClock, type ApicTimer, Counter } from '../time.ts'
import * as registers from './registers.ts'

const ENABLE = 1
const IMASK = 2
const ISTATUS = 4

/* CNTKCTL_EL1. */
const EL0PCTEN = 1
const EL0VCTEN = 2
const EVNTEN = 4
const EVNTDIR = 8
const EL0VTEN = 1 << 8
const EL0PTEN = 1 << 9
/** With EVNTI, bits 7:4, the number of a bit of the virtual count. */
const KERNEL_CONTROL_BITS = EL0PCTEN | EL0VCTEN | EVNTEN | EVNTDIR | 0xf0 | EL0VTEN | EL0PTEN

/* State words of a vCPU: the virtual timer's three, the physical timer's three, then these. */
const TIMER_WORDS = 3
const CONTROL = 0
const COMPARE_LO = 1
const COMPARE_HI = 2
const VIRTUAL = 0
const PHYSICAL = TIMER_WORDS
const KERNEL_CONTROL = 6
const OFFSET_LO = 7
const OFFSET_HI = 8
/** Levels of the interrupts: bit 0 virtual, bit 1 physical. */
const LEVELS = 9
/** 1 while the vCPU waits for an event. */
const WAITS = 10
/** Low word of the armed deadline, with inverted bits: 0 means none. */
const DEADLINE_LO = 11
const DEADLINE_HI = 12
const CPU_WORDS = 14
/** Words of a timer, and of a vCPU, that are saved unchanged. */
const TIMER_FIELDS = { control: CONTROL, compareLo: COMPARE_LO, compareHi: COMPARE_HI }
const CPU_FIELDS = { kernelControl: KERNEL_CONTROL, offsetLo: OFFSET_LO, offsetHi: OFFSET_HI }

/** Options of {@link GenericTimers}. */
export interface GenericTimersOptions {
  /** vCPUs, 1–64. */
  readonly cpus: number
  /** The machine's clock. */
  readonly clock: ApicClock
  /** Drives the private interrupt of a timer: `VIRTUAL_TIMER_PPI` or `PHYSICAL_TIMER_PPI`. `GicV3.setPpi` is such. */
  line(cpu: number, intid: number, level: boolean): void
  /** The event stream of a vCPU that waits for an event has one. Default: nobody waits. */
  event?(cpu: number): void
  /** Frequency of the counter, 1 MHz to 1 GHz. Default 62.5 MHz. */
  readonly hz?: number
  /** `genericTimersStateBytes(cpus)` of machine memory, zeroed; default a new buffer. */
  readonly state?: StateRegion
}

/** Saved state of {@link GenericTimers}. */
export type GenericTimersState = PlainState

/** Counts the bytes of machine memory that the state of {@link GenericTimers} takes. */
export function genericTimersStateBytes(cpus: number): number {
  checkInteger('cpus', cpus, 1, 64)
  return 4 * CPU_WORDS * cpus
}

/**
 * The generic timers of all vCPUs at EL1: one counter, and for each vCPU a virtual and a physical timer.
 *
 * The counter is the machine's clock. Each vCPU has at most one deadline there: the next change of an interrupt, or the
 * next event while it waits for one. The machine may be late with it: registers are exact all the same, and a read of a control
 * register drives the interrupt that its status bit announces.
 *
 * Source: Arm ARM DDI 0487, D12 "The Generic Timer in AArch64 state".
 */
export class GenericTimers extends Controller {
  /** vCPUs. */
  readonly cpus: number
  /** Frequency of the counter. */
  readonly hz: number
  readonly #words: Int32Array
  readonly #clock: ApicClock
  readonly #counter: Counter
  readonly #line: (cpu: number, intid: number, level: boolean) => void
  readonly #event: (cpu: number) => void
  readonly #timers: readonly ApicTimer[]
  readonly #now = new Instant()
  readonly #deadline = new Instant()
  readonly #at = new Instant()
  readonly #count: Word64 = { lo: 0, hi: 0 }
  readonly #target: Word64 = { lo: 0, hi: 0 }

  /** @throws IrqchipError `ERR_INVALID` for a wrong argument */
  constructor(options: GenericTimersOptions) {
    super()
    checkObject('options', options)
    const { cpus, clock, hz = 62_500_000 } = options
    const bytes = genericTimersStateBytes(cpus)
    checkObject('clock', clock)
    checkMethod(clock, 'read')
    checkMethod(clock, 'timer')
    checkMethod(options, 'line')
    checkMethod(options, 'event', 'optional')
    checkInteger('hz', hz, 1e6, 1e9)
    const state = regionFor(bytes, options.state)
    this.cpus = cpus
    this.hz = hz
    this.#words = new Int32Array(state.buffer, state.byteOffset, bytes / 4)
    this.#clock = clock
    this.#counter = new Counter(hz)
    this.#line = (cpu, intid, level) => options.line(cpu, intid, level)
    this.#event = (cpu) => options.event?.(cpu)
    this.#timers = Array.from({ length: cpus }, (_, cpu) => clock.timer(() => this.#expired(cpu)))
    this.keeps(
      { version: 1, cpus: Array.from({ length: cpus }, (_, cpu) => this.#savedCpu(cpu)) },
      { device: 'timers' },
    )
  }

  /**
   * Reads a system register of a vCPU.
   *
   * @param encoding - op0:op1:CRn:CRm:op2, 16 bits, as encoded in MRS
   * @returns false for registers of other units
   */
  readSystemRegister(cpu: number, encoding: number, into: Word64): boolean {
    const words = this.#words
    const block = CPU_WORDS * cpu
    into.hi = 0
    switch (encoding) {
      case registers.CNTFRQ_EL0:
        into.lo = this.hz
        return true
      case registers.CNTPCT_EL0:
        this.#readCount(block, PHYSICAL, into)
        return true
      case registers.CNTVCT_EL0:
        this.#readCount(block, VIRTUAL, into)
        return true
      case registers.CNTKCTL_EL1:
        into.lo = words[block + KERNEL_CONTROL]!
        return true
      case registers.CNTV_CTL_EL0:
      case registers.CNTP_CTL_EL0: {
        const timer = timerOf(encoding)
        const control = words[block + timer + CONTROL]!
        const met = (control & ENABLE) !== 0 && this.#isMet(block, timer)
        // If the machine noticed the deadline late, raise the interrupt before the guest sees that it is due.
        const asserted = (words[block + LEVELS]! & (timer === VIRTUAL ? 1 : 2)) !== 0
        if (asserted !== (met && (control & IMASK) === 0)) this.#update(cpu)
        into.lo = control | (met ? ISTATUS : 0)
        return true
      }
      case registers.CNTV_CVAL_EL0:
      case registers.CNTP_CVAL_EL0:
        into.lo = words[block + timerOf(encoding) + COMPARE_LO]! >>> 0
        into.hi = words[block + timerOf(encoding) + COMPARE_HI]! >>> 0
        return true
      case registers.CNTV_TVAL_EL0:
      case registers.CNTP_TVAL_EL0: {
        const timer = timerOf(encoding)
        this.#readCount(block, timer, this.#count)
        into.lo = (words[block + timer + COMPARE_LO]! - this.#count.lo) >>> 0
        return true
      }
      default:
        return false
    }
  }

  /** Writes a timer's system register. @returns false for registers of other units, and for read-only ones */
  writeSystemRegister(cpu: number, encoding: number, lo: number, hi: number): boolean {
    const words = this.#words
    const block = CPU_WORDS * cpu
    switch (encoding) {
      case registers.CNTKCTL_EL1:
        words[block + KERNEL_CONTROL] = lo & KERNEL_CONTROL_BITS
        break
      case registers.CNTV_CTL_EL0:
      case registers.CNTP_CTL_EL0:
        words[block + timerOf(encoding) + CONTROL] = lo & (ENABLE | IMASK)
        break
      case registers.CNTV_CVAL_EL0:
      case registers.CNTP_CVAL_EL0:
        words[block + timerOf(encoding) + COMPARE_LO] = lo
        words[block + timerOf(encoding) + COMPARE_HI] = hi
        break
      case registers.CNTV_TVAL_EL0:
      case registers.CNTP_TVAL_EL0: {
        const timer = timerOf(encoding)
        const count = this.#count
        this.#readCount(block, timer, count)
        // The value is signed: the compare value may lie in the past.
        const sum = count.lo + (lo >>> 0)
        words[block + timer + COMPARE_LO] = sum
        words[block + timer + COMPARE_HI] = count.hi + (lo >> 31) + (sum > 0xffff_ffff ? 1 : 0)
        break
      }
      default:
        return false
    }
    this.#update(cpu)
    return true
  }

  /** Sets a vCPU's CNTVOFF_EL2: the virtual count is the physical one less this. */
  setVirtualOffset(cpu: number, lo: number, hi: number): void {
    checkInteger('vCPU', cpu, 0, this.cpus - 1)
    this.#words[CPU_WORDS * cpu + OFFSET_LO] = lo
    this.#words[CPU_WORDS * cpu + OFFSET_HI] = hi
    this.#update(cpu)
  }

  /** A vCPU begins, or ceases, to wait for an event: `event` is called once, at the next one of its stream. */
  waitForEvent(cpu: number, waits: boolean): void {
    checkInteger('vCPU', cpu, 0, this.cpus - 1)
    this.#words[CPU_WORDS * cpu + WAITS] = waits ? 1 : 0
    this.#update(cpu)
  }

  /** Reads a timer's count. */
  #readCount(block: number, timer: number, into: Word64): void {
    this.#clock.read(this.#now)
    this.#counter.countAt(this.#now, into)
    if (timer === PHYSICAL) return
    subtract(into, this.#words[block + OFFSET_LO]! >>> 0, this.#words[block + OFFSET_HI]! >>> 0)
  }

  /** Whether a timer's count has reached its compare value, both unsigned. */
  #isMet(block: number, timer: number): boolean {
    const count = this.#count
    this.#readCount(block, timer, count)
    const hi = this.#words[block + timer + COMPARE_HI]! >>> 0
    return count.hi > hi || (count.hi === hi && count.lo >= this.#words[block + timer + COMPARE_LO]! >>> 0)
  }

  /** Drives the interrupts of a vCPU, and arms its deadline. */
  #update(cpu: number): void {
    const words = this.#words
    const block = CPU_WORDS * cpu
    this.#deadline.clear()
    const levels = this.#look(block, VIRTUAL, 1) | this.#look(block, PHYSICAL, 2)
    if (words[block + WAITS] !== 0 && (words[block + KERNEL_CONTROL]! & EVNTEN) !== 0) this.#nextEvent(block)
    this.#arm(cpu)
    const changed = levels ^ words[block + LEVELS]!
    words[block + LEVELS] = levels
    if ((changed & 1) !== 0) this.#line(cpu, registers.VIRTUAL_TIMER_PPI, (levels & 1) !== 0)
    if ((changed & 2) !== 0) this.#line(cpu, registers.PHYSICAL_TIMER_PPI, (levels & 2) !== 0)
  }

  /** Arms a vCPU's deadline. */
  #arm(cpu: number): void {
    const deadline = this.#deadline
    if (deadline.isNever) this.#timers[cpu]!.cancel()
    else this.#timers[cpu]!.armAfter(0, deadline)
    this.#words[CPU_WORDS * cpu + DEADLINE_LO] = ~deadline.lo
    this.#words[CPU_WORDS * cpu + DEADLINE_HI] = ~deadline.hi
  }

  /** Returns `bit` if a timer interrupts; otherwise makes the time at which it will the deadline, if that is earlier. */
  #look(block: number, timer: number, bit: number): number {
    if ((this.#words[block + timer + CONTROL]! & (ENABLE | IMASK)) !== ENABLE) return 0
    const isMet = this.#isMet(block, timer)
    const target = this.#target
    // A met condition stays met until the count wraps.
    target.lo = isMet ? 0 : this.#words[block + timer + COMPARE_LO]! >>> 0
    target.hi = isMet ? 0 : this.#words[block + timer + COMPARE_HI]! >>> 0
    subtract(target, this.#count.lo, this.#count.hi)
    if ((target.lo | target.hi) !== 0) this.#deadlineAfter(target)
    return isMet ? bit : 0
  }

  /** The next time that the chosen bit of the virtual count rises, or falls, is the deadline, if it is earlier. */
  #nextEvent(block: number): void {
    const control = this.#words[block + KERNEL_CONTROL]!
    const period = 2 << ((control >> 4) & 15)
    const edge = (control & EVNTDIR) !== 0 ? 0 : period / 2
    this.#readCount(block, VIRTUAL, this.#count)
    const target = this.#target
    target.lo = ((edge - this.#count.lo - 1) & (period - 1)) + 1
    target.hi = 0
    this.#deadlineAfter(target)
  }

  /** Considers the time at which this many more ticks have been counted. */
  #deadlineAfter(ticks: Word64): void {
    const at = this.#at
    this.#counter.countAt(this.#now, at)
    const lo = at.lo + ticks.lo
    const hi = at.hi + ticks.hi + (lo > 0xffff_ffff ? 1 : 0)
    // The machine's clock ends before the count wraps.
    if (hi > 0xffff_ffff) return
    at.lo = lo >>> 0
    at.hi = hi
    this.#counter.timeOf(at)
    if (at.isBefore(this.#deadline)) this.#deadline.set(at)
  }

  #expired(cpu: number): void {
    const block = CPU_WORDS * cpu
    // A timer's own deadline also ends the wait, by its interrupt.
    const waited = this.#words[block + WAITS] !== 0 && (this.#words[block + KERNEL_CONTROL]! & EVNTEN) !== 0
    this.#words[block + WAITS] = 0
    this.#update(cpu)
    if (waited) this.#event(cpu)
  }

  /** Power-on state: timers off. The virtual offsets, which are the hypervisor's, stay. */
  override reset(): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const block = CPU_WORDS * cpu
      this.#words.fill(0, block, block + OFFSET_LO)
      this.#words[block + WAITS] = 0
      this.#update(cpu)
    }
  }

  /** Returns the part that saves a vCPU's timers. */
  #savedCpu(cpu: number): StatePart {
    const words = this.#words
    const block = CPU_WORDS * cpu
    const timer = (at: number, bit: number): StatePart =>
      fieldsPart(
        { registers: namedWords(words, TIMER_FIELDS, block + at), asserted: bitOf(words, block + LEVELS, bit) },
        { flat: ['registers'] },
      )
    const inverted = (index: number): StatePart =>
      viewed(
        () => ~words[index]! >>> 0,
        (word) => (words[index] = ~word),
      )
    return fieldsPart(
      {
        virtual: timer(VIRTUAL, 1),
        physical: timer(PHYSICAL, 2),
        registers: namedWords(words, CPU_FIELDS, block),
        waits: bitOf(words, block + WAITS, 1),
        deadlineLo: inverted(block + DEADLINE_LO),
        deadlineHi: inverted(block + DEADLINE_HI),
      },
      { flat: ['registers'], settled: () => this.#restored(cpu) },
    )
  }

  /**
   * Drives the interrupts of a restored vCPU to the levels that they had. Events that have become due since the machine looked at
   * the timers last come when it looks again, as they would have.
   */
  #restored(cpu: number): void {
    const words = this.#words
    const block = CPU_WORDS * cpu
    for (const timer of [VIRTUAL, PHYSICAL]) words[block + timer + CONTROL]! &= ENABLE | IMASK
    words[block + KERNEL_CONTROL]! &= KERNEL_CONTROL_BITS
    this.#deadline.lo = ~words[block + DEADLINE_LO]! >>> 0
    this.#deadline.hi = ~words[block + DEADLINE_HI]! >>> 0
    this.#arm(cpu)
    this.#line(cpu, registers.VIRTUAL_TIMER_PPI, (words[block + LEVELS]! & 1) !== 0)
    this.#line(cpu, registers.PHYSICAL_TIMER_PPI, (words[block + LEVELS]! & 2) !== 0)
  }
}

/** First word of the timer that a register belongs to. */
function timerOf(encoding: number): number {
  return ((encoding >> 3) & 15) === 2 ? PHYSICAL : VIRTUAL
}

/** Subtracts a 64-bit number, modulo 2^64. */
function subtract(from: Word64, lo: number, hi: number): void {
  const borrow = from.lo < lo ? 1 : 0
  from.lo = (from.lo - lo) >>> 0
  from.hi = (from.hi - hi - borrow) >>> 0
}
