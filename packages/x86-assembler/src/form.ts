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
export interface Form {
  readonly code: number
  readonly mnemonic: string
  readonly slots: readonly Slot[]
  /** The slots without optional ones. */
  readonly requiredSlots: readonly Slot[]
  /** Prefix for the operand size by mode; undefined: no such form in that mode. */
  readonly sizing: Readonly<Record<16 | 32 | 64, SizePrefix | undefined>>
  /** Operand size in bits if it affects the encoding; otherwise 0. */
  readonly operandSize: 0 | 16 | 32 | 64
  /** Address size in bits that it demands; otherwise 0. */
  readonly addressSize: 0 | 16 | 32 | 64
  /** XOP is as VEX, with other maps; `rex2` is a legacy form that exists after REX2 only. */
  readonly encoding: 'legacy' | 'rex2' | 'vex' | 'xop' | 'evex'
  /** VEX.L or EVEX.L'L; -1: none. */
  readonly vectorLength: -1 | 0 | 1 | 2
  /** VEX.W that the form demands by itself, apart from the operand size. */
  readonly vexW: boolean
  /** 0 one-byte, 1 0F, 2 0F38, 3 0F3A, 4 0F0F with the opcode after the operands, 8 to 10 XOP's. EVEX has more. */
  readonly map: number
  /** Which mask the first operand may have; `zero`: with zeroing too, in a register. */
  readonly masking: 'none' | 'merge' | 'zero' | 'required'
  /** Bytes of an element that is broadcast from memory; 0: it has no broadcast. */
  readonly broadcast: 0 | 2 | 4 | 8
  /** The rounding words that may be given, if all operands are registers. */
  readonly rounding: 'none' | 'rounding' | 'sae'
  /** EVEX.ND is 1: a new data destination in vvvv, or zeroed upper bits. */
  readonly newDestination: boolean
  /** Whether EVEX.NF may be 1, so that no flags are written, or must be. */
  readonly noFlags: 'never' | 'possible' | 'always'
  /** EVEX.SC of CCMP and CTEST, or -1. */
  readonly condition: number
  /** The factor of a displacement of 8 bits. */
  readonly disp8Scale: number
  readonly opcode: number
  /** The low three bits of the opcode name a register. */
  readonly opcodeRegister: boolean
  readonly prefix: 0 | 0x66 | 0xf2 | 0xf3
  /** ModRM.reg as an opcode extension, or -1. */
  readonly extension: number
  /** ModRM as a whole as an opcode extension, or -1. */
  readonly fixedModrm: number
  readonly hasModrm: boolean
  /** Whether the form duplicates another one, so that it is used only by name. */
  readonly alias: boolean
  readonly lockable: boolean
  /** Destination, index and mask, or three tiles, must be different registers. */
  readonly distinct: boolean
  /** RSP is refused: PUSH2 and POP2. */
  readonly noStackPointer: boolean
  /** Whether REX2 may precede the form. */
  readonly rex2: boolean
  /** Memory is encoded with a SIB byte. */
  readonly sib: boolean
  /** Memory must not be RIP-relative. */
  readonly noRip: boolean
  readonly repeatable: boolean
}

const WRITABLE: readonly MemorySize[] = [1, 2, 4, 6, 8, 10, 16, 32, 64]

/** Returns the size of a memory operand in source code, or 0 if the constructors have none so large. */
export function writableSize(size: number): MemorySize {
  return WRITABLE.find((one) => one === size) ?? 0
}
