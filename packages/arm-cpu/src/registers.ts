import type { MachineMemory } from '@retrap/memory'
import { KEYS } from './pointer-keys.ts'
import type { KeyName } from './pointer-keys.ts'
import {
  POINTER_TAGGED,
  S_FLAG_C,
  S_FLAG_N,
  S_FLAG_V,
  S_FLAG_Z,
  S_FPCR,
  S_FPSR,
  S_KEYS,
  S_KEYS_ENABLED,
  S_PC,
  S_POINTERS,
  S_PSTATE,
  S_SP,
  S_SP_ALIGNMENT,
  S_TPIDRRO_EL0,
  S_TPIDR_EL0,
  S_V,
  S_X,
} from './state-layout.ts'

const count = (value: number, limit: number): number => {
  if (!Number.isInteger(value) || value < 0 || value >= limit) throw new RangeError(`there is no register ${value}`)
  return value
}

/** Bits of `ArmRegisters.pstate`. */
export const PSTATE_DIT: number = 1 << 24
export const PSTATE_SSBS: number = 1 << 12

function keyIndex(name: KeyName): number {
  const index = KEYS.indexOf(name)
  if (index < 0) throw new RangeError(`there is no key ${name}`)
  return (S_KEYS >>> 3) + 2 * index
}

/** As Linux has it: a stack pointer that is a base is a multiple of 16. */
const SP_ALIGNMENT = 15

/** As Linux has it: addresses of 48 bits; the upper byte is a tag in the lower range. */
const POINTERS = 0x3000 | (3 << POINTER_TAGGED) | 48

/** The registers of a processor by name, for people and tests: not while it runs. */
export class ArmRegisters {
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number) {
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#u64 = memory.u64.subarray(state >>> 3)
  }

  /** @internal What the state holds before anything has run. */
  reset(): void {
    this.nzcv = 0
    this.enabledKeys = 0xf
    this.#u32[S_POINTERS >>> 2] = POINTERS
    this.#u32[S_SP_ALIGNMENT >>> 2] = SP_ALIGNMENT
  }

  /** X0 to X30. @throws RangeError for another number */
  x(number: number): bigint {
    return this.#u64[(S_X >>> 3) + count(number, 31)]!
  }

  /** Sets X0 to X30. @throws RangeError for another number */
  setX(number: number, value: bigint): void {
    this.#u64[(S_X >>> 3) + count(number, 31)] = value
  }

  /** V0 to V31, 128 bits. @throws RangeError for another number */
  v(number: number): bigint {
    const at = (S_V >>> 3) + 2 * count(number, 32)
    return this.#u64[at]! | (this.#u64[at + 1]! << 64n)
  }

  /** Sets V0 to V31. @throws RangeError for another number */
  setV(number: number, value: bigint): void {
    const at = (S_V >>> 3) + 2 * count(number, 32)
    this.#u64[at] = value
    this.#u64[at + 1] = value >> 64n
  }

  /** The stack pointer in use. */
  get sp(): bigint {
    return this.#u64[S_SP >>> 3]!
  }
  set sp(value: bigint) {
    this.#u64[S_SP >>> 3] = value
  }

  /** Address of the next instruction. */
  get pc(): bigint {
    return this.#u64[S_PC >>> 3]!
  }
  set pc(value: bigint) {
    this.#u64[S_PC >>> 3] = value
  }

  /** PSTATE's N, Z, C and V, in bits 31 to 28. */
  get nzcv(): number {
    const n = this.#u64[S_FLAG_N >>> 3]! >> 63n === 1n ? 8 : 0
    const z = this.#u64[S_FLAG_Z >>> 3] === 0n ? 4 : 0
    return ((n | z | (this.#u32[S_FLAG_C >>> 2]! << 1) | this.#u32[S_FLAG_V >>> 2]!) << 28) >>> 0
  }
  set nzcv(value: number) {
    this.#u64[S_FLAG_N >>> 3] = BigInt(value >>> 31) << 63n
    this.#u64[S_FLAG_Z >>> 3] = (value & 0x4000_0000) === 0 ? 1n : 0n
    this.#u32[S_FLAG_C >>> 2] = (value >>> 29) & 1
    this.#u32[S_FLAG_V >>> 2] = (value >>> 28) & 1
  }

  /** PSTATE's DIT in bit 24 and SSBS in bit 12. They are kept, no more: what time an instruction takes is up to the host. */
  get pstate(): number {
    return this.#u32[S_PSTATE >>> 2]!
  }
  set pstate(value: number) {
    this.#u32[S_PSTATE >>> 2] = value & (PSTATE_DIT | PSTATE_SSBS)
  }

  /** A key of pointer authentication, 128 bits: the high half is that of the register `AP*KeyHi_EL1`. */
  key(name: KeyName): bigint {
    const at = keyIndex(name)
    return this.#u64[at]! | (this.#u64[at + 1]! << 64n)
  }

  /** Sets a key of pointer authentication. */
  setKey(name: KeyName, value: bigint): void {
    const at = keyIndex(name)
    this.#u64[at] = value
    this.#u64[at + 1] = value >> 64n
  }

  /** Which keys are in use: bits 0 to 3 for IA, IB, DA and DB. Instructions of the others do nothing. */
  get enabledKeys(): number {
    return this.#u32[S_KEYS_ENABLED >>> 2]!
  }
  set enabledKeys(value: number) {
    this.#u32[S_KEYS_ENABLED >>> 2] = value
  }

  /** Floating-point control register. */
  get fpcr(): number {
    return this.#u32[S_FPCR >>> 2]!
  }
  set fpcr(value: number) {
    this.#u32[S_FPCR >>> 2] = value
  }

  /** Floating-point status register. */
  get fpsr(): number {
    return this.#u32[S_FPSR >>> 2]!
  }
  set fpsr(value: number) {
    this.#u32[S_FPSR >>> 2] = value
  }

  /** TPIDR_EL0. */
  get tpidr(): bigint {
    return this.#u64[S_TPIDR_EL0 >>> 3]!
  }
  set tpidr(value: bigint) {
    this.#u64[S_TPIDR_EL0 >>> 3] = value
  }

  /** TPIDRRO_EL0. */
  get tpidrro(): bigint {
    return this.#u64[S_TPIDRRO_EL0 >>> 3]!
  }
  set tpidrro(value: bigint) {
    this.#u64[S_TPIDRRO_EL0 >>> 3] = value
  }
}
