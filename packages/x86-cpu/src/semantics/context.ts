import type { StateComponent } from '../state/state-components.ts'
import { I32, V128, numeric, type I64 } from '@retrap/wasm-emitter'
import { ORDINARY_64 } from '@retrap/soft-float'
import { R_IMM, R_LENGTH, R_OFFSET, R_REG0, R_REG1, R_REG2 } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { FlagContext } from './flag-context.ts'
import { loadOp, storeOp, zeroExtend } from './integer.ts'
import { isRoundingSettled } from './float-scratch.ts'

/** Whether a memory operand of a vector's size must be aligned, #GP(0) otherwise: VEX did away with the rule for all but aligned moves. */
export type Alignment = 'never' | 'legacy' | 'always'

/**
 * The interface of a semantic function: the operands of a form, memory, flags and control flow. Interpreter and JIT differ in
 * what stands behind it.
 *
 * Integers are {@link I64} throughout. Reads come sign-extended (`readS`) or zero-extended (`readU`) from the operand's
 * size; writes take the low bytes and ignore the rest. A write to a 32-bit register clears the upper half.
 *
 * Rules for the party that writes semantics (the instruction contract): make all reads, and all checks that can fault, before
 * the first write; write memory before registers and flags; several memory writes belong into a TypeScript handler or
 * are probed first. Every memory access may leave the function; nothing must have changed by then.
 */
export abstract class Context extends FlagContext {
  /** Ends the instruction, retired, with control going to a linear address that has been checked. */
  abstract jumpLinear(target: I64): void
  /** The same at the target of a direct branch to another page. */
  jumpFar(target: I64): void {
    this.jumpLinear(target)
  }

  /** The same at a return address. */
  jumpBack(target: I64): void {
    this.jumpLinear(target)
  }

  /** A call is about to be taken that returns to the next instruction. */
  noteReturn(): void {
    // The dispatch loop alone has a ring of return addresses.
  }

  /** The segment register of operand 0 has been loaded, as the last thing that the instruction does. */
  segmentLoaded(): void {
    // Nothing is taken for granted of it.
  }

  /** Ends the instruction, retired: S_TLB and S_ACCESS_SET have changed, and the next one follows. */
  goOnInSet(): void {
    this.jumpLinear(this.let(this.nextLinear()))
  }

  /** Ends the instruction, retired, at an offset of the current page, given times 4; `forward` if it is beyond this instruction. */
  abstract jumpInPage(offsetTimes4: I32, forward: boolean): void

  // ---------------------------------------------------------------- operands

  /** Size of operand `i` in bytes. */
  sizeOf(i: number): number {
    return this.operand(i).size
  }

  kindOf(i: number): string {
    return this.operand(i).kind
  }

  /** Machine address of the register that operand `i` names. Register operands use the record's fields in order of operand number. */
  registerAddress(i: number): I32 {
    // The fourth, of which there is one kind only, lies where the immediate of others does.
    const field = [R_REG0, R_REG1, R_REG2, R_IMM][i]
    if (field === undefined) throw new RangeError(`no register field for operand ${i}`)
    return this.state.add(this.f.loadExpression('i32.load16_u', this.record, field))
  }

  /** The immediate as its form extends it. */
  immediate(): I64 {
    return this.f.loadExpression('i64.load', this.record, R_IMM)
  }

  readS(i: number): I64 {
    return this.#read(i, true)
  }

  readU(i: number): I64 {
    return this.#read(i, false)
  }

  #read(i: number, signed: boolean): I64 {
    const { kind, size } = this.operand(i)
    switch (kind) {
      case 'reg':
      case 'xmm':
      case 'mmx':
      case 'mask':
        return this.f.load(loadOp(size, signed), this.registerAddress(i), 0)
      case 'imm': {
        // The record holds it sign-extended from the operand's size.
        const value = this.f.load('i64.load', this.record, R_IMM)
        return signed ? value : zeroExtend(value, size)
      }
      case 'mem':
        return this.loadMemory(loadOp(size, signed), this.address(i), size)
      default:
        throw new TypeError(`operand kind ${kind} is not read as an integer`)
    }
  }

  /** Writes the low bytes of `value`. A 32-bit general register and a mask are zero-extended. */
  write(i: number, value: I64): void {
    const { kind, size } = this.operand(i)
    if (kind === 'reg') this.#writeRegisterAt(this.registerAddress(i), 0, size, value)
    else if (kind === 'mem') this.storeMemory(storeOp(size), this.address(i), size, value)
    else if (kind === 'mask') this.f.store('i64.store', this.registerAddress(i), zeroExtend(value, size), 0)
    else if (kind === 'xmm' || kind === 'mmx') this.f.store(storeOp(size), this.registerAddress(i), value, 0)
    else throw new TypeError(`operand kind ${kind} is not written as an integer`)
  }

  #writeRegisterAt(address: I32, offset: number, size: number, value: I64): void {
    if (size === 4) this.f.store('i64.store', address, value.and(0xffff_ffffn), offset)
    else this.f.store(storeOp(size), address, value, offset)
  }

  /**
   * Reads operand `i` (sign-extended), lets `compute` derive the new value, and writes it; memory is checked for write
   * permission first and translated once. `compute` runs before the write; what must follow it goes after the call.
   */
  modify(i: number, compute: (old: I64) => I64): void {
    const { kind, size } = this.operand(i)
    if (kind !== 'mem') {
      this.write(i, compute(this.readS(i)))
      return
    }
    this.modifyMemory(this.address(i), size, compute)
  }

  /** General register `number` in its low `size` bytes, sign-extended. */
  gprS(number: number, size: number): I64 {
    return this.f.load(loadOp(size, true), this.state, S.S_GPR + 8 * number)
  }

  gprU(number: number, size: number): I64 {
    return this.f.load(loadOp(size, false), this.state, S.S_GPR + 8 * number)
  }

  /** AH, CH, DH or BH are `highByte` = true. */
  setGpr(number: number, size: number, value: I64, highByte = false): void {
    this.#writeRegisterAt(this.state, S.S_GPR + 8 * number + (highByte ? 1 : 0), size, value)
  }

  /** XLATB's byte: at rBX + AL, whose sum is truncated to the address size like any other. */
  readXlat(): I64 {
    return this.loadMemory('i64.load8_u', this.displacedAddress(0, this.gprU(0, 1)), 1)
  }

  // ---------------------------------------------------------------- vectors

  /** Number of 128-bit lanes of operand `i`. */
  laneCount(i: number): number {
    return Math.max(1, this.operand(i).size >> 4)
  }

  /** Number of the first source: the destination, unless VEX gives it one of its own. */
  get firstSource(): number {
    return this.form.vex ? 1 : 0
  }

  /** 16 bytes of operand `i`, in a register the low lane; of memory perhaps fewer, and zeros above. */
  readV(i: number, alignment: Alignment = 'legacy'): V128 {
    const { kind, size } = this.operand(i)
    if (kind === 'xmm') return this.f.load('v128.load', this.registerAddress(i), 0)
    if (size === 8) return this.loadMemory('v128.load64_zero', this.address(i), 8)
    if (size === 4) return this.loadMemory('v128.load32_zero', this.address(i), 4)
    if (size < 16) return numeric('i64x2.splat', this.readU(i))
    if (kind !== 'mem') throw new TypeError(`operand kind ${kind} is not read as a vector`)
    const ea = this.address(i, 16)
    this.#align(ea, 16, alignment)
    return this.loadMemory('v128.load', ea, 16)
  }

  /** All of operand `i`, by 128-bit lanes. */
  readLanes(i: number, alignment: Alignment = 'legacy'): readonly V128[] {
    const count = this.laneCount(i)
    if (count === 1) return [this.readV(i, alignment)]
    if (this.kindOf(i) === 'xmm') {
      const register = this.let(this.registerAddress(i))
      return Array.from({ length: count }, (_, lane) => this.f.load('v128.load', register, 16 * lane))
    }
    const ea = this.address(i, 16 * count)
    this.#align(ea, 16 * count, alignment)
    return this.loadLanes(ea, count)
  }

  /** Writes a register, and zeroes what VEX zeroes above; or 16 bytes of memory. */
  writeV(i: number, value: V128, alignment: Alignment = 'legacy'): void {
    this.writeLanes(i, [value], alignment)
  }

  /** The same by 128-bit lanes. The last thing that an instruction does. */
  writeLanes(i: number, values: readonly V128[], alignment: Alignment = 'legacy'): void {
    const { kind } = this.operand(i)
    const lanes = values.map((value) => this.let(value))
    if (kind === 'xmm') {
      const register = this.let(this.registerAddress(i))
      this.putLanes(register, lanes)
      this.zeroAbove(register, lanes.length)
      return
    }
    if (kind !== 'mem') throw new TypeError(`operand kind ${kind} is not written as a vector`)
    const bytes = 16 * values.length
    const ea = this.address(i, bytes)
    this.#align(ea, bytes, alignment)
    if (lanes.length === 1) this.storeMemory('v128.store', ea, 16, lanes[0]!)
    else this.storeLanes(ea, lanes)
  }

  /** Writes what `compute` makes of each lane of operand `from` to operand 0. */
  mapLanes(from: number, compute: (lane: V128, i: number) => V128): void {
    this.writeLanes(0, this.readLanes(from).map(compute))
  }

  /** The same of each lane of operand `first` and its partner in the operand behind that, which is read first. */
  combineLanes(first: number, compute: (a: V128, b: V128, i: number) => V128): void {
    const seconds = this.readLanes(first + 1)
    this.mapLanes(first, (a, i) => compute(a, seconds[i]!, i))
  }

  /** Writes the same to all lanes of operand 0. */
  fillLanes(value: V128): void {
    this.writeLanes(0, new Array<V128>(this.laneCount(0)).fill(value))
  }

  /** Zeroes what VEX zeroes of a register, from a lane on. @param offset - of the register from `base` */
  zeroAbove(base: I32, first: number, offset = 0): void {
    if (!this.form.vex) return
    for (let at = 16 * first; at < this.library.vectorBytes; at += 16)
      this.f.store('v128.store', base, V128.of([]), offset + at)
  }

  /** Copies register operand `from` to register operand `to`, with what VEX zeroes above. */
  copyVector(to: number, from: number): void {
    this.writeLanes(to, this.readLanes(from))
  }

  /** Whether two register operands are known to be the same. */
  isSame(_i: number, _j: number): boolean {
    return false
  }

  // ---------------------------------------------------------------- floating point

  /** All ones if an inexact result, rounded to nearest, changes nothing in MXCSR and raises nothing; else 0. */
  settled(): I32 {
    return I32.of(0).sub(isRoundingSettled(this.f, this.state))
  }

  /** {@link settled}, of which only the bits of `ORDINARY_64` are left. */
  settledExponents(): I32 {
    return this.settled().and(ORDINARY_64)
  }

  /** MXCSR may have changed. */
  refreshMxcsr(): void {
    // The field is looked at each time.
  }

  /** An element that is repeated all over a vector. */
  repeated(element: bigint, bits: 32 | 64): V128 {
    return V128.of(Array.from({ length: 16 }, (_, i) => Number((element >> BigInt((8 * i) % bits)) & 0xffn)))
  }

  /** a · b + c, rounded once; undefined where the host has no instruction for it. */
  multiplyAdd(_bits: 32 | 64, _a: V128, _b: V128, _c: V128): V128 | undefined {
    return undefined
  }

  /** Whether the code is for one instruction only: there is more of it in place, and less that is shared. */
  readonly isSpecialised: boolean = false

  /** Has the interpreter execute the instruction, of which nothing has been done: only in specialised code. */
  interpret(): void {
    throw new TypeError('the interpreter has no other way')
  }

  /** Whether results are taken not to be denormal later on; where one is, {@link retire} ends the instruction. */
  takesNormal: boolean = false

  /** Whether no element of operand `i` is denormal; `scalar`: not its lowest one. */
  isNormal(_i: number, _bits: 32 | 64, _scalar: boolean): boolean {
    return false
  }

  /** Says that {@link isNormal} holds from here on. */
  setNormal(_i: number, _bits: 32 | 64, _scalar: boolean): void {
    // Nothing is kept from one instruction to the next.
  }

  /** Ends the instruction, which has retired: the next one is executed without what was known. */
  retire(): void {
    throw new TypeError('nothing is known from one instruction to the next')
  }

  #align(ea: I64, bytes: number, alignment: Alignment): void {
    if (alignment === 'always' || (alignment === 'legacy' && !this.form.vex)) this.requireAligned(ea, bytes)
  }

  // ---------------------------------------------------------------- what an instruction needs to be there

  /** #UD or #NM as CR0.EM, CR0.TS and CR4.OSFXSR have it (SDM vol. 3A, "System Programming for Instruction Set Extensions"). First thing in every SSE form. */
  requireSse(): void {
    // Of a VEX form everything has been checked before.
    if (!this.form.vex) this.#gate(S.S_SSE_GATE)
  }

  /**
   * #UD or #NM of a VEX-encoded instruction (SDM vol. 2A, "Exception Conditions of the AVX Instructions"; vol. 1,
   * "Exception Conditions for VEX-Encoded GPR Instructions"). First thing in every such form.
   */
  requireVex(): void {
    // Those on general registers have names without the letter, those on masks have a K.
    const letter = this.form.evex === undefined ? this.form.mnemonic[0]! : 'K'
    this.#gate({ V: S.S_AVX_GATE, K: S.S_EVEX_GATE }[letter] ?? S.S_VEX_GATE)
  }

  requireX87(): void {
    this.#gate(S.S_X87_GATE)
  }

  requireMmx(): void {
    this.#gate(S.S_MMX_GATE)
  }

  #gate(offset: number): void {
    const vector = this.f.load('i32.load', this.state, offset)
    this.f.if(vector, () => this.raise(vector))
  }

  // ---------------------------------------------------------------- control flow

  /** Linear address of the instruction after this one. */
  nextLinear(): I64 {
    const { f, record, state } = this
    return f
      .loadExpression('i64.load', state, S.S_PAGE_BASE)
      .add(f.loadExpression('i64.load16_u', record, R_OFFSET))
      .add(f.loadExpression('i64.load8_u', record, R_LENGTH))
  }

  /** Linear address of the code page. */
  pageBase(): I64 {
    return this.f.loadExpression('i64.load', this.state, S.S_PAGE_BASE)
  }

  segmentBase(segment: number): I64 {
    return this.f.loadExpression('i64.load', this.state, S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_BASE)
  }

  /** RIP of the instruction after this one, in the current code segment (64-bit mode: its linear address). */
  nextRip(): I64 {
    return this.form.long ? this.nextLinear() : this.nextLinear().sub(this.segmentBase(S.CS)).and(0xffff_ffffn)
  }
}

/** An operation over the emitter; one for all operand kinds and sizes. */
/** The numbers of floating point that an operation has in vector registers. */
export interface Numbers {
  /** Bits of each number; of a conversion: bits of the result. */
  readonly bits: 32 | 64
  /** Bits of a number that is converted. */
  readonly from?: 32 | 64
  /** The lowest elements alone. */
  readonly isScalar: boolean
  /** Operands are tested for denormal numbers: 1 source beside the destination, or both of them. */
  readonly tested?: 1 | 2
}

export interface Semantics {
  readonly emit: (c: Context) => void
  /** Compiled code holds numbers of this kind in locals of their type. */
  readonly numbers?: Numbers
  /** A whole vector that compiled code may as well take for a number: a copy of it, or a bit pattern. */
  readonly moves?: 'copy' | 'bits'
  /**
   * The form makes one memory access at most, and nothing can fail after it: a synchronous device may be called straight
   * through (design.md, instruction contract, rule 3). Forms that modify memory are never direct, whatever stands here.
   */
  readonly direct?: boolean
  /** The simple cases are here, all others are left to the TypeScript handler of the same mnemonic (`Context.useHandler`). */
  readonly partial?: boolean
  /** The form sets the flags in code that runs only sometimes; `changeFlags` with a condition does not count. */
  readonly conditionalFlags?: boolean
  /** With `partial`: units may hold the simple cases, which go on to the next instruction. */
  readonly compiled?: boolean
  /** With `partial`: units call the interpreter's function for the simple cases, which go on to the next instruction. */
  readonly called?: boolean
  /** With `partial`: the simple cases jump, perhaps to another privilege level. Units end with them. */
  readonly far?: boolean
  /** With `partial`: the simple cases follow Intel's rules; AMD's processors always use the handler. */
  readonly intel?: boolean
  /** With `partial`: processors without this feature always use the handler. */
  readonly feature?: string
  /** With `partial`: processors with other state components always use the handler. */
  readonly components?: readonly StateComponent[]
}

/** Semantics by mnemonic, as x86-decoder spells it. */
export type SemanticsTable = Readonly<Record<string, Semantics>>

/** Makes semantics that are {@link Semantics.direct}. */
export const direct = (emit: Semantics['emit']): Semantics => ({ direct: true, emit })

/** Semantics whose forms begin with a check. */
export function gated(check: (c: Context) => void, table: SemanticsTable): SemanticsTable {
  const gate = (semantics: Semantics): Semantics => ({
    ...semantics,
    emit: (c) => {
      check(c)
      semantics.emit(c)
    },
  })
  return Object.fromEntries(Object.entries(table).map(([name, semantics]) => [name, gate(semantics)]))
}
