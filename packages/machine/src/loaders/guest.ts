import { CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from '@retrap/x86-cpu'

/** One segment register with its hidden part. */
export interface SegmentState {
  /** The visible selector. */
  readonly selector: number
  /** Linear address of the segment's first byte. */
  readonly base: number
  /** Last byte offset, granularity applied. */
  readonly limit: number
  /** Descriptor bits: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15. */
  readonly attributes: number
}

/** A descriptor-table register. */
export interface TableState {
  /** Linear address of the table. */
  readonly base: number
  /** Offset of the segment's last byte. */
  readonly limit: number
}

/** The first processor's registers, as a boot protocol wants them. Those not named are 0. */
export interface InitialState {
  /** The processor’s mode at the entry point. */
  readonly mode: 'real' | 'protected' | 'long'
  /** All values fit a number exactly: entry points and structures lie below 2^52. */
  readonly registers: Readonly<{
    rax: number
    rbx: number
    rcx: number
    rdx: number
    rsi: number
    rdi: number
    rbp: number
    rsp: number
    rip: number
    rflags: number
  }>
  /** Segment registers, TR and LDTR with their hidden parts. */
  readonly segments: Readonly<Record<'cs' | 'ds' | 'es' | 'fs' | 'gs' | 'ss' | 'tr' | 'ldtr', SegmentState>>
  /** Global descriptor table register. */
  readonly gdtr: TableState
  /** Interrupt descriptor table register. */
  readonly idtr: TableState
  /** CR0. */
  readonly cr0: number
  /** CR3: GPA of the top page table, or 0. */
  readonly cr3: number
  /** CR4. */
  readonly cr4: number
  readonly efer: number
}

const RFLAGS_FIXED = 0x2
const FLAT_LIMIT = 0xffff_ffff
const CODE32 = 0xc09b
const CODE64 = 0xa09b
const DATA32 = 0xc093
const TSS32_BUSY = 0x008b
const TSS64_BUSY = 0x008b
const TSS_LIMIT = 0x67
const LDT = 0x0082

const NO_REGISTERS: InitialState['registers'] = {
  rax: 0,
  rbx: 0,
  rcx: 0,
  rdx: 0,
  rsi: 0,
  rdi: 0,
  rbp: 0,
  rsp: 0,
  rip: 0,
  rflags: RFLAGS_FIXED,
}

/** Protected mode, flat 4 GiB segments, no paging, interrupts off. */
export function flatProtectedState(
  code: number,
  data: number,
  registers: Partial<InitialState['registers']>,
  gdtr: TableState = { base: 0, limit: 0 },
): InitialState {
  const dataSegment: SegmentState = { selector: data, base: 0, limit: FLAT_LIMIT, attributes: DATA32 }
  return {
    mode: 'protected',
    registers: { ...NO_REGISTERS, ...registers },
    segments: {
      cs: { selector: code, base: 0, limit: FLAT_LIMIT, attributes: CODE32 },
      ds: dataSegment,
      es: dataSegment,
      fs: dataSegment,
      gs: dataSegment,
      ss: dataSegment,
      tr: { selector: 0, base: 0, limit: TSS_LIMIT, attributes: TSS32_BUSY },
      ldtr: { selector: 0, base: 0, limit: 0, attributes: LDT },
    },
    gdtr,
    idtr: { base: 0, limit: 0 },
    cr0: CR0_PE | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
  }
}

/** 64-bit mode with paging from the tables at `cr3`, interrupts off. */
export function longModeState(
  code: number,
  data: number,
  registers: Partial<InitialState['registers']>,
  gdtr: TableState,
  cr3: number,
): InitialState {
  const flat = flatProtectedState(code, data, registers, gdtr)
  return {
    ...flat,
    mode: 'long',
    segments: {
      ...flat.segments,
      cs: { selector: code, base: 0, limit: FLAT_LIMIT, attributes: CODE64 },
      tr: { selector: 0, base: 0, limit: TSS_LIMIT, attributes: TSS64_BUSY },
    },
    cr0: (CR0_PG | CR0_PE | CR0_ET) >>> 0,
    cr3,
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
  }
}

/**
 * A processor after reset: real mode at 0xFFFFFFF0.
 *
 * Source: Intel SDM vol. 3A, "Processor State After Reset".
 *
 * @param signature - family, model and stepping as CPUID leaf 1 EAX gives them, for EDX
 */
export function resetState(signature: number): InitialState {
  const data: SegmentState = { selector: 0, base: 0, limit: 0xffff, attributes: 0x0093 }
  return {
    mode: 'real',
    registers: { ...NO_REGISTERS, rip: 0xfff0, rdx: signature },
    segments: {
      cs: { selector: 0xf000, base: 0xffff_0000, limit: 0xffff, attributes: 0x009b },
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: data,
      tr: { selector: 0, base: 0, limit: 0xffff, attributes: TSS32_BUSY },
      ldtr: { selector: 0, base: 0, limit: 0xffff, attributes: LDT },
    },
    gdtr: { base: 0, limit: 0xffff },
    idtr: { base: 0, limit: 0xffff },
    cr0: CR0_NW | CR0_CD | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
  }
}

/** Real mode with all data segments at `segment`, the code at `ip` of the segment, interrupts off. */
export function realModeState(segment: number, ip: number, sp: number): InitialState {
  const data: SegmentState = { selector: segment, base: segment * 16, limit: 0xffff, attributes: 0x0093 }
  const cs = { selector: segment + (ip >> 4), base: segment * 16 + ip, limit: 0xffff, attributes: 0x009b }
  const reset = resetState(0)
  return {
    ...reset,
    registers: { ...NO_REGISTERS, rip: 0, rsp: sp },
    segments: { ...reset.segments, cs, ds: data, es: data, fs: data, gs: data, ss: data },
    idtr: { base: 0, limit: 0x3ff },
    cr0: CR0_ET,
  }
}
