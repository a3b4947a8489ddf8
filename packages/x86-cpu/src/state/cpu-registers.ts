import type { PagingContext } from '@retrap/paging'
import * as S from './state-layout.ts'

/** Views of a vCPU's state area. */
interface StateViews {
  readonly u8: Uint8Array
  readonly u32: Uint32Array
  readonly u64: BigUint64Array
}

/**
 * A vCPU's registers by name, for code outside the processor. They are views of its state: a write is in force at once.
 * Segments and control registers are set by `Vcpu.load` and `restoreVcpu`, which derive what depends on them.
 */
export class CpuRegisters {
  /** General registers by number: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15. */
  readonly general: BigUint64Array
  /** The same as words: the low word of register n is at 2n. */
  readonly generalWords: Uint32Array
  /** Vector registers 0 to 31, 64 bytes each. */
  readonly vectors: Uint8Array
  /** The four page-directory-pointer entries of PAE paging, as words. */
  readonly pdptes: Uint32Array
  /** All registers that instructions change but RFLAGS, as bytes: for comparing processors. */
  readonly parts: readonly Uint8Array[]
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array

  /** @internal */
  constructor({ u8, u32, u64 }: StateViews) {
    this.#u32 = u32
    this.#u64 = u64
    this.general = u64.subarray(S.S_GPR >>> 3, (S.S_GPR >>> 3) + 16)
    this.generalWords = u32.subarray(S.S_GPR >>> 2, (S.S_GPR >>> 2) + 32)
    this.vectors = u8.subarray(S.S_XMM, S.S_SCRATCH)
    this.pdptes = u32.subarray(S.S_PDPTE >>> 2, (S.S_PDPTE >>> 2) + 8)
    this.parts = [
      u8.subarray(S.S_GPR, S.S_RIP + 8),
      u8.subarray(S.S_SEGMENTS, S.S_FAULT_VECTOR),
      u8.subarray(S.S_FPR, S.S_SCRATCH),
      u8.subarray(S.S_EGPR, S.VCPU_BYTES),
    ]
  }

  /** The instruction pointer, relative to CS. */
  get rip(): bigint {
    return this.#u64[S.S_RIP >>> 3]!
  }
  set rip(value: bigint) {
    this.#u64[S.S_RIP >>> 3] = value
  }

  /** The low word of RIP. */
  get eip(): number {
    return this.#u32[S.S_RIP >>> 2]!
  }
  set eip(value: number) {
    this.#u32[S.S_RIP >>> 2] = value
  }

  /** The mode of the current code: one of the `MODE_*`. */
  get mode(): number {
    return this.#u32[S.S_MODE >>> 2]!
  }

  /** Current privilege level: 0 in real mode, 3 in virtual-8086 mode. */
  get cpl(): number {
    return this.#u32[S.S_CPL >>> 2]!
  }

  /** CR0; bits 63:32 are reserved. */
  get cr0(): number {
    return this.#u32[S.S_CR0 >>> 2]!
  }

  /** CR2. */
  get cr2(): bigint {
    return this.#u64[S.S_CR2 >>> 3]!
  }
  set cr2(value: bigint) {
    this.#u64[S.S_CR2 >>> 3] = value
  }

  /** CR3. */
  get cr3(): bigint {
    return this.#u64[S.S_CR3 >>> 3]!
  }

  /** CR4; bits 63:32 are reserved. */
  get cr4(): number {
    return this.#u32[S.S_CR4 >>> 2]!
  }

  /** IA32_EFER; bits 63:32 are reserved. */
  get efer(): number {
    return this.#u32[S.S_EFER >>> 2]!
  }

  /** Reads the base of a segment: `ES` to `IDTR`. */
  segmentBase(segment: number): bigint {
    return this.#u64[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_BASE) >>> 3]!
  }

  /** Reads the low word of a segment's base. */
  segmentBaseLo(segment: number): number {
    return this.#u32[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_BASE) >>> 2]!
  }

  /** Reads a segment's selector. */
  selector(segment: number): number {
    return this.#u32[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_SELECTOR) >>> 2]!
  }

  /** Hands the control registers, PDPTEs and rights of protection keys to a context of page walks. */
  configurePaging(paging: PagingContext): void {
    const u32 = this.#u32
    paging.configure(this.cr0, u32[S.S_CR3 >>> 2]!, u32[(S.S_CR3 >>> 2) + 1]!, this.cr4, this.efer)
    // At every MOV to CR3: a part of an array would be an object.
    for (let i = 0; i < 8; i++) paging.pdptes[i] = u32[(S.S_PDPTE >>> 2) + i]!
    paging.pkru = u32[S.S_PKRU >>> 2]!
    paging.pkrs = u32[S.S_PKRS >>> 2]!
  }
}
