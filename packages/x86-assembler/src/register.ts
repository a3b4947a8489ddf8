import { maskedRegister, type MaskedRegister } from './masked.ts'

/**
 * The kinds of register that an operand can name.
 *
 * `gp8High` is AH, CH, DH, BH: they share numbers 4..7 with SPL, BPL, SIL, DIL and cannot stand
 * in one instruction with a REX prefix (SDM vol. 2A, "REX Prefixes"). `xmmHigh` and `ymmHigh` are XMM16 to XMM31 and
 * YMM16 to YMM31, which only EVEX can name.
 */
export type RegisterClass =
  | 'gp8'
  | 'gp8High'
  | 'gp16'
  | 'gp32'
  | 'gp64'
  | 'segment'
  | 'control'
  | 'debug'
  | 'x87'
  | 'mmx'
  | 'xmm'
  | 'xmmHigh'
  | 'ymm'
  | 'ymmHigh'
  | 'zmm'
  | 'mask'
  | 'tile'
  | 'bound'

/**
 * One register. The class is a type parameter, so that `asm.mov(eax, rbx)` is refused by the compiler.
 *
 * `number` is the architectural number with all extension bits applied: 0..31, and 4..7 for AH..BH.
 */
export interface Register<Class extends RegisterClass = RegisterClass> {
  /** Tells the kinds of operand apart. */
  readonly type: 'register'
  /** Class. */
  readonly class: Class
  /** Architectural number. */
  readonly number: number
  /** Name in lower case. */
  readonly name: string
}

/** The classes of register that an AVX-512 instruction can write under a mask. */
export type MaskableClass = 'xmm' | 'xmmHigh' | 'ymm' | 'ymmHigh' | 'zmm' | 'mask'

/** A register that can be written under a mask. */
export interface MaskableRegister<Class extends MaskableClass = MaskableClass> extends Register<Class> {
  /**
   * The register as a destination under a mask: elements whose bit in `mask` is clear keep their value, or, with
   * `zmm1.k(k1).z()`, become 0.
   *
   * @param mask - K1 to K7; K0 does not compile, or throws `ERR_OPERAND`, since it stands for no mask
   */
  k<Mask extends MaskRegister>(mask: WriteMask<Mask>): MaskedRegister<MaskableRegister<Class>>
}

/** The type of a class's registers: most have only a name and a number. */
export type RegisterOf<Class extends RegisterClass> = Class extends MaskableClass
  ? MaskableRegister<Class>
  : Register<Class>

/** A byte register, AH to BH included. */
export type Gp8 = Register<'gp8'> | Register<'gp8High'>
/** A 16-bit general register. */
export type Gp16 = Register<'gp16'>
/** A 32-bit general register. */
export type Gp32 = Register<'gp32'>
/** A 64-bit general register. */
export type Gp64 = Register<'gp64'>
/** ES, CS, SS, DS, FS or GS. */
export type SegmentRegister = Register<'segment'>
/** CR0 to CR15. */
export type ControlRegister = Register<'control'>
/** DR0 to DR15. */
export type DebugRegister = Register<'debug'>
/** ST(0) to ST(7). */
export type X87Register = Register<'x87'>
/** MM0 to MM7. */
export type MmxRegister = Register<'mmx'>
/** XMM0 to XMM15. */
export type XmmRegister = MaskableRegister<'xmm'>
/** XMM16 to XMM31. */
export type XmmHighRegister = MaskableRegister<'xmmHigh'>
/** YMM0 to YMM15. */
export type YmmRegister = MaskableRegister<'ymm'>
/** YMM16 to YMM31. */
export type YmmHighRegister = MaskableRegister<'ymmHigh'>
/** ZMM0 to ZMM31. */
export type ZmmRegister = MaskableRegister<'zmm'>
/** The mask registers K0 to K7. */
export type MaskRegister = MaskableRegister<'mask'>
/** A mask register that can be a mask: the compiler refuses `k0`, which stands for none. */
export type WriteMask<Mask extends MaskRegister = MaskRegister> = Mask & (Mask['number'] extends 0 ? never : unknown)
/** The tile registers TMM0 to TMM7. */
export type TileRegister = Register<'tile'>
/** The bound registers BND0 to BND3 of MPX. */
export type BoundRegister = Register<'bound'>

export function register<Class extends RegisterClass>(kind: Class, number: number, name: string): Register<Class> {
  return Object.freeze({ type: 'register', class: kind, number, name })
}

/** Makes a register with a `k` method. */
export function maskable<Class extends MaskableClass>(
  kind: Class,
  number: number,
  name: string,
): MaskableRegister<Class> {
  return Object.freeze({
    type: 'register',
    class: kind,
    number,
    name,
    k(mask: MaskRegister) {
      return maskedRegister(this, mask)
    },
  })
}
