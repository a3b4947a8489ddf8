import {
  CS,
  FLAG_AC,
  FLAG_VM,
  MODE_16,
  MODE_32,
  MODE_64,
  S_AVX_GATE,
  S_CANONICAL_SHIFT,
  S_CPL,
  S_CR0,
  S_CR4,
  S_EFER,
  S_EFLAGS,
  S_MMX_GATE,
  S_MODE,
  S_RIP_MASK,
  S_SEGMENTS,
  S_SSE_GATE,
  S_VEX_GATE,
  S_X87_GATE,
  S_XCR0,
  SEG_ATTRIBUTES,
  SEG_BYTES,
  SS,
  TLB_MISS,
  TLB_SUPERVISOR,
  TLB_SUPERVISOR_SMAP,
  TLB_USER,
} from './state-layout.ts'
import {
  CR0_PE,
  CR0_EM,
  CR0_TS,
  CR0_AM,
  CR4_OSFXSR,
  CR4_LA57,
  CR4_OSXSAVE,
  CR4_SMAP,
  EFER_LMA,
  ATTR_L,
  ATTR_DB,
} from './architecture.ts'

/** SSE and AVX state. */
const XCR0_AVX_STATE = 6

/**
 * The processor's mode, from control registers, CS, SS and RFLAGS: privilege level, code size, and which exceptions the vector
 * units raise before they look at anything else.
 *
 * @param u32 - the state area
 * @returns the TLB set of explicit accesses; TLB_MISS where each access must be looked at, for its alignment
 */
export function deriveMode(u32: Uint32Array): number {
  const cr0 = u32[S_CR0 >>> 2]!
  const cr4 = u32[S_CR4 >>> 2]!
  const eflags = u32[S_EFLAGS >>> 2]!
  const long = (u32[S_EFER >>> 2]! & EFER_LMA) !== 0
  const csAttributes = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_ATTRIBUTES) >>> 2]!
  const ssAttributes = u32[(S_SEGMENTS + SEG_BYTES * SS + SEG_ATTRIBUTES) >>> 2]!
  const protectedMode = (cr0 & CR0_PE) !== 0
  const v86 = (eflags & FLAG_VM) !== 0
  const cpl = !protectedMode ? 0 : v86 ? 3 : (ssAttributes >>> 5) & 3
  u32[S_CPL >>> 2] = cpl
  const wide = (csAttributes & ATTR_DB) !== 0 && !v86
  const mode = long && (csAttributes & ATTR_L) !== 0 ? MODE_64 : wide ? MODE_32 : MODE_16
  u32[S_MODE >>> 2] = mode
  u32[S_RIP_MASK >>> 2] = 0xffff_ffff
  u32[(S_RIP_MASK >>> 2) + 1] = mode === MODE_64 ? 0xffff_ffff : 0
  u32[S_CANONICAL_SHIFT >>> 2] = (cr4 & CR4_LA57) === 0 ? 16 : 7
  const emulated = (cr0 & CR0_EM) !== 0
  const switched = (cr0 & CR0_TS) !== 0
  u32[S_SSE_GATE >>> 2] = emulated || (cr4 & CR4_OSFXSR) === 0 ? 6 : switched ? 7 : 0
  u32[S_MMX_GATE >>> 2] = emulated ? 6 : switched ? 7 : 0
  u32[S_X87_GATE >>> 2] = emulated || switched ? 7 : 0
  const real = !protectedMode || v86
  const enabled = (cr4 & CR4_OSXSAVE) !== 0 && (u32[S_XCR0 >>> 2]! & XCR0_AVX_STATE) === XCR0_AVX_STATE
  u32[S_VEX_GATE >>> 2] = real ? 6 : 0
  u32[S_AVX_GATE >>> 2] = real || !enabled ? 6 : switched ? 7 : 0
  if (cpl === 3) return (eflags & FLAG_AC) !== 0 && (cr0 & CR0_AM) !== 0 ? TLB_MISS : TLB_USER
  return (cr4 & CR4_SMAP) !== 0 && (eflags & FLAG_AC) === 0 ? TLB_SUPERVISOR_SMAP : TLB_SUPERVISOR
}

/** The TLB set of implicit supervisor accesses: SMAP applies to them whatever RFLAGS.AC says. */
export function implicitSet(u32: Uint32Array): number {
  return (u32[S_CR4 >>> 2]! & CR4_SMAP) === 0 ? TLB_SUPERVISOR : TLB_SUPERVISOR_SMAP
}
