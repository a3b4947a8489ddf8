import * as S from './state-layout.ts'
import * as architecture from './architecture.ts'

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
  const cr0 = u32[S.S_CR0 >>> 2]!
  const cr4 = u32[S.S_CR4 >>> 2]!
  const eflags = u32[S.S_EFLAGS >>> 2]!
  const long = (u32[S.S_EFER >>> 2]! & architecture.EFER_LMA) !== 0
  const csAttributes = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_ATTRIBUTES) >>> 2]!
  const ssAttributes = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.SS + S.SEG_ATTRIBUTES) >>> 2]!
  const protectedMode = (cr0 & architecture.CR0_PE) !== 0
  const v86 = (eflags & S.FLAG_VM) !== 0
  const cpl = !protectedMode ? 0 : v86 ? 3 : (ssAttributes >>> 5) & 3
  u32[S.S_CPL >>> 2] = cpl
  const wide = (csAttributes & architecture.ATTR_DB) !== 0 && !v86
  const mode = long && (csAttributes & architecture.ATTR_L) !== 0 ? S.MODE_64 : wide ? S.MODE_32 : S.MODE_16
  u32[S.S_MODE >>> 2] = mode
  u32[S.S_RIP_MASK >>> 2] = 0xffff_ffff
  u32[(S.S_RIP_MASK >>> 2) + 1] = mode === S.MODE_64 ? 0xffff_ffff : 0
  u32[S.S_CANONICAL_SHIFT >>> 2] = (cr4 & architecture.CR4_LA57) === 0 ? 16 : 7
  const emulated = (cr0 & architecture.CR0_EM) !== 0
  const switched = (cr0 & architecture.CR0_TS) !== 0
  u32[S.S_SSE_GATE >>> 2] = emulated || (cr4 & architecture.CR4_OSFXSR) === 0 ? 6 : switched ? 7 : 0
  u32[S.S_MMX_GATE >>> 2] = emulated ? 6 : switched ? 7 : 0
  u32[S.S_X87_GATE >>> 2] = emulated || switched ? 7 : 0
  const real = !protectedMode || v86
  const enabled = (cr4 & architecture.CR4_OSXSAVE) !== 0 && (u32[S.S_XCR0 >>> 2]! & XCR0_AVX_STATE) === XCR0_AVX_STATE
  u32[S.S_VEX_GATE >>> 2] = real ? 6 : 0
  u32[S.S_AVX_GATE >>> 2] = real || !enabled ? 6 : switched ? 7 : 0
  if (cpl === 3) return (eflags & S.FLAG_AC) !== 0 && (cr0 & architecture.CR0_AM) !== 0 ? S.TLB_MISS : S.TLB_USER
  return (cr4 & architecture.CR4_SMAP) !== 0 && (eflags & S.FLAG_AC) === 0 ? S.TLB_SUPERVISOR_SMAP : S.TLB_SUPERVISOR
}

/** The TLB set of implicit supervisor accesses: SMAP applies to them whatever RFLAGS.AC says. */
export function implicitSet(u32: Uint32Array): number {
  return (u32[S.S_CR4 >>> 2]! & architecture.CR4_SMAP) === 0 ? S.TLB_SUPERVISOR : S.TLB_SUPERVISOR_SMAP
}
