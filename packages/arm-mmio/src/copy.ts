/**
 * Memory copy and set: the instructions that come in three parts and are their own progress.
 *
 * Each step moves at most 8 bytes and leaves the registers as an interrupt in the middle would, so that the instruction
 * can continue from them. The first part only brings the registers into the form of the main and the last part.
 *
 * Source: Arm ARM (DDI 0487), "Memory Copy and Memory Set instructions".
 */
import type { LoadStore } from '@retrap/arm-decoder'
import { readX, RegisterValue, writeX } from './registers.ts'
import { extract } from '@retrap/arm-decoder'
import { type ArmVcpu, PSTATE_C } from './vcpu.ts'

const PSTATE_N = 2 ** 31
const PSTATE_NZCV = 0xf000_0000

/** The bytes that the next step moves. */
export interface CopyStep {
  bytes: number
  sourceLo: number
  sourceHi: number
  targetLo: number
  targetHi: number
}

const target: RegisterValue = /*#__PURE__*/ new RegisterValue()
const source: RegisterValue = /*#__PURE__*/ new RegisterValue()
const count: RegisterValue = /*#__PURE__*/ new RegisterValue()

/** The instruction's part of a copy: 0 prologue, 1 main, 2 epilogue. */
export function copyStage(insn: LoadStore): number {
  return extract(insn.form.fields.get('p'), insn.word)
}

const isFill = (insn: LoadStore): boolean => insn.form.operation === 'fill'

/** A 64-bit value as a bigint: these instructions are rare, and their arithmetic is all of 64 bits. */
const value = (register: RegisterValue): bigint => (BigInt(register.hi >>> 0) << 32n) | BigInt(register.lo >>> 0)

function write(vcpu: ArmVcpu, number: number, amount: bigint): void {
  const bits = BigInt.asUintN(64, amount)
  writeX(vcpu, number, false, Number(bits & 0xffff_ffffn), Number(bits >> 32n))
}

function read(vcpu: ArmVcpu, insn: LoadStore): void {
  readX(vcpu, insn.rt, false, target)
  readX(vcpu, insn.rn, false, count)
  if (!isFill(insn)) readX(vcpu, insn.rs, false, source)
}

/** Most bytes that one instruction copies: more saturate. */
const COPY_LIMIT = 0x007f_ffff_ffff_ffffn
const FORWARD_LIMIT = 0x7fff_ffff_ffff_ffffn

/**
 * Executes a whole prologue.
 *
 * @param option - 'A' or 'B': how the processor keeps progress, which the later parts on it must find
 */
export function finishPrologue(vcpu: ArmVcpu, insn: LoadStore, option: 'A' | 'B'): void {
  read(vcpu, insn)
  const to = value(target)
  const from = value(source)
  const forwardOnly = isFill(insn) || insn.form.operation === 'copy-forward'
  const limit = forwardOnly ? FORWARD_LIMIT : COPY_LIMIT
  const bytes = value(count) > limit ? limit : value(count)
  // Backwards where the target overlaps the source from above; 56 bits of address count.
  const low = (address: bigint): bigint => BigInt.asUintN(56, address)
  const backward = !forwardOnly && low(from) < low(to) && low(to) < low(from + bytes)
  vcpu.pstate &= ~PSTATE_NZCV
  if (option === 'B') {
    vcpu.pstate = (vcpu.pstate | PSTATE_C | (backward ? PSTATE_N : 0)) >>> 0
    if (backward) {
      write(vcpu, insn.rt, to + bytes)
      write(vcpu, insn.rs, from + bytes)
    }
    write(vcpu, insn.rn, bytes)
    return
  }
  vcpu.pstate >>>= 0
  if (!backward) {
    write(vcpu, insn.rt, to + bytes)
    if (!isFill(insn)) write(vcpu, insn.rs, from + bytes)
  }
  write(vcpu, insn.rn, backward ? bytes : -bytes)
}

/** Returns direction and remaining count, by option and registers. */
function progress(vcpu: ArmVcpu): { optionB: boolean; backward: boolean; left: bigint } {
  const optionB = (vcpu.pstate & PSTATE_C) !== 0
  const signed = BigInt.asIntN(64, value(count))
  if (optionB) return { optionB, backward: vcpu.pstate >>> 31 !== 0, left: value(count) }
  return { optionB, backward: signed > 0n, left: signed < 0n ? -signed : signed }
}

/** Returns the bytes of the next step: 8 if all addresses and the count allow it, otherwise 1. */
function stepBytes(left: bigint, addresses: readonly bigint[]): number {
  return left >= 8n && addresses.every((address) => (address & 7n) === 0n) ? 8 : 1
}

/** Works out the next step of a main part or epilogue; 0 bytes: nothing is left. */
export function copyStep(vcpu: ArmVcpu, insn: LoadStore, into: CopyStep): void {
  read(vcpu, insn)
  const { optionB, backward, left } = progress(vcpu)
  const fill = isFill(insn)
  // Option A, forward: registers are at the end and the count is negative; backward they are at the start.
  const offset = optionB ? 0n : BigInt.asIntN(64, value(count))
  let to = value(target) + offset
  let from = fill ? to : value(source) + offset
  const bytes = left === 0n ? 0 : stepBytes(left, [to, from])
  if (backward) {
    to -= BigInt(bytes)
    from -= BigInt(bytes)
  }
  into.bytes = bytes
  setWords(into, BigInt.asUintN(64, from), BigInt.asUintN(64, to))
}

/** The rest of a main part or epilogue: the lowest addresses of source and target, and how many bytes. */
export function copyRange(vcpu: ArmVcpu, insn: LoadStore, into: CopyStep): void {
  read(vcpu, insn)
  const { optionB, backward, left } = progress(vcpu)
  // Registers hold the range's start; but option A forward: its end; option B backward: the end of the bytes left.
  const offset = optionB ? (backward ? -left : 0n) : backward ? 0n : -left
  const to = value(target) + offset
  const from = isFill(insn) ? to : value(source) + offset
  into.bytes = Number(left)
  setWords(into, BigInt.asUintN(64, from), BigInt.asUintN(64, to))
}

function setWords(into: CopyStep, from: bigint, to: bigint): void {
  into.sourceLo = Number(from & 0xffff_ffffn)
  into.sourceHi = Number(from >> 32n)
  into.targetLo = Number(to & 0xffff_ffffn)
  into.targetHi = Number(to >> 32n)
}

/** Updates the registers after a step. @returns whether nothing is left */
export function advanceCopy(vcpu: ArmVcpu, insn: LoadStore, bytes: number): boolean {
  read(vcpu, insn)
  const { optionB, backward, left } = progress(vcpu)
  const moved = BigInt(bytes)
  if (optionB) {
    const delta = backward ? -moved : moved
    write(vcpu, insn.rt, value(target) + delta)
    if (!isFill(insn)) write(vcpu, insn.rs, value(source) + delta)
    write(vcpu, insn.rn, left - moved)
  } else write(vcpu, insn.rn, BigInt.asIntN(64, value(count)) + (backward ? -moved : moved))
  return left === moved
}
