import type { DebugPoints } from '@retrap/engine'
import { PAGE_SHIFT } from '@retrap/memory'
import { SEG_BASE, CS, S_CR4, S_DR, S_EFLAGS, S_RIP, FLAG_RF } from '../state/state-layout.ts'
import { CR4_DE } from '../state/architecture.ts'
import type { System } from './system.ts'
import { S_PENDING_DEBUG } from '../state/system-state.ts'

/**
 * A debugger's requests to one processor, as the processor sees them. Without a debugger there is none, and the checks for it
 * lie outside generated code.
 */
export interface DebugHooks {
  /** Breakpoints, and data that is watched: instructions that touch it are executed alone. */
  readonly points: DebugPoints
  /** A step is under way: instructions are executed one at a time, and interrupts are held off where the debugger says so. */
  readonly stepping: boolean
  /** A fault that the debugger has been told of is to be delivered next. */
  readonly holdsFault: boolean
  /** Whether to stop before the instruction at a linear address. @param cost - of the vCPU: see `Vcpu.cost` */
  stopsAt(lo: number, hi: number, cost: number): boolean
  /** Whether to stop between two instructions: something watched was accessed, or a step has ended. */
  stopsBetween(cost: number): boolean
  /** Whether to stop before an exception is delivered. {@link holdsFault} is set then. */
  stopsForFault(vector: number, errorCode: number, addressLo: number, addressHi: number): boolean
  /** Whether to stop for a triple fault. */
  stopsForShutdown(): boolean
  /** The held fault is delivered now. */
  releaseFault(): void
  /** The processor has forgotten the instruction that it was to go on with: it may be anywhere now. */
  cancelled(): void
}

/** Holds the debugger's hooks into one processor; null: there is no debugger. */
export class DebugSlot {
  hooks: DebugHooks | null = null
}

export const S_DR7: number = S_DR + 7 * 8
/** L0–G3: none of the breakpoints is enabled where these are clear. */
export const DR7_ENABLES = 0xff

// R/W fields of DR7 (SDM vol. 3B, "Debug Control Register (DR7)").
const BREAK_EXECUTE = 0
const BREAK_WRITE = 1
const BREAK_PORT = 2
const BREAK_ACCESS = 3

/** Bytes that a LEN field stands for. */
const LENGTHS: readonly number[] = [1, 2, 8, 4]

/** Whether an enabled breakpoint is for instructions: then they are run one at a time. */
export function hasInstructionBreakpoints(s: System): boolean {
  const dr7 = s.get(S_DR7)
  return (dr7 & DR7_ENABLES) !== 0 && enablesInstructions(dr7)
}

function enablesInstructions(dr7: number): boolean {
  for (let i = 0; i < 4; i++) if (isEnabled(dr7, i) && kindOf(dr7, i) === BREAK_EXECUTE) return true
  return false
}

/** Whether an enabled breakpoint is for data: then accesses of its page are looked at one by one. */
export function hasDataBreakpoints(s: System): boolean {
  const dr7 = s.get(S_DR7)
  return (dr7 & DR7_ENABLES) !== 0 && enablesData(dr7)
}

function enablesData(dr7: number): boolean {
  for (let i = 0; i < 4; i++) if (isEnabled(dr7, i) && (kindOf(dr7, i) & BREAK_WRITE) !== 0) return true
  return false
}

function kindOf(dr7: number, i: number): number {
  return (dr7 >>> (16 + 4 * i)) & 3
}

function lengthOf(dr7: number, i: number): number {
  return LENGTHS[(dr7 >>> (18 + 4 * i)) & 3]!
}

function isEnabled(dr7: number, i: number): boolean {
  return ((dr7 >>> (2 * i)) & 3) !== 0
}

/** Whether `size` bytes from an address touch those of breakpoint `i`, whose low address bits do not count. */
function touches(s: System, i: number, lo: number, hi: number, size: number, length: number): boolean {
  const startLo = (s.get(S_DR + 8 * i) & ~(length - 1)) >>> 0
  const startHi = s.get(S_DR + 8 * i + 4)
  // Distance in 64 bits, either way.
  const forwards = difference(lo, hi, startLo, startHi)
  if (forwards >= 0 && forwards < length) return true
  const backwards = difference(startLo, startHi, lo, hi)
  return backwards >= 0 && backwards < size
}

/** a − b where that is less than 2^32 and not negative, else −1. */
function difference(aLo: number, aHi: number, bLo: number, bHi: number): number {
  const lo = (aLo >>> 0) - (bLo >>> 0)
  const hi = ((aHi >>> 0) - (bHi >>> 0) - (lo < 0 ? 1 : 0)) >>> 0
  return hi === 0 ? lo >>> 0 : -1
}

/**
 * Conditions for DR6 (bits B0–B3) that an instruction about to execute at CS:RIP meets, or 0. RF lets one instruction
 * pass.
 */
export function matchInstructionBreakpoints(s: System): number {
  const dr7 = s.get(S_DR7)
  if ((dr7 & 0xff) === 0 || (s.get(S_EFLAGS) & FLAG_RF) !== 0) return 0
  let lo = s.get(S_RIP)
  let hi = s.get(S_RIP + 4)
  if (!s.mode64) {
    lo = (lo + s.segmentField(CS, SEG_BASE)) >>> 0
    hi = 0
  }
  let hit = false
  let conditions = 0
  for (let i = 0; i < 4; i++) {
    if (kindOf(dr7, i) !== BREAK_EXECUTE) continue
    if (s.get(S_DR + 8 * i) !== lo || s.get(S_DR + 8 * i + 4) !== hi) continue
    conditions |= 1 << i
    if (isEnabled(dr7, i)) hit = true
  }
  return hit ? conditions : 0
}

/**
 * Conditions for DR6 (bits B0–B3) that a data access meets, or 0. For the slow access path; pages that
 * {@link pageHasDataBreakpoint} names must not get into the TLB.
 */
export function matchDataBreakpoints(s: System, lo: number, hi: number, size: number, write: boolean): number {
  const dr7 = s.get(S_DR7)
  if ((dr7 & 0xff) === 0) return 0
  let hit = false
  let conditions = 0
  for (let i = 0; i < 4; i++) {
    const kind = kindOf(dr7, i)
    if (!(kind === BREAK_ACCESS || (kind === BREAK_WRITE && write))) continue
    if (!touches(s, i, lo, hi, size, lengthOf(dr7, i))) continue
    conditions |= 1 << i
    if (isEnabled(dr7, i)) hit = true
  }
  return hit ? conditions : 0
}

/** Whether an enabled data breakpoint lies in the 4 KiB page of a linear address. */
export function pageHasDataBreakpoint(s: System, lo: number, hi: number): boolean {
  const dr7 = s.get(S_DR7)
  if ((dr7 & DR7_ENABLES) === 0) return false
  for (let i = 0; i < 4; i++) {
    const kind = kindOf(dr7, i)
    if (!isEnabled(dr7, i) || kind === BREAK_EXECUTE || kind === BREAK_PORT) continue
    if (s.get(S_DR + 8 * i) >>> PAGE_SHIFT === lo >>> PAGE_SHIFT && s.get(S_DR + 8 * i + 4) === hi >>> 0) return true
  }
  return false
}

/** I/O breakpoints, which exist with CR4.DE only: a trap after the instruction. */
export function matchPortBreakpoints(s: System, port: number, size: number): void {
  const dr7 = s.get(S_DR7)
  if ((dr7 & 0xff) === 0 || (s.get(S_CR4) & CR4_DE) === 0) return
  let hit = false
  let conditions = 0
  for (let i = 0; i < 4; i++) {
    if (kindOf(dr7, i) !== BREAK_PORT) continue
    if (!touches(s, i, port, 0, size, lengthOf(dr7, i))) continue
    conditions |= 1 << i
    if (isEnabled(dr7, i)) hit = true
  }
  if (hit) s.set(S_PENDING_DEBUG, s.get(S_PENDING_DEBUG) | conditions)
}

/** The data breakpoints of a processor's debug registers, and those of a debugger, as the path of data accesses asks for them. */
export class DataBreakpoints {
  readonly #system: System
  readonly #debug: DebugSlot
  /** Some data breakpoint is enabled; {@link refresh} derives it. */
  enabled = false
  /** One of them is the guest's own. */
  areGuests = false

  constructor(system: System, debug: DebugSlot) {
    this.#system = system
    this.#debug = debug
  }

  /** Takes a change of DR7, or of what a debugger watches, over. */
  refresh(): void {
    this.areGuests = hasDataBreakpoints(this.#system)
    this.enabled = this.areGuests || this.#debug.hooks?.points.watches === true
  }

  /** Whether an access meets one. */
  matches(lo: number, hi: number, size: number, write: boolean): boolean {
    if (matchDataBreakpoints(this.#system, lo, hi, size, write) !== 0) return true
    return this.#debug.hooks?.points.matches(lo, hi, size) === true
  }

  /** Notes those that an access meets: the trap comes when the instruction has retired. */
  note(lo: number, hi: number, size: number, write: boolean): void {
    const s = this.#system
    const conditions = matchDataBreakpoints(s, lo, hi, size, write)
    if (conditions !== 0) s.set(S_PENDING_DEBUG, s.get(S_PENDING_DEBUG) | conditions)
    this.#debug.hooks?.points.note(lo, hi, size, write)
  }

  /** Whether the page of an address has one, so that its accesses must not be found in the TLB. */
  watches(lo: number, hi: number): boolean {
    return pageHasDataBreakpoint(this.#system, lo, hi) || this.#debug.hooks?.points.watchesPage(lo, hi) === true
  }
}
