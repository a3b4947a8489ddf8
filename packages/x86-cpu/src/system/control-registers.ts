import { Invalidate, PDPTE_RESERVED_LO, reloadsPdptes } from '@retrap/paging'
import { VECTOR_GP } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import * as architecture from '../state/architecture.ts'
import { locateUnchecked, startElements } from './element-address.ts'
import {
  gated,
  isMemory,
  kernelOnly,
  locating,
  readOperand,
  registerOffset,
  sizeOf,
  writeOperand,
  type Handler,
} from './operands.ts'
import { openSegmentsForRealMode } from './segments/segment-cache.ts'
import { checkUmip } from './segments/segment-instructions.ts'
import type { System } from './system.ts'

/** Whether PAE paging is in use: the four PDPTEs are registers. */
export function usesPdptes(s: System): boolean {
  return pdptesFor(s, s.get(S.S_CR0), s.get(S.S_CR4), s.get(S.S_EFER))
}

function pdptesFor(s: System, cr0: number, cr4: number, efer: number): boolean {
  // AMD's processors read the entries from memory in each walk (APM vol. 2, "Page-Directory-Pointer Entries").
  if (s.cpu.processor.amd) return false
  return (cr0 & architecture.CR0_PG) !== 0 && (cr4 & architecture.CR4_PAE) !== 0 && (efer & architecture.EFER_LMA) === 0
}

const pdptes = new Uint32Array(8)

/**
 * Loads the PDPTE registers from the table that CR3 names; all four or none.
 *
 * Source: SDM vol. 3A, "PDPTE Registers". @throws #GP(0) for reserved bits in a present entry
 */
export function loadPageDirectoryPointers(s: System, cr3: number): void {
  const table = (cr3 & ~31) >>> 0
  const { abovePhysicalHi } = s.cpu.processor
  for (let i = 0; i < 4; i++) {
    s.check(s.cpu.accessPhysical(table + 8 * i, 8))
    const lo = s.get(S.S_DATA)
    const hi = s.get(S.S_DATA + 4)
    if ((lo & 1) !== 0 && ((lo & PDPTE_RESERVED_LO) !== 0 || (hi & abovePhysicalHi) !== 0)) s.raise(VECTOR_GP, 0)
    pdptes[2 * i] = lo
    pdptes[2 * i + 1] = hi
  }
  for (let i = 0; i < 8; i++) s.set(S.S_PDPTE + 4 * i, pdptes[i]!)
}

/**
 * Changes CR0, with every rule of MOV CR0 (SDM vol. 2B, "MOV—Move to/from Control Registers"; vol. 3A, "Control
 * Registers", "Initializing IA-32e Mode"). MOV returns STATUS_JUMP: the mode may be another.
 */
function writeCr0(s: System, lo: number, hi: number): void {
  if (hi !== 0) s.raise(VECTOR_GP, 0)
  const old = s.get(S.S_CR0)
  // Reserved bits of the low half are ignored; ET is hardwired.
  const value = ((lo & architecture.CR0_DEFINED) | architecture.CR0_ET) >>> 0
  if ((value & architecture.CR0_PG) !== 0 && (value & architecture.CR0_PE) === 0) s.raise(VECTOR_GP, 0)
  if ((value & architecture.CR0_NW) !== 0 && (value & architecture.CR0_CD) === 0) s.raise(VECTOR_GP, 0)
  const changed = old ^ value
  let efer = s.get(S.S_EFER)
  const cr4 = s.get(S.S_CR4)
  if ((changed & architecture.CR0_PG) !== 0) {
    if ((value & architecture.CR0_PG) === 0) {
      if (s.mode64 || (cr4 & architecture.CR4_PCIDE) !== 0) s.raise(VECTOR_GP, 0)
      efer &= ~architecture.EFER_LMA
    } else if ((efer & architecture.EFER_LME) !== 0) {
      if ((cr4 & architecture.CR4_PAE) === 0) s.raise(VECTOR_GP, 0)
      if ((s.attributes(S.CS) & architecture.ATTR_L) !== 0) s.raise(VECTOR_GP, 0)
      if ((s.attributes(S.TR) & architecture.ATTR_TYPE) < architecture.SYSTEM_TSS) s.raise(VECTOR_GP, 0)
      efer |= architecture.EFER_LMA
    }
  }
  if (reloadsPdptes(old, value, cr4, cr4) && pdptesFor(s, value, cr4, efer)) {
    loadPageDirectoryPointers(s, s.get(S.S_CR3))
  }
  s.set(S.S_CR0, value)
  s.set(S.S_EFER, efer)
  if ((changed & architecture.CR0_PE) !== 0 && (value & architecture.CR0_PE) === 0) openSegmentsForRealMode(s)
  if ((changed & (architecture.CR0_PG | architecture.CR0_WP)) !== 0) {
    s.host.controlChanged()
    s.cpu.flushTlb(true)
  }
  if (changed !== 0) s.cpu.modeChanged()
}

function writeCr3(s: System, lo: number, hi: number): void {
  const identified = (s.get(S.S_CR4) & architecture.CR4_PCIDE) !== 0
  // Bit 63 is no part of CR3, but says whether translations are dropped; without PCID it is reserved like its neighbours.
  const address = identified ? hi & ~architecture.CR3_KEEP_HI : hi
  if ((address & s.cpu.processor.abovePhysicalHi) !== 0) s.raise(VECTOR_GP, 0)
  if (usesPdptes(s)) loadPageDirectoryPointers(s, lo)
  const old = s.get(S.S_CR3)
  s.set64(S.S_CR3, lo, address)
  s.host.controlChanged()
  if (identified) s.cpu.switchPcid(old & architecture.CR3_PCID, lo & architecture.CR3_PCID, address !== hi)
  else s.cpu.flushTlb(false)
}

function writeCr4(s: System, lo: number, hi: number): void {
  if (hi !== 0 || (lo & ~s.cpu.processor.cr4) !== 0) s.raise(VECTOR_GP, 0)
  const old = s.get(S.S_CR4)
  const changed = old ^ lo
  if (s.longMode && ((lo & architecture.CR4_PAE) === 0 || (changed & architecture.CR4_LA57) !== 0))
    s.raise(VECTOR_GP, 0)
  if ((changed & lo & architecture.CR4_PCIDE) !== 0 && (!s.longMode || (s.get(S.S_CR3) & architecture.CR3_PCID) !== 0))
    s.raise(VECTOR_GP, 0)
  if (reloadsPdptes(0, 0, old, lo) && pdptesFor(s, s.get(S.S_CR0), lo, s.get(S.S_EFER))) {
    loadPageDirectoryPointers(s, s.get(S.S_CR3))
  }
  s.set(S.S_CR4, lo)
  if (changed === 0) return
  s.host.controlChanged()
  if (
    (changed &
      (architecture.CR4_PAE |
        architecture.CR4_PGE |
        architecture.CR4_PSE |
        architecture.CR4_SMEP |
        architecture.CR4_PKE |
        architecture.CR4_PKS)) !==
      0 ||
    (changed & old & architecture.CR4_PCIDE) !== 0
  ) {
    s.cpu.flushTlb(true)
  }
  s.cpu.modeChanged()
}

function writeCr8(s: System, lo: number, hi: number): void {
  if (hi !== 0 || (lo & ~0xf) !== 0) s.raise(VECTOR_GP, 0)
  s.set(S.S_CR8, lo)
  s.host.writeTaskPriority(lo)
}

// @isa: complete   0F 22 /r   MOV CRn, r   "SDM vol. 2B, MOV—Move to/from Control Registers"
const movToControl: Handler = (s, record) => {
  s.requireCpl0()
  const source = registerOffset(s, record, 1)
  const lo = s.get(source)
  const hi = s.mode64 ? s.get(source + 4) : 0
  const register = registerOffset(s, record, 0)
  switch (register) {
    case S.S_CR0:
      writeCr0(s, lo, hi)
      break
    case S.S_CR2:
      s.set64(S.S_CR2, lo, hi)
      return S.STATUS_DONE
    case S.S_CR3:
      writeCr3(s, lo, hi)
      break
    case S.S_CR4:
      writeCr4(s, lo, hi)
      break
    case S.S_CR8:
      writeCr8(s, lo, hi)
      break
    default:
      s.undefinedOpcode()
  }
  return s.retireNext(record)
}

// @isa: complete   0F 20 /r   MOV r, CRn   "SDM vol. 2B, MOV—Move to/from Control Registers"
const movFromControl: Handler = (s, record) => {
  s.requireCpl0()
  const register = registerOffset(s, record, 1)
  const destination = registerOffset(s, record, 0)
  if (register === S.S_CR8) s.set64(destination, s.host.readTaskPriority(), 0)
  else s.set64(destination, s.get(register), s.mode64 ? s.get(register + 4) : 0)
  return S.STATUS_DONE
}

// @isa: complete   0F 01 /6   LMSW   "SDM vol. 2A, LMSW"
const lmsw: Handler = (s, record, form) => {
  const value = readOperand(s, record, form, 0, 2)
  const old = s.get(S.S_CR0)
  // PE can be set and not cleared.
  const low = architecture.CR0_PE | architecture.CR0_MP | architecture.CR0_EM | architecture.CR0_TS
  writeCr0(s, (old & ~low) | (value & low) | (old & architecture.CR0_PE), 0)
  return s.retireNext(record)
}

// @isa: complete   0F 01 /4   SMSW   "SDM vol. 2B, SMSW"
const smsw: Handler = (s, record, form) => {
  writeOperand(s, record, form, 0, s.get(S.S_CR0), isMemory(form, 0) ? 2 : sizeOf(form, 0))
  return S.STATUS_DONE
}

// @isa: complete   0F 06   CLTS   "SDM vol. 2A, CLTS"
export const clts: Handler = (s, record) => {
  s.requireCpl0()
  s.set(S.S_CR0, s.get(S.S_CR0) & ~architecture.CR0_TS)
  s.cpu.modeChanged()
  return s.retireNext(record)
}

// @isa: complete   0F 01 /7   INVLPG   "SDM vol. 2A, INVLPG"
const invlpg: Handler = (s, record) => {
  // The operand is not accessed: neither its segment's limit and rights nor canonical form matter.
  startElements(s, record)
  locateUnchecked(s, record)
  s.cpu.invalidatePage(s.linLo, s.linHi)
  return s.retireNext(record)
}

// @isa: complete   66 0F 38 82   INVPCID   "SDM vol. 2A, INVPCID"
const invpcid: Handler = (s, record) => {
  const register = registerOffset(s, record, 0)
  const scope = s.get(register)
  const lo = s.get(S.S_EA)
  const hi = s.get(S.S_EA + 4)
  const pcid = s.readAt(lo, hi, 0, 8)
  const reserved = (pcid & ~architecture.CR3_PCID) | s.hi
  s.readAt(lo, hi, 8, 8)
  if (scope > Invalidate.ALL_NON_GLOBAL || (s.mode64 && s.get(register + 4) !== 0)) s.raise(VECTOR_GP, 0)
  if (reserved !== 0) s.raise(VECTOR_GP, 0)
  if (scope <= Invalidate.PCID) {
    if (pcid !== 0 && (s.get(S.S_CR4) & architecture.CR4_PCIDE) === 0) s.raise(VECTOR_GP, 0)
    if (scope === Invalidate.ADDRESS && !s.isCanonicalBase(s.hi)) s.raise(VECTOR_GP, 0)
  }
  s.cpu.invalidatePcid(scope, pcid, s.lo, s.hi)
  return s.retireNext(record)
}

export const controlHandlers: Readonly<Record<string, Handler>> = {
  LMSW: gated(kernelOnly, lmsw),
  SMSW: gated(checkUmip, smsw),
  CLTS: clts,
  // No segment is checked.
  INVLPG: locating(gated(kernelOnly, invlpg)),
  INVPCID: gated(kernelOnly, invpcid),
}

/** MOV to and from. */
export const controlMoves: { readonly to: Handler; readonly from: Handler } = { to: movToControl, from: movFromControl }
