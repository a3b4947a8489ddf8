import { EXECUTE_VIEWS, type Tlb } from '@retrap/engine'
import * as S from '../state/state-layout.ts'
import * as architecture from '../state/architecture.ts'

/**
 * The processor's mode, from control registers, CS, SS and RFLAGS: privilege level, code size, and which exceptions the vector
 * units raise before they look at anything else.
 *
 * @param u32 - the state area
 * @returns the TLB set of explicit accesses; TLB_MISS where each access must be looked at, for its alignment
 */
function deriveMode(u32: Uint32Array): number {
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
  const xcr0 = (cr4 & architecture.CR4_OSXSAVE) === 0 ? 0 : u32[S.S_XCR0 >>> 2]!
  const vectors = (state: number): number => (real || (xcr0 & state) !== state ? 6 : switched ? 7 : 0)
  u32[S.S_VEX_GATE >>> 2] = real ? 6 : 0
  u32[S.S_AVX_GATE >>> 2] = vectors(architecture.XCR0_SSE | architecture.XCR0_AVX)
  u32[S.S_EVEX_GATE >>> 2] = vectors(architecture.XCR0_EVEX)
  // CR0.TS does not matter to these.
  const long64 = (state: number): number => (mode === S.MODE_64 && (xcr0 & state) === state ? 0 : 6)
  u32[S.S_APX_GATE >>> 2] = long64(architecture.XCR0_APX)
  u32[S.S_TILE_GATE >>> 2] = long64(architecture.XCR0_TILE)
  if (cpl === 3) return (eflags & S.FLAG_AC) !== 0 && (cr0 & architecture.CR0_AM) !== 0 ? S.TLB_MISS : S.TLB_USER
  return (cr4 & architecture.CR4_SMAP) !== 0 && (eflags & S.FLAG_AC) === 0 ? S.TLB_SUPERVISOR_SMAP : S.TLB_SUPERVISOR
}

/** The TLB set of implicit supervisor accesses: SMAP applies to them whatever RFLAGS.AC says. */
function implicitSet(u32: Uint32Array): number {
  return (u32[S.S_CR4 >>> 2]! & architecture.CR4_SMAP) === 0 ? S.TLB_SUPERVISOR : S.TLB_SUPERVISOR_SMAP
}

/** Indices of the fields of CS. */
const CODE_BASE = (S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2
const CODE_LIMIT = (S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2

/** The view that execute entries are made for. */
interface ExecuteView {
  /** The modes of code: S_MODE by TLB set, a byte each, and S_APX_GATE of 64-bit code. */
  modes: number
  /** Base and limit of CS: pages that have an entry lie within it as a whole. */
  codeBase: number
  codeLimit: number
}

function isFor(view: ExecuteView, modes: number, codeBase: number, codeLimit: number): boolean {
  return view.modes === modes && view.codeBase === codeBase && view.codeLimit === codeLimit
}

/**
 * The TLB set of the current access mode: which one accesses look into, and which one translations are kept in. Generated
 * code changes it too (`semantics/privileged/kernel-entry.ts`), so it lies in the state area.
 */
export class AccessMode {
  readonly #u32: Uint32Array
  readonly #tlb: Tlb
  /** The views that execute entries were made for, by view of the TLB. */
  readonly #views: readonly ExecuteView[]
  /** The view of the current mode, and the one that was given a new meaning last. */
  #view = 0
  #newest = 0

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, tlb: Tlb) {
    this.#u32 = u32
    this.#tlb = tlb
    u32[S.S_ACCESS_SET >>> 2] = S.TLB_SUPERVISOR
    this.#views = Array.from({ length: EXECUTE_VIEWS }, () => ({ modes: -1, codeBase: 0, codeLimit: -1 }))
    this.#views[0]!.modes = 0
  }

  /** The set of explicit accesses, whose execute table is in use; TLB_MISS where nothing may be kept. */
  get executeSet(): number {
    return this.#u32[S.S_ACCESS_SET >>> 2]!
  }

  /** The set that translations of explicit accesses are kept in now, or -1. */
  get fillSet(): number {
    const set = this.#u32[S.S_ACCESS_SET >>> 2]!
    return set === S.TLB_MISS ? -1 : set
  }

  /** The same for implicit supervisor accesses. */
  get implicitSet(): number {
    return implicitSet(this.#u32)
  }

  /** Derives everything anew after a change of CS, SS, control registers or RFLAGS; see `Cpu.modeChanged`. */
  changed(): void {
    const u32 = this.#u32
    const set = deriveMode(u32)
    const mode = u32[S.S_MODE >>> 2]!
    u32[S.S_ACCESS_SET >>> 2] = set
    const { modes, codeBase, codeLimit } = this.#views[this.#view]!
    const kept = mode === S.MODE_64 ? (modes & 0xff_ffff) | (u32[S.S_APX_GATE >>> 2]! << 24) : modes
    const newModes = set === S.TLB_MISS ? kept : (kept & ~(0xff << (8 * set))) | (mode << (8 * set))
    // 64-bit mode has no limit.
    const base = mode === S.MODE_64 ? codeBase : u32[CODE_BASE]! | 0
    const limit = mode === S.MODE_64 ? codeLimit : u32[CODE_LIMIT]! | 0
    if (newModes !== modes || base !== codeBase || limit !== codeLimit) this.#changeView(newModes, base, limit)
    if (u32[S.S_LOGGED >>> 2] === 1) this.missAll()
    else this.useSet()
  }

  /** Has the execute entries be those of other modes, or of another code segment. */
  #changeView(modes: number, codeBase: number, codeLimit: number): void {
    const old = this.#view
    let to = 0
    while (to < EXECUTE_VIEWS && !isFor(this.#views[to]!, modes, codeBase, codeLimit)) to++
    if (to === EXECUTE_VIEWS) {
      to = this.#newest
      do to = (to + 1) % EXECUTE_VIEWS
      while (to === old)
      this.#newest = to
      const view = this.#views[to]!
      view.modes = modes
      view.codeBase = codeBase
      view.codeLimit = codeLimit
      this.#tlb.dropView(to)
    }
    this.#view = to
    this.#u32[S.S_EXECUTE_MODES >>> 2] = modes
    this.#tlb.exchangeView(old, to)
  }

  /** Makes generated code look into the set of the current mode. */
  useSet(): void {
    this.#u32[S.S_TLB >>> 2] = this.#tlb.setAddress(this.executeSet)
  }

  /** Makes every access of generated code miss: in a logged pass. */
  missAll(): void {
    this.#u32[S.S_TLB >>> 2] = this.#tlb.setAddress(S.TLB_MISS)
  }
}
