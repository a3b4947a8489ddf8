/**
 * Short names for the types of operands, in which the mnemonic methods are written.
 *
 * The number after `M` and `Rm` is the size in bits. `Memory<0>`, made by `ptr()`, is memory whose size another operand
 * tells.
 */
import type { Masked } from './masked.ts'
import type { Broadcast, Memory } from './memory.ts'
import type {
  Gp16,
  Gp32,
  Gp64,
  Gp8,
  MaskRegister,
  XmmHighRegister,
  XmmRegister,
  YmmHighRegister,
  YmmRegister,
  ZmmRegister,
} from './register.ts'

/** Memory of 8 bits. */
export type M8 = Memory<0 | 1>
/** Memory of 16 bits. */
export type M16 = Memory<0 | 2>
/** Memory of 32 bits. */
export type M32 = Memory<0 | 4>
/** Memory of 48 bits. */
export type M48 = Memory<0 | 6>
/** Memory of 64 bits. */
export type M64 = Memory<0 | 8>
/** Memory of 80 bits. */
export type M80 = Memory<0 | 10>
/** Memory of 128 bits. */
export type M128 = Memory<0 | 16>
/** Memory of 256 bits. */
export type M256 = Memory<0 | 32>
/** Memory of 512 bits. */
export type M512 = Memory<0 | 64>

/** A byte register or memory. */
export type Rm8 = Gp8 | M8
/** A 16-bit register or memory. */
export type Rm16 = Gp16 | M16
/** A 32-bit register or memory. */
export type Rm32 = Gp32 | M32
/** A 64-bit register or memory. */
export type Rm64 = Gp64 | M64

/** XMM0 to XMM31. */
export type Xmm = XmmRegister | XmmHighRegister
/** YMM0 to YMM31. */
export type Ymm = YmmRegister | YmmHighRegister

/** XMM0 to XMM31, perhaps under a mask. */
export type XmmK = Xmm | Masked<Xmm>
/** YMM0 to YMM31, perhaps under a mask. */
export type YmmK = Ymm | Masked<Ymm>
/** ZMM0 to ZMM31, perhaps under a mask. */
export type ZmmK = ZmmRegister | Masked<ZmmRegister>
/** K0 to K7, optionally under another mask. */
export type MaskK = MaskRegister | Masked<MaskRegister>
/** Memory of 16 bits, perhaps under a mask. */
export type M16K = M16 | Masked<M16>
/** Memory of 32 bits, perhaps under a mask. */
export type M32K = M32 | Masked<M32>
/** Memory of 64 bits, perhaps under a mask. */
export type M64K = M64 | Masked<M64>
/** Memory of 128 bits, perhaps under a mask. */
export type M128K = M128 | Masked<M128>
/** Memory of 256 bits, perhaps under a mask. */
export type M256K = M256 | Masked<M256>
/** Memory of 512 bits, perhaps under a mask. */
export type M512K = M512 | Masked<M512>

/** Elements of 16 bits that are broadcast from memory. */
export type B16 = Broadcast<0 | 2>
/** Elements of 32 bits that are broadcast from memory. */
export type B32 = Broadcast<0 | 4>
/** Elements of 64 bits that are broadcast from memory. */
export type B64 = Broadcast<0 | 8>
