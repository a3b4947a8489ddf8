import type { CodeInfo } from '@retrap/x86-decoder'
import type { MemorySize } from './memory.ts'
import type { RegisterClass } from './register.ts'

/** The place of an operand's register number. */
export type Field = 'reg' | 'rm' | 'opcode' | 'vvvv' | 'is4'

/**
 * The kind of one operand of a form.
 *
 * - `register`: a register of one class, in `field`
 * - `rm`: a register of one class in ModRM.rm, or memory of `size` bytes
 * - `memory`: memory of `size` bytes in ModRM.rm (0: the size is not told apart); `index`: class of the vector register that
 *   is its index (VSIB)
 * - `fixed`: one particular register, which is not encoded
 * - `one`: the constant 1, which is not encoded
 * - `immediate`: `size` bytes, which the CPU sign-extends to `extendTo` bits (0: it does not)
 * - `nibble`: an immediate of four bits beside the register of `is4`
 * - `relative`: a branch displacement of `size` bytes
 * - `absolute`: a branch target of 8 bytes, as it is (JMPABS)
 * - `flags`: the default flags of CCMP and CTEST
 * - `far`: a far pointer with an offset of `bits`
 * - `moffs`: memory by its address alone, after the opcode
 * - `implied`: memory or a register that the instruction uses by itself; it may be left out, or be given to choose
 *   address size and segment
 */
export type Slot =
  | { readonly kind: 'register'; readonly class: RegisterClass; readonly field: Field }
  | { readonly kind: 'rm'; readonly class: RegisterClass; readonly size: number }
  | { readonly kind: 'memory'; readonly size: number; readonly index?: 'xmm' | 'ymm' | 'zmm' }
  | {
      readonly kind: 'fixed'
      readonly class: RegisterClass
      readonly number: number
      readonly optional: boolean
    }
  | { readonly kind: 'one' }
  | { readonly kind: 'immediate'; readonly size: 1 | 2 | 4 | 8; readonly extendTo: 0 | 16 | 32 | 64 }
  | { readonly kind: 'nibble' }
  | { readonly kind: 'relative'; readonly size: 1 | 2 | 4 }
  | { readonly kind: 'absolute' }
  | { readonly kind: 'flags' }
  | { readonly kind: 'far'; readonly bits: 16 | 32 }
  | { readonly kind: 'moffs'; readonly size: number }
  | {
      readonly kind: 'implied'
      readonly size: number
      /** rSI or rDI for strings, rBX for XLAT; -1: nothing that can be written. */
      readonly base: number
      /** False for ES:rDI, which no prefix changes. */
      readonly overridable: boolean
    }

/** The part of an encoding that says a form's operand size: nothing, a 66 prefix, or REX.W (VEX.W). */
export type SizePrefix = 'none' | '66' | 'w'

/** How a form is encoded: a row of the decoder's table for one operand size. */
export interface Form extends Omit<CodeInfo, 'operandSize' | 'vexW' | 'prefix'> {
  readonly slots: readonly Slot[]
  /** The slots without optional ones. */
  readonly requiredSlots: readonly Slot[]
  /** Prefix for the operand size by mode; undefined: no such form in that mode. */
  readonly sizing: Readonly<Record<16 | 32 | 64, SizePrefix | undefined>>
  /** Operand size in bits if it affects the encoding; otherwise 0. */
  readonly operandSize: 0 | 16 | 32 | 64
  /** VEX.W that the form demands by itself, apart from the operand size. */
  readonly vexW: boolean
  /** EVEX.ND is 1: a new data destination in vvvv, or zeroed upper bits. */
  readonly newDestination: boolean
  readonly prefix: 0 | 0x66 | 0xf2 | 0xf3
  /** RSP is refused: PUSH2 and POP2. */
  readonly noStackPointer: boolean
  /** Whether REX2 may precede the form. */
  readonly rex2: boolean
  readonly repeatable: boolean
}

const WRITABLE: readonly MemorySize[] = [1, 2, 4, 6, 8, 10, 16, 32, 64]

/** Returns the size of a memory operand in source code, or 0 if the constructors have none so large. */
export function writableSize(size: number): MemorySize {
  return WRITABLE.find((one) => one === size) ?? 0
}
