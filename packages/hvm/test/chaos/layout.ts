/** The guest of the chaos oracle: page tables for every mode, descriptor tables, and where everything lies. */
import type { InitialCpuState } from '@retrap/x86-cpu'

/** Guest-physical layout. Linear addresses below 128 KiB are the same. */
const PML4 = 0x1000
const PDPT = 0x2000
/** Page directory and tables with 8-byte entries: 0–2 MiB, 2–4 MiB, 4–6 MiB. */
const PD_WIDE = 0x3000
const PT_WIDE = [0x4000, 0x6000, 0x5000] as const
const PAE_PDPT = 0x7000
/** With 4-byte entries: 0–4 MiB, 4–8 MiB. */
const PD_NARROW = 0x8000
const PT_NARROW = [0x9000, 0xa000] as const
const GDT = 0xb000
const GDT_BYTES = 0xa0
export const TABLES: number = PML4
export const TABLES_END: number = GDT
const IDT_64 = 0xc000
const IDT_32 = 0xc800
export const TSS = 0xd000
const TSS_32 = 0xd200
const OTHER_TSS_32 = 0xd400
const TSS_16 = 0xd600
const TSS_END = 0xd700
export const KERNEL_STACK = 0xe000
const IST_STACK = 0xf000
/** HLT every 16 bytes: where exceptions and interrupts lead. */
export const HANDLERS = 0x1_0000
const LDT = 0x1_1000
const LDT_BYTES = 0x80
export const USER_STACK_GPA = 0x1_2000
/** The four frames that the window may have. */
const WINDOW_GPA = 0x1_4000
/** Frames that nothing maps, for whoever changes page tables and the p2m. */
export const DECOY_GFNS: readonly number[] = [0x18, 0x19]
/** Code: the same address in both. */
export const CODE = 0x1_a000
export const RAM_BYTES = 0x1_c000
/** A page that leads to the table of the window's first pages, for code: see {@link ownEntry}. */
export const TABLE_CODE = 0x1_c000

/** Four linear pages, across the boundary of two page tables in every mode. */
export const WINDOW = 0x3f_e000
export const WINDOW_PAGES = 4
/** Base of data and stack segments in 16-bit code. */
export const BASE_16 = 0x3f_8000
/** Linear address of a page of RAM for stacks, within reach of 16-bit code. */
export const USER_STACK = 0x3f_b000

/** A device whose every read differs, where pages of the window may lead. */
export const FIFO_GPA = 0xa_0000
/** A device that keeps what it is given, where pages of descriptor tables, stacks and code may lead: at the same offset. */
export const STORE_GPA = 0xc_0000
export const STORE_BYTES = 0x2_0000
/** Where in that device the pages of the window may be. */
const STORE_WINDOW = RAM_BYTES
export const PORT = 0x80
export const PORTS = 0x50

/** System pages that may become the storing device. */
export const SYSTEM_PAGES: readonly number[] = [GDT, IDT_64, TSS, KERNEL_STACK, IST_STACK, LDT, CODE, CODE + 0x1000]

const PRESENT = 1
const WRITABLE = 2
const USER = 4
const NO_EXECUTE = 0x8000_0000
const VECTORS = 64
const HLT = 0xf4
const IRET = 0xcf
const REX_W = 0x48

/** Vectors whose handlers only return: to use in and outside IA-32e mode. */
const RETURNING_LONG = 0x33
const RETURNING = 0x32
/** A vector that is a task gate outside IA-32e mode. */
const TASK_VECTOR = 0x20

/** Selectors that a far transfer may name, besides code: call gates, tasks to switch to, a task gate, busy, null. */
export const FAR_SELECTORS: readonly number[] = [0x63, 0x93, 0x78, 0x80, 0x8b, 0x70, 0]
/** Of the task that another may have called. */
const OTHER_TASK = 0x78
const TASK_TYPE = GDT + OTHER_TASK + 5
const BUSY = 2

/** What the processor is in. `compatibility`: 32-bit code in IA-32e mode; `narrow`: two-level paging; `pae`: three-level. */
export interface Mode {
  readonly name: string
  readonly bits: 16 | 32 | 64
  readonly paging: 'long' | 'pae' | 'narrow'
  readonly supervisor: boolean
}

const mode = (bits: 16 | 32 | 64, paging: Mode['paging'], supervisor: boolean): Mode => ({
  name: `${bits}-bit, ${paging}, level ${supervisor ? 0 : 3}`,
  bits,
  paging,
  supervisor,
})

/** Everything that code can be in while it has paging. */
export const MODES: readonly Mode[] = [
  mode(64, 'long', false),
  mode(64, 'long', true),
  mode(32, 'long', false),
  mode(32, 'pae', false),
  mode(32, 'pae', true),
  mode(32, 'narrow', false),
  mode(32, 'narrow', true),
  mode(16, 'narrow', true),
  mode(16, 'pae', false),
  mode(16, 'long', false),
]

/** RAM at the beginning of a program. */
export function template(): Uint8Array {
  const ram = new Uint8Array(RAM_BYTES)
  const view = new DataView(ram.buffer)
  const wide = (table: number, index: number, value: number, high = 0): void => {
    view.setUint32(table + 8 * index, value, true)
    view.setUint32(table + 8 * index + 4, high, true)
  }
  const all = PRESENT | WRITABLE | USER
  wide(PML4, 0, PDPT | all)
  wide(PDPT, 0, PD_WIDE | all)
  wide(PAE_PDPT, 0, PD_WIDE | PRESENT)
  for (const [i, table] of PT_WIDE.entries()) wide(PD_WIDE, i, table | all)
  for (const [i, table] of PT_NARROW.entries()) view.setUint32(PD_NARROW + 4 * i, table | all, true)
  for (let gpa = 0; gpa < RAM_BYTES; gpa += 0x1000) {
    const rights = gpa >= CODE ? USER : WRITABLE
    mapPage(view, gpa, gpa, rights)
  }
  mapPage(view, USER_STACK, USER_STACK_GPA, WRITABLE | USER)
  for (let i = 0; i < WINDOW_PAGES; i++) mapPage(view, WINDOW + 0x1000 * i, windowFrame(i), WRITABLE | USER)
  descriptors(view)
  for (let vector = 0; vector < VECTORS; vector++) {
    const handler = HANDLERS + vector * 16
    ram[handler] = HLT
    if (vector === RETURNING) ram[handler] = IRET
    if (vector === RETURNING_LONG) ram.set([REX_W, IRET], handler)
    // IST1 for exceptions, the stack of level 0 for interrupts.
    view.setUint32(IDT_64 + vector * 16, (handler & 0xffff) | (0x10 << 16), true)
    view.setUint32(IDT_64 + vector * 16 + 4, (handler & 0xffff_0000) | 0xee00 | (vector < 32 ? 1 : 0), true)
    view.setUint32(IDT_32 + vector * 8, (handler & 0xffff) | (0x38 << 16), true)
    view.setUint32(IDT_32 + vector * 8 + 4, (handler & 0xffff_0000) | 0xee00, true)
  }
  view.setUint32(IDT_32 + TASK_VECTOR * 8, OTHER_TASK << 16, true)
  view.setUint32(IDT_32 + TASK_VECTOR * 8 + 4, 0xe500, true)
  ram.fill(HLT, CODE)
  return ram
}

/** Guest-physical address of the RAM behind a page of the window. */
export function windowFrame(index: number): number {
  return WINDOW_GPA + 0x1000 * index
}

/** Maps one linear page below 6 MiB in the tables of every mode, A and D clear. */
export function mapPage(ram: DataView, linear: number, gpa: number, rights: number, present = true): void {
  const low = (gpa | rights | (present ? PRESENT : 0)) >>> 0
  const at = (linear >>> 12) & 0x1ff
  const data = linear >= WINDOW && linear < WINDOW + 0x1000 * WINDOW_PAGES
  const wide = (PT_WIDE[linear >>> 21] as number) + 8 * at
  ram.setUint32(wide, low, true)
  ram.setUint32(wide + 4, data ? NO_EXECUTE : 0, true)
  ram.setUint32((PT_NARROW[linear >>> 22] as number) + 4 * ((linear >>> 12) & 0x3ff), low, true)
}

/** Makes a system page the storing device, in every mode. */
export function moveToStore(ram: DataView, page: number): void {
  mapPage(ram, page, STORE_GPA + page, page >= CODE ? USER : WRITABLE)
}

/** What a page of the window may be: RAM, ROM, a device whose reads differ, one that keeps what it is given, or a fault. */
export type WindowPage = 'RAM' | 'ROM' | 'FIFO' | 'store' | 'read-only' | 'absent'

export function mapWindow(ram: DataView, index: number, page: WindowPage): void {
  const linear = WINDOW + 0x1000 * index
  if (page === 'FIFO') mapPage(ram, linear, FIFO_GPA + 0x1000 * index, WRITABLE | USER)
  else if (page === 'store') mapPage(ram, linear, STORE_GPA + storedWindow(index), WRITABLE | USER)
  else mapPage(ram, linear, windowFrame(index), page === 'read-only' ? USER : WRITABLE | USER, page !== 'absent')
}

/** Offset in the storing device of a page of the window. */
export function storedWindow(index: number): number {
  return STORE_WINDOW + 0x1000 * index
}

/** Where the entry of the window's first page is, in the table that a kind of paging uses. */
export function ownEntry(paging: Mode['paging']): number {
  return paging === 'narrow' ? PT_NARROW[0] + 4 * ((WINDOW >>> 12) & 0x3ff) : PT_WIDE[1] + 8 * ((WINDOW >>> 12) & 0x1ff)
}

/** Maps {@link TABLE_CODE} to that table. */
export function mapTableCode(ram: DataView, paging: Mode['paging']): void {
  mapPage(ram, TABLE_CODE, ownEntry(paging) & ~0xfff, USER)
}

/** The descriptors and tasks, as they were at first; CR3 of tasks is that of the kind of paging. */
export function restoreSystem(bytes: Uint8Array, first: Uint8Array, paging: Mode['paging'], nested: boolean): void {
  for (const [from, to] of [
    [GDT, GDT + GDT_BYTES],
    [TSS, TSS_END],
  ] as const)
    bytes.set(first.subarray(from, to), from)
  const cr3 = paging === 'narrow' ? PD_NARROW : PAE_PDPT
  for (const tss of [TSS_32, OTHER_TSS_32]) {
    bytes[tss + 0x1c] = cr3 & 0xff
    bytes[tss + 0x1d] = cr3 >>> 8
  }
  if (!nested) return
  // The current task has been called by the other.
  bytes[TSS_32] = OTHER_TASK
  bytes[TASK_TYPE]! |= BUSY
}

/**
 * Whether the page tables are what they were, but for A and D bits.
 *
 * @param before - what lay from {@link TABLES} on
 */
export function tablesHold(ram: Uint8Array, before: Uint8Array): boolean {
  for (let at = 0; at < before.length; at++) {
    const changed = (ram[TABLES + at] as number) ^ (before[at] as number)
    if (changed !== 0 && (at % 4 !== 0 || (changed & ~0x60) !== 0)) return false
  }
  return true
}

/**
 * Whether descriptor tables, tasks and handlers are what they were at first, but for accessed bits: an interrupt arrives.
 *
 * @param first - RAM at the beginning of a program
 */
export function systemHolds(ram: Uint8Array, first: Uint8Array): boolean {
  for (let at = GDT; at < LDT + LDT_BYTES; at++) {
    // Between tasks and handlers are stacks.
    if (at === TSS_END) at = HANDLERS
    const changed = (ram[at] as number) ^ (first[at] as number)
    const descriptor = at < GDT + GDT_BYTES || at >= LDT
    if (changed !== 0 && !(descriptor && at % 8 === 5 && changed === 1)) return false
  }
  return true
}

/** A and D bits of all tables, by word: those that a test may clear. */
export function clearAccessed(ram: Uint8Array): void {
  for (let at = PML4; at < GDT; at += 4) {
    const low = at < PAE_PDPT ? at % 8 === 0 : at >= PD_NARROW
    if (low && ((ram[at] as number) & PRESENT) !== 0) ram[at]! &= ~0x60
  }
}

function descriptors(view: DataView): void {
  const descriptor = (at: number, value: bigint): void => view.setBigUint64(at, value, true)
  // Accessed bits are clear: loading sets them.
  descriptor(GDT + 0x08, 0x0000_9a01_a000_ffffn)
  descriptor(GDT + 0x10, 0x00af_9a00_0000_ffffn)
  descriptor(GDT + 0x18, 0x00cf_9200_0000_ffffn)
  descriptor(GDT + 0x20, 0x00cf_fa00_0000_ffffn)
  descriptor(GDT + 0x28, 0x00cf_f200_0000_ffffn)
  descriptor(GDT + 0x30, 0x00af_fa00_0000_ffffn)
  descriptor(GDT + 0x38, 0x00cf_9a00_0000_ffffn)
  system(view, GDT + 0x40, TSS, 0x67, 0x89)
  system(view, GDT + 0x50, LDT, LDT_BYTES - 1, 0x82)
  view.setUint32(GDT + 0x60, (0x10 << 16) | (HANDLERS & 0xffff), true)
  view.setUint32(GDT + 0x64, (HANDLERS & 0xffff_0000) | 0xec00, true)
  system(view, GDT + 0x70, TSS_32, 0x67, 0x8b)
  system(view, GDT + OTHER_TASK, OTHER_TSS_32, 0x67, 0x89)
  system(view, GDT + 0x80, TSS_16, 0x2b, 0x81)
  view.setUint32(GDT + 0x88, OTHER_TASK << 16, true)
  view.setUint32(GDT + 0x8c, 0xe500, true)
  // With three parameters; in IA-32e mode it leads to no 64-bit code.
  view.setUint32(GDT + 0x90, (0x38 << 16) | (HANDLERS & 0xffff), true)
  view.setUint32(GDT + 0x94, (HANDLERS & 0xffff_0000) | 0xec03, true)
  descriptor(LDT + 8, 0x00cf_f200_0000_ffffn)
  descriptor(LDT + 0x10, 0x0000_fa01_a000_ffffn)
  descriptor(TSS + 4, BigInt(KERNEL_STACK + 0x1000))
  descriptor(TSS + 0x24, BigInt(IST_STACK + 0x1000))
  view.setUint16(TSS + 0x66, 0xffff, true)
  const fields: readonly (readonly [number, number])[] = [
    [4, KERNEL_STACK + 0x1000],
    [8, 0x18],
    [0x1c, PAE_PDPT],
    [0x20, HANDLERS],
    [0x24, 0x2],
    [0x38, KERNEL_STACK + 0x800],
    [0x48, 0x18],
    [0x4c, 0x38],
    [0x50, 0x18],
    [0x54, 0x18],
  ]
  for (const tss of [TSS_32, OTHER_TSS_32]) {
    for (const [at, value] of fields) view.setUint32(tss + at, value, true)
    view.setUint16(tss + 0x66, 0xffff, true)
  }
  // The HLT of 16-bit code that nothing overwrites.
  const narrow: readonly (readonly [number, number])[] = [
    [2, 0xf00],
    [4, 0x18],
    [0xe, 0x20],
    [0x10, 2],
    [0x1a, 0xf00],
    [0x22, 0x18],
    [0x24, 8],
    [0x26, 0x18],
    [0x28, 0x18],
  ]
  for (const [at, value] of narrow) view.setUint16(TSS_16 + at, value, true)
}

function system(view: DataView, at: number, base: number, limit: number, type: number): void {
  view.setUint32(at, ((base & 0xffff) << 16) | limit, true)
  view.setUint32(at + 4, ((base >>> 16) & 0xff) | (type << 8) | (base & 0xff00_0000), true)
}

/** A vector whose handler only returns. */
export function returningVector(paging: Mode['paging']): number {
  return paging === 'long' ? RETURNING_LONG : RETURNING
}

/** Where PDPTEs come from, for PAE paging. */
export const PDPTE_0: number = PD_WIDE | PRESENT

/** What a mode begins with. */
export function initialState({ bits, paging, supervisor }: Mode): InitialCpuState {
  const long = paging === 'long'
  const dpl = supervisor ? 0 : 0x60
  const narrow = bits === 16
  const data = {
    selector: supervisor ? 0x18 : 0x2b,
    base: narrow ? BASE_16 : 0,
    limit: narrow ? 0xffff : 0xffff_ffff,
    attributes: (narrow ? 0x0093 : 0xc093) | dpl,
  }
  const selector = { 64: supervisor ? 0x10 : 0x33, 32: supervisor ? 0x38 : 0x23, 16: supervisor ? 0x08 : 0x17 }[bits]
  const attributes = { 64: 0xa09b, 32: 0xc09b, 16: 0x009b }[bits] | dpl
  return {
    registers: { rip: narrow ? 0 : CODE, rflags: 0x3002 },
    segments: {
      cs: { selector, base: narrow ? CODE : 0, limit: narrow ? 0xffff : 0xffff_ffff, attributes },
      ss: data,
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ldtr: { selector: 0x50, base: LDT, limit: LDT_BYTES - 1, attributes: 0x82 },
      tr: long
        ? { selector: 0x40, base: TSS, limit: 0x67, attributes: 0x8b }
        : { selector: 0x70, base: TSS_32, limit: 0x67, attributes: 0x8b },
    },
    gdtr: { base: GDT, limit: GDT_BYTES - 1 },
    idtr: long ? { base: IDT_64, limit: VECTORS * 16 - 1 } : { base: IDT_32, limit: VECTORS * 8 - 1 },
    // CR4: PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE. EFER: SCE, LME, LMA, NXE.
    cr0: 0x8005_0033,
    cr3: paging === 'long' ? PML4 : paging === 'pae' ? PAE_PDPT : PD_NARROW,
    cr4: paging === 'narrow' ? 0x0004_0610 : long ? 0x0005_0620 : 0x0004_0620,
    efer: long ? 0xd01 : 0x800,
  }
}
