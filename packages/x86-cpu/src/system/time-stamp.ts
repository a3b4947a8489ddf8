import { VECTOR_GP } from '../state/vectors.ts'
import { STATUS_DONE, S_CR4, S_TSC_AUX, S_TSC_OFFSET } from '../state/state-layout.ts'
import { CR4_PCE, CR4_TSD, RAX, RCX, RDX } from '../state/architecture.ts'
import type { Handler } from './operands.ts'
import { S_TSC_ADJUST } from '../state/system-state.ts'
import type { Words } from '../state/host.ts'
import type { System } from './system.ts'

const words: Words = { lo: 0, hi: 0 }

/** The time-stamp counter as the guest sees it, into `s.lo` and `s.hi`. */
export function readTimeStamp(s: System): void {
  s.host.timestamp(words)
  const lo = (words.lo >>> 0) + s.get(S_TSC_OFFSET)
  s.lo = lo >>> 0
  s.hi = ((words.hi >>> 0) + s.get(S_TSC_OFFSET + 4) + (lo > 0xffff_ffff ? 1 : 0)) >>> 0
}

/**
 * Moves a count of the host's counter on to where the TSC reaches a value; leaves it where the TSC is there or beyond, in
 * unsigned comparison. Where the host's counter ends before, it becomes 2^64 − 1.
 */
export function advanceToTsc(s: System, lo: number, hi: number, counter: Words): void {
  const tscLo = counter.lo + s.get(S_TSC_OFFSET)
  const tscHi = (counter.hi + s.get(S_TSC_OFFSET + 4) + (tscLo > 0xffff_ffff ? 1 : 0)) >>> 0
  let leftLo = (lo >>> 0) - (tscLo >>> 0)
  let leftHi = (hi >>> 0) - tscHi
  if (leftLo < 0) {
    leftLo += 0x1_0000_0000
    leftHi--
  }
  if (leftHi < 0) return
  const sum = counter.lo + leftLo
  counter.lo = sum >>> 0
  counter.hi += leftHi + (sum > 0xffff_ffff ? 1 : 0)
  if (counter.hi <= 0xffff_ffff) return
  counter.lo = 0xffff_ffff
  counter.hi = 0xffff_ffff
}

/** Adds a 64-bit difference to a field. */
function add(s: System, offset: number, lo: number, hi: number): void {
  const sum = s.get(offset) + lo
  s.set64(offset, sum, s.get(offset + 4) + hi + (sum > 0xffff_ffff ? 1 : 0))
}

/** Writes the counter: the difference goes to IA32_TSC_ADJUST too (SDM vol. 3B, "IA32_TSC_ADJUST Register Support"). */
export function writeTimeStamp(s: System, lo: number, hi: number): void {
  readTimeStamp(s)
  const differenceLo = lo - s.lo
  const differenceHi = (hi - s.hi - (differenceLo < 0 ? 1 : 0)) >>> 0
  add(s, S_TSC_OFFSET, differenceLo >>> 0, differenceHi)
  add(s, S_TSC_ADJUST, differenceLo >>> 0, differenceHi)
  s.host.timeStampMoved?.()
}

export function writeTscAdjust(s: System, lo: number, hi: number): void {
  const differenceLo = lo - s.get(S_TSC_ADJUST)
  const differenceHi = (hi - s.get(S_TSC_ADJUST + 4) - (differenceLo < 0 ? 1 : 0)) >>> 0
  add(s, S_TSC_OFFSET, differenceLo >>> 0, differenceHi)
  s.set64(S_TSC_ADJUST, lo, hi)
  s.host.timeStampMoved?.()
}

function toRdxRax(s: System): void {
  readTimeStamp(s)
  s.setGpr(RAX, 4, s.lo)
  s.setGpr(RDX, 4, s.hi)
}

function checkTsd(s: System): void {
  if ((s.get(S_CR4) & CR4_TSD) !== 0 && s.cpl > 0) s.raise(VECTOR_GP, 0)
}

// @isa: complete   0F 31   RDTSC   "SDM vol. 2B, RDTSC"
const rdtsc: Handler = (s) => {
  checkTsd(s)
  toRdxRax(s)
  return STATUS_DONE
}

// @isa: complete   0F 01 F9   RDTSCP   "SDM vol. 2B, RDTSCP"
const rdtscp: Handler = (s) => {
  checkTsd(s)
  toRdxRax(s)
  s.setGpr(RCX, 4, s.get(S_TSC_AUX))
  return STATUS_DONE
}

/** PerfCtr0 of AMD (APM vol. 2, 13.2.1). */
const PERFORMANCE_COUNTERS = 0xc001_0004

// @isa: complete   0F 33   RDPMC   "SDM vol. 2B, RDPMC": Intel's have no counter, AMD's have four that count nothing
const rdpmc: Handler = (s) => {
  if ((s.get(S_CR4) & CR4_PCE) === 0 && s.protectedMode && s.cpl > 0) s.raise(VECTOR_GP, 0)
  const counter = s.gpr(RCX)
  if (counter >= 4 || s.cpu.processor.lacksMsr(PERFORMANCE_COUNTERS + counter)) s.raise(VECTOR_GP, 0)
  s.setGpr(RAX, 4, 0)
  s.setGpr(RDX, 4, 0)
  return STATUS_DONE
}

export const timeHandlers: Readonly<Record<string, Handler>> = { RDTSC: rdtsc, RDTSCP: rdtscp, RDPMC: rdpmc }
