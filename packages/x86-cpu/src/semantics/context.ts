import { I32, I64, V128, select } from '@retrap/wasm-emitter'
import type {
  Callee,
  FunctionBuilder,
  I32Like,
  I64Like,
  LoadOp,
  PrefixType,
  StoreOp,
  Value,
  ValueOf,
  ValueType,
} from '@retrap/wasm-emitter'
import {
  ADDRESS_32,
  ADDRESS_CHECKED,
  R_ADDRESS,
  R_BASE,
  R_DISP,
  R_IMM,
  R_INDEX,
  R_LENGTH,
  R_OFFSET,
  R_REG0,
  R_REG1,
  R_REG2,
  R_SCALE,
  R_SEGMENT,
} from '../record.ts'
import {
  CS,
  FLAGS_EXPLICIT,
  FLAGS_RESULT,
  FLAGS_SUB,
  FLAG_CF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_ZF,
  FLAGS_ADD,
  SEG_BASE,
  SEG_BYTES,
  SEG_FLAT,
  SEG_RIGHTS,
  STATUS_FAULT,
  STATUS_HANDLER,
  S_DATA,
  S_FAULT_ERROR,
  S_FAULT_HAS_ERROR,
  S_FAULT_VECTOR,
  S_GPR,
  S_LOGGED,
  S_MMX_GATE,
  S_PAGE_BASE,
  S_SEGMENTS,
  S_AVX_GATE,
  S_SSE_GATE,
  S_VEX_GATE,
  S_X87_GATE,
} from '../state-layout.ts'
import { SLOW_MODIFY, SLOW_PROBE, SLOW_WRITE } from '../access-flags.ts'
import { TLB_INDEX_MASK, TLB_WRITE_OFFSET } from '../tlb-layout.ts'
import { VECTOR_GP } from '../vectors.ts'
import { CC_B, CC_BE, CC_E, CC_L, CC_LE, CC_O, CC_P, CC_S } from './condition-codes.ts'
import type { Form } from './form.ts'

/** Functions of the generated module that semantics may call. */
export interface Library {
  /** (state, address low, address high, flags) → status; data in S_DATA. */
  readonly slowAccess: Callee & { readonly signature: { readonly result: 'i32' } }
  /** (state, record) → offset within the segment, for any addressing form. */
  readonly offset: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (state, segment, offset, size | SLOW_WRITE | SLOW_MODIFY) → linear address outside 64-bit mode, checked; raises by setting S_FAULT_VECTOR ≠ -1. */
  readonly checkSegment: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (state, record, size | SLOW_WRITE | SLOW_MODIFY) → linear address; raises by setting S_FAULT_VECTOR ≠ -1. For anything but R_ADDRESS = 0. */
  readonly slowAddress: Callee & { readonly signature: { readonly result: 'i64' } }
  /** slowAddress, quicker in 32-bit code. */
  readonly checkedAddress: Callee & { readonly signature: { readonly result: 'i64' } }
  /** slowAddress with a signed displacement added to the offset before it is truncated. */
  readonly slowAddressMoved: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (kind, a, b, result) → the six arithmetic flags. */
  readonly flags: Callee & { readonly signature: { readonly result: 'i32' } }
  /** Functions that families share, made on first use: see {@link Context.shared}. */
  readonly shared: Map<string, FunctionBuilder>
  /** Declares another function of the module. */
  define(name: string, params: readonly ValueType[], result: ValueType | undefined): FunctionBuilder
  /** Its body has been built. */
  complete(f: FunctionBuilder): void
}

/** What the lazy flags are held in: locals in the interpreter's main function, memory elsewhere. */
export interface FlagStore {
  readonly kind: I32
  readonly a: I64
  readonly b: I64
  readonly result: I64
  set(kind: number | I32, a: I64, b: I64, result: I64): void
}

/** Whether a memory operand of a vector's size must be aligned, #GP(0) otherwise: VEX did away with the rule for all but aligned moves. */
export type Alignment = 'never' | 'legacy' | 'always'

/**
 * What a semantic function sees: the operands of a form, memory, flags and control flow. Interpreter and JIT differ in
 * what stands behind it.
 *
 * Integers are {@link I64} throughout. Reads come sign-extended (`readS`) or zero-extended (`readU`) from the operand's
 * size; writes take the low bytes and ignore the rest. A write to a 32-bit register clears the upper half.
 *
 * Rules for whoever writes semantics (the instruction contract): make all reads, and all checks that can fault, before
 * the first write; write memory before registers and flags; several memory writes belong into a TypeScript handler or
 * are probed first. Every memory access may leave the function; nothing must have changed by then.
 */
export abstract class Context {
  readonly f: FunctionBuilder
  readonly form: Form
  readonly library: Library
  readonly state: I32
  readonly record: I32
  protected readonly tlb: I32
  /** Set by the family: SLOW_DIRECT or 0, or'ed into every access. */
  accessFlags = 0
  usesFlags = false
  jumps = false
  #address: I64 | undefined

  constructor(f: FunctionBuilder, form: Form, library: Library, state: I32, record: I32, tlb: I32) {
    this.f = f
    this.form = form
    this.library = library
    this.state = state
    this.record = record
    this.tlb = tlb
  }

  protected abstract readonly flagStore: FlagStore
  /** A function of its own, of which there are many: what is rare in it is left to functions that all share. */
  protected abstract readonly isCold: boolean

  /** Ends the instruction with a status other than done; nothing may have changed. */
  abstract fail(status: I32Like): void
  /** Ends the instruction, retired, with control going to a linear address that has been checked. */
  abstract jumpLinear(target: I64): void
  /** Ends the instruction, retired, at an offset of the current page, given times 4; `forward` if it is beyond this instruction. */
  abstract jumpInPage(offsetTimes4: I32, forward: boolean): void

  // ---------------------------------------------------------------- operands

  let<V extends Value>(value: V): V {
    return this.f.let(value)
  }

  /** Size of operand `i` in bytes. */
  sizeOf(i: number): number {
    return this.operand(i).size
  }

  kindOf(i: number): string {
    return this.operand(i).kind
  }

  protected operand(i: number): Form['operands'][number] {
    const operand = this.form.operands[i]
    if (operand === undefined) throw new RangeError(`${this.form.mnemonic} has no operand ${i}`)
    return operand
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

  /** Writes the low bytes of `value`. A 32-bit general register is zero-extended. */
  write(i: number, value: I64): void {
    const { kind, size } = this.operand(i)
    if (kind === 'reg') this.#writeRegisterAt(this.registerAddress(i), 0, size, value)
    else if (kind === 'mem') this.storeMemory(storeOp(size), this.address(i), size, value)
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

  /** {@link modify} for a linear address. */
  modifyMemory(ea: I64, size: number, compute: (old: I64) => I64): void {
    const f = this.f
    const host = f.local('i32')
    const old = f.local('i64')
    const { entry, distance } = this.#probe(ea, TLB_WRITE_OFFSET)
    f.if(
      distance.ltU(0x1001 - size),
      () => {
        f.set(host, f.loadExpression('i32.load', entry, TLB_WRITE_OFFSET + 8).add(distance.toI32()))
        f.set(old, f.loadExpression(loadOp(size, true), host.get, 0))
      },
      () => {
        f.set(host, I32.of(0))
        this.slow(ea, size | SLOW_MODIFY)
        f.set(old, f.loadExpression(loadOp(size, true), this.state, S_DATA))
      },
    )
    const value = this.let(compute(old.get))
    f.if(
      host.get,
      () => f.store(storeOp(size), host.get, value, 0),
      () => {
        f.store('i64.store', this.state, value, S_DATA)
        this.slow(ea, size | SLOW_WRITE)
      },
    )
  }

  /** General register `number` in its low `size` bytes, sign-extended. */
  gprS(number: number, size: number): I64 {
    return this.f.load(loadOp(size, true), this.state, S_GPR + 8 * number)
  }

  gprU(number: number, size: number): I64 {
    return this.f.load(loadOp(size, false), this.state, S_GPR + 8 * number)
  }

  /** AH, CH, DH or BH are `highByte` = true. */
  setGpr(number: number, size: number, value: I64, highByte = false): void {
    this.#writeRegisterAt(this.state, S_GPR + 8 * number + (highByte ? 1 : 0), size, value)
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

  /** 16 bytes of operand `i`, in a register the low lane. */
  readV(i: number, alignment: Alignment = 'legacy'): V128 {
    const { kind } = this.operand(i)
    if (kind === 'xmm') return this.f.load('v128.load', this.registerAddress(i), 0)
    if (kind !== 'mem') throw new TypeError(`operand kind ${kind} is not read as a vector`)
    const ea = this.address(i, 16)
    this.#align(ea, 16, alignment)
    return this.loadMemory('v128.load', ea, 16)
  }

  /** All of operand `i`, by 128-bit lanes. */
  readLanes(i: number, alignment: Alignment = 'legacy'): readonly V128[] {
    if (this.laneCount(i) === 1) return [this.readV(i, alignment)]
    if (this.kindOf(i) === 'xmm') {
      const register = this.let(this.registerAddress(i))
      return [this.f.load('v128.load', register, 0), this.f.load('v128.load', register, 16)]
    }
    const ea = this.address(i, 32)
    this.#align(ea, 32, alignment)
    return this.#loadTwoLanes(ea)
  }

  /** Writes a register, and zeroes what VEX zeroes above; or 16 bytes of memory. */
  writeV(i: number, value: V128, alignment: Alignment = 'legacy'): void {
    this.writeLanes(i, [value], alignment)
  }

  /** The same by 128-bit lanes. The last thing that an instruction does. */
  writeLanes(i: number, values: readonly V128[], alignment: Alignment = 'legacy'): void {
    const { f } = this
    const { kind } = this.operand(i)
    const [low, high] = values.map((value) => this.let(value)) as [V128, V128 | undefined]
    if (kind === 'xmm') {
      const register = this.let(this.registerAddress(i))
      f.store('v128.store', register, low, 0)
      if (this.form.vex) f.store('v128.store', register, high ?? V128.of([]), 16)
      return
    }
    if (kind !== 'mem') throw new TypeError(`operand kind ${kind} is not written as a vector`)
    const bytes = 16 * values.length
    const ea = this.address(i, bytes)
    this.#align(ea, bytes, alignment)
    if (high === undefined) this.storeMemory('v128.store', ea, 16, low)
    else this.#storeTwoLanes(ea, low, high)
  }

  #loadTwoLanes(ea: I64): readonly V128[] {
    const f = this.f
    const [low, high] = [f.local('v128'), f.local('v128')]
    const { entry, distance } = this.#probe(ea, 0)
    const take = (at: I32, offset: number): void => {
      f.set(low, f.loadExpression('v128.load', at, offset))
      f.set(high, f.loadExpression('v128.load', at, offset + 16))
    }
    f.if(
      distance.ltU(0x1001 - 32),
      () => take(f.let(f.loadExpression('i32.load', entry, 8).add(distance.toI32())), 0),
      () => {
        this.slow(ea, 32 | this.accessFlags)
        take(this.state, S_DATA)
      },
    )
    return [low.get, high.get]
  }

  #storeTwoLanes(ea: I64, low: V128, high: V128): void {
    const f = this.f
    const { entry, distance } = this.#probe(ea, TLB_WRITE_OFFSET)
    const put = (at: I32, offset: number): void => {
      f.store('v128.store', at, low, offset)
      f.store('v128.store', at, high, offset + 16)
    }
    f.if(
      distance.ltU(0x1001 - 32),
      () => put(f.let(f.loadExpression('i32.load', entry, TLB_WRITE_OFFSET + 8).add(distance.toI32())), 0),
      () => {
        put(this.state, S_DATA)
        this.slow(ea, 32 | SLOW_WRITE | this.accessFlags)
      },
    )
  }

  #align(ea: I64, bytes: number, alignment: Alignment): void {
    if (alignment === 'always' || (alignment === 'legacy' && !this.form.vex)) this.requireAligned(ea, bytes)
  }

  requireAligned(ea: I64, bytes: number): void {
    this.f.if(ea.toI32().and(bytes - 1), () => this.raise(VECTOR_GP, 0))
  }

  /** #UD or #NM as CR0.EM, CR0.TS and CR4.OSFXSR have it (SDM vol. 3A, "System Programming for Instruction Set Extensions"). First thing in every SSE form. */
  requireSse(): void {
    // Of a VEX form everything has been checked before.
    if (!this.form.vex) this.#gate(S_SSE_GATE)
  }

  /**
   * #UD or #NM of a VEX-encoded instruction (SDM vol. 2A, "Exception Conditions of the AVX Instructions"; vol. 1,
   * "Exception Conditions for VEX-Encoded GPR Instructions"). First thing in every such form.
   */
  requireVex(): void {
    // Those on general registers have names without the letter.
    this.#gate(this.form.mnemonic.startsWith('V') ? S_AVX_GATE : S_VEX_GATE)
  }

  requireX87(): void {
    this.#gate(S_X87_GATE)
  }

  requireMmx(): void {
    this.#gate(S_MMX_GATE)
  }

  #gate(offset: number): void {
    const vector = this.f.load('i32.load', this.state, offset)
    this.f.if(vector, () => this.raise(vector))
  }

  // ---------------------------------------------------------------- memory

  /** Linear address of memory operand `i`, evaluated once; `bytes` (default: the operand's size) are checked against the segment. */
  address(i: number, bytes: number = this.operand(i).size): I64 {
    if (this.#address !== undefined) return this.#address
    const { f, record, state } = this
    const ea = f.local('i64')
    const kind = f.load('i32.load8_u', record, R_ADDRESS)
    const sizeAndFlags = I32.of(bytes | segmentFlags(this.operand(i).access))
    const call = (callee: Library['slowAddress']): void => {
      f.set(ea, f.call(callee, state, record, sizeAndFlags))
      f.if(f.loadExpression('i32.load', state, S_FAULT_VECTOR).ne(-1), () => this.fail(STATUS_FAULT))
    }
    f.if(
      kind.eqz(),
      () => f.set(ea, flatOffset(f, state, record)),
      () => {
        if (this.isCold) call(this.library.checkedAddress)
        else
          f.if(
            isFlat32(f, state, record, kind),
            () => f.set(ea, flatOffset(f, state, record).and(0xffff_ffffn)),
            () => call(this.library.slowAddress),
          )
      },
    )
    this.#address = ea.get
    return ea.get
  }

  /** Machine address of the TLB set in use. */
  tlbBase(): I32 {
    return this.tlb
  }

  /** Whether the record's address is {@link flatOffset} and nothing else. */
  isFlatAddress(): I32 {
    return this.f.loadExpression('i32.load8_u', this.record, R_ADDRESS).eqz()
  }

  /** Address of memory operand `i` moved by `bytes` before segment and truncation apply (BT with a register index). */
  displacedAddress(i: number, bytes: I64): I64 {
    const { f, record, state } = this
    const { size, access } = this.operand(i)
    const ea = f.local('i64')
    const moved = f.let(bytes)
    f.if(
      this.isFlatAddress(),
      () => f.set(ea, flatOffset(f, state, record).add(moved)),
      () => {
        const flags = I32.of(size | segmentFlags(access))
        f.set(ea, f.call(this.library.slowAddressMoved, state, record, flags, moved) as I64)
        f.if(f.loadExpression('i32.load', state, S_FAULT_VECTOR).ne(-1), () => this.fail(STATUS_FAULT))
      },
    )
    return ea.get
  }

  /** An integer of `size` bytes at a linear address, sign-extended. */
  loadInteger(ea: I64, size: number, flags = 0): I64 {
    return this.loadMemory(loadOp(size, true), ea, size, flags)
  }

  /** XLATB's byte: at rBX + AL, whose sum is truncated to the address size like any other. */
  readXlat(): I64 {
    return this.loadMemory('i64.load8_u', this.displacedAddress(0, this.gprU(0, 1)), 1)
  }

  /** Checks that the byte at memory operand `i` can be read, without reading it. */
  probeRead(i: number): void {
    const ea = this.address(i, 1)
    const { distance } = this.#probe(ea, 0)
    this.f.if(distance.geU(0x1000), () => this.slow(ea, 1 | SLOW_PROBE))
  }

  #probe(ea: I64, table: number): { entry: I32; distance: I64 } {
    const entry = this.let(this.tlb.add(ea.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const distance = this.let(ea.sub(this.f.loadExpression('i64.load', entry, table)))
    return { entry, distance }
  }

  /** Reads `size` bytes with a load instruction; `ea` must be a local or a constant. */
  loadMemory<K extends LoadOp>(op: K, ea: I64, size: number, flags = 0): ValueOf[PrefixType<K>] {
    const f = this.f
    const type = op.slice(0, op.indexOf('.')) as PrefixType<K>
    const result = f.local(type)
    const { entry, distance } = this.#probe(ea, 0)
    f.if(
      distance.ltU(0x1001 - size),
      () => f.set(result, f.loadExpression(op, f.loadExpression('i32.load', entry, 8).add(distance.toI32()), 0)),
      () => {
        this.slow(ea, size | flags | this.accessFlags)
        f.set(result, f.loadExpression(op, this.state, S_DATA))
      },
    )
    return result.get
  }

  storeMemory<K extends StoreOp>(op: K, ea: I64, size: number, value: ValueOf[PrefixType<K>], flags = 0): void {
    const f = this.f
    const { entry, distance } = this.#probe(ea, TLB_WRITE_OFFSET)
    f.if(
      distance.ltU(0x1001 - size),
      () => f.store(op, f.loadExpression('i32.load', entry, TLB_WRITE_OFFSET + 8).add(distance.toI32()), value, 0),
      () => {
        f.store(op, this.state, value, S_DATA)
        this.slow(ea, size | flags | SLOW_WRITE | this.accessFlags)
      },
    )
  }

  /** Checks that `size` bytes at `ea` can be written, without writing: before the first of several writes. */
  probeWrite(ea: I64, size: number): void {
    const { distance } = this.#probe(ea, TLB_WRITE_OFFSET)
    this.f.if(distance.geU(0x1001 - size), () => this.slow(ea, size | SLOW_WRITE | SLOW_PROBE))
  }

  /**
   * In a logged pass, before a read that may be a device's: checks that what the same instruction writes elsewhere can be
   * written, and has the log hold that translation. A device that has been read cannot be read again, so nothing should
   * be left that can fail. Faults keep their order, since the read is checked first. Not where the value that is read may
   * raise an exception: the page that was not written must stay clean.
   */
  reserve(from: I64, to: () => I64, size: number, flags = 0): void {
    const logged = this.f.loadExpression('i32.load', this.state, S_LOGGED).eq(1)
    this.f.if(logged, () => {
      this.slow(from, size | SLOW_PROBE)
      this.slow(to(), size | flags | SLOW_WRITE | SLOW_PROBE)
    })
  }

  /** The out-of-line access; leaves the instruction unless it is done. */
  protected slow(ea: I64, flags: number): void {
    const { slowAccess } = this.library
    const status = this.f.call(slowAccess, this.state, ea.toI32(), ea.shrU(32).toI32(), I32.of(flags))
    this.f.if(status, () => this.fail(status))
  }

  // ---------------------------------------------------------------- flags

  /** After `result = a + b`; all sign-extended from the operand size. */
  flagsAdd(a: I64, b: I64, result: I64): void {
    this.usesFlags = true
    this.flagStore.set(FLAGS_ADD, a, b, result)
  }

  /** After `result = a - b`; all sign-extended. */
  flagsSub(a: I64, b: I64, result: I64): void {
    this.usesFlags = true
    this.flagStore.set(FLAGS_SUB, a, b, result)
  }

  /** CF = OF = AF = 0, the rest from the sign-extended result. */
  flagsLogic(result: I64): void {
    this.usesFlags = true
    this.flagStore.set(FLAGS_SUB, result, I64.of(0), result)
  }

  /** ZF, SF and PF from the sign-extended result; CF, AF and OF as given at their RFLAGS positions. */
  flagsResult(result: I64, bits: I64): void {
    this.usesFlags = true
    this.flagStore.set(FLAGS_RESULT, I64.of(0), bits, result)
  }

  /** All six as given at their RFLAGS positions; other bits must be clear. */
  flagsExplicit(bits: I64): void {
    this.usesFlags = true
    const known = this.let(bits)
    this.flagStore.set(FLAGS_EXPLICIT, I64.of(0), known, known.and(FLAG_ZF).eqz().toI64U())
  }

  /** The six arithmetic flags at their RFLAGS positions. */
  allFlags(): I32 {
    this.usesFlags = true
    const { kind, a, b, result } = this.flagStore
    return this.f.call(this.library.flags, kind, a, b, result)
  }

  /** CF as 0 or 1. */
  carry(): I32 {
    this.usesFlags = true
    const { kind, a, b } = this.flagStore
    return this.f.ifElse(
      'i32',
      kind.eq(FLAGS_SUB),
      () => a.ltU(b),
      () => this.allFlags().and(FLAG_CF),
    )
  }

  /** 1 if condition `code` (0–15, `CC_*`, odd = negated) holds, else 0. */
  condition(code: number): I32 {
    this.usesFlags = true
    const { kind, a, b, result } = this.flagStore
    const base = code & ~1
    const negate = (value: I32): I32 => ((code & 1) === 0 ? value : value.eqz())
    if (base === CC_E) return this.let(negate(result.eqz()))
    const generic = (): I32 => {
      const flags = this.let(this.allFlags())
      const bit = (mask: number): I32 => flags.and(mask).ne(0)
      switch (base) {
        case CC_O:
          return bit(FLAG_OF)
        case CC_B:
          return bit(FLAG_CF)
        case CC_BE:
          return bit(FLAG_CF | FLAG_ZF)
        case CC_S:
          return bit(FLAG_SF)
        case CC_P:
          return bit(FLAG_PF)
        case CC_L:
          return bit(FLAG_SF).ne(bit(FLAG_OF))
        default:
          return bit(FLAG_SF).ne(bit(FLAG_OF)).or(bit(FLAG_ZF))
      }
    }
    const quick: Record<number, () => I32> = {
      [CC_B]: () => a.ltU(b),
      [CC_BE]: () => a.leU(b),
      [CC_S]: () => result.ltS(0),
      [CC_L]: () => a.ltS(b),
      [CC_LE]: () => a.leS(b),
    }
    const fast = quick[base]
    if (fast === undefined) return this.let(negate(generic()))
    return this.let(negate(this.f.ifElse('i32', kind.eq(FLAGS_SUB), fast, generic)))
  }

  // ---------------------------------------------------------------- control flow and exceptions

  /** Raises an exception; nothing may have changed. */
  raise(vector: I32Like, errorCode?: I32Like): void {
    const { f, state } = this
    f.store('i32.store', state, I32.of(vector), S_FAULT_VECTOR)
    f.store('i32.store', state, I32.of(errorCode ?? 0), S_FAULT_ERROR)
    f.store('i32.store', state, I32.of(errorCode === undefined ? 0 : 1), S_FAULT_HAS_ERROR)
    this.fail(STATUS_FAULT)
  }

  /** Leaves the instruction to its TypeScript handler; nothing may have changed. For `partial` semantics only. */
  useHandler(): void {
    this.jumps = true
    this.fail(STATUS_HANDLER)
  }

  /** Linear address of the instruction after this one. */
  nextLinear(): I64 {
    const { f, record, state } = this
    return f
      .loadExpression('i64.load', state, S_PAGE_BASE)
      .add(f.loadExpression('i64.load16_u', record, R_OFFSET))
      .add(f.loadExpression('i64.load8_u', record, R_LENGTH))
  }

  /** Linear address of the code page. */
  pageBase(): I64 {
    return this.f.loadExpression('i64.load', this.state, S_PAGE_BASE)
  }

  segmentBase(segment: number): I64 {
    return this.f.loadExpression('i64.load', this.state, S_SEGMENTS + SEG_BYTES * segment + SEG_BASE)
  }

  /** RIP of the instruction after this one, in the current code segment (64-bit mode: its linear address). */
  nextRip(): I64 {
    return this.form.long ? this.nextLinear() : this.nextLinear().sub(this.segmentBase(CS)).and(0xffff_ffffn)
  }

  /** A module function that several families share, generated on first use. */
  shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
    build: (f: FunctionBuilder) => void,
  ): FunctionBuilder & { readonly signature: { readonly result: R } } {
    let known = this.library.shared.get(name)
    if (known === undefined) {
      known = this.library.define(name, params, result)
      this.library.shared.set(name, known)
      build(known)
      this.library.complete(known)
    }
    return known as FunctionBuilder & { readonly signature: { readonly result: R } }
  }
}

/** base + index·scale + displacement, 64 bits, as the record has them. */
export function flatOffset(f: FunctionBuilder, state: I32, record: I32): I64 {
  const register = (field: number): I64 =>
    f.loadExpression('i64.load', state.add(f.loadExpression('i32.load16_u', record, field)), 0)
  const scale = f.loadExpression('i64.load8_u', record, R_SCALE)
  return register(R_BASE)
    .add(register(R_INDEX).shl(scale))
    .add(f.loadExpression('i64.load32_s', record, R_DISP))
}

/** Whether the operand lies in a flat segment and has a 32-bit address: 32-bit code, nearly always. */
export function isFlat32(f: FunctionBuilder, state: I32, record: I32, kind: I32): I32 {
  const segment = state.add(f.loadExpression('i32.load8_u', record, R_SEGMENT).shl(Math.log2(SEG_BYTES)))
  const rights = f.loadExpression('i32.load8_u', segment, S_SEGMENTS + SEG_RIGHTS)
  return kind.eq(ADDRESS_CHECKED | ADDRESS_32).and(rights.shrU(Math.log2(SEG_FLAT)))
}

/** Which rights a segment needs for an operand's access. */
function segmentFlags(access: 'r' | 'w' | 'rw' | 'n' | undefined): number {
  if (access === 'w') return SLOW_WRITE
  return access === 'rw' ? SLOW_WRITE | SLOW_MODIFY : 0
}

/** The integer load of a size. */
export function loadOp(
  size: number,
  signed: boolean,
): 'i64.load' | 'i64.load8_s' | 'i64.load8_u' | 'i64.load16_s' | 'i64.load16_u' | 'i64.load32_s' | 'i64.load32_u' {
  switch (size) {
    case 1:
      return signed ? 'i64.load8_s' : 'i64.load8_u'
    case 2:
      return signed ? 'i64.load16_s' : 'i64.load16_u'
    case 4:
      return signed ? 'i64.load32_s' : 'i64.load32_u'
    case 8:
      return 'i64.load'
    default:
      throw new RangeError(`no integer load of ${size} bytes`)
  }
}

/** The integer store of a size. */
export function storeOp(size: number): 'i64.store' | 'i64.store8' | 'i64.store16' | 'i64.store32' {
  switch (size) {
    case 1:
      return 'i64.store8'
    case 2:
      return 'i64.store16'
    case 4:
      return 'i64.store32'
    case 8:
      return 'i64.store'
    default:
      throw new RangeError(`no integer store of ${size} bytes`)
  }
}

/** Sign-extends from `size` bytes. */
export function signExtend(value: I64, size: number): I64 {
  return size === 1 ? value.extend8S() : size === 2 ? value.extend16S() : size === 4 ? value.extend32S() : value
}

/** Zero-extends from `size` bytes. */
export function zeroExtend(value: I64, size: number): I64 {
  return size === 8 ? value : value.and((1n << BigInt(8 * size)) - 1n)
}

/** Bit `bit` of RFLAGS if `condition` (0 or 1), else 0. */
export function flagBit(condition: I32, mask: number): I64 {
  return condition.toI64U().shl(31 - Math.clz32(mask))
}

/** `condition ? a : b` for 64-bit values. */
export function choose(condition: I32, whenTrue: I64Like, whenFalse: I64Like): I64 {
  return select(condition, I64.of(whenTrue), I64.of(whenFalse))
}
