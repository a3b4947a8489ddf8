/**
 * The machine that makes accesses through tables of each case's own, here and on QEMU: one image, entered as multiboot
 * enters it, that makes one access after another and records how each ended and what it left in the tables.
 */
import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { exceptionEntries, exceptionGates, sendResults } from '../support/exception-entries.ts'
import { descriptor } from '../system/bench.ts'
import { LOAD } from '../system/differential/layout.ts'

/** Paging modes by their number of levels. */
export type Levels = 2 | 3 | 4 | 5

// Below 2 MiB are supervisor pages: the program and its tables. Above are user pages: the target, stubs, a stack.
const GDT = 0x12_0000
const IDT = 0x12_1000
const TSS = 0x12_2000
const VARIABLES = 0x12_3000
const STACK = 0x13_8000
const CASES = 0x14_0000
const RECORDS = 0x1c_0000
/** Tables that translate the program itself, from level 5 down to 1. */
export const OWN = 0x12_6000
/** Tables of the target's translation: level n at TABLES + n × 4096, and the same again for PAE's PDPTEs. */
const TABLES = 0x12_c000
const USER_CODE = 0x20_0000
const USER_STACK = 0x21_0000
/** Where every translation leads that leads anywhere, large pages too. */
const TARGET = 0x20_4120
/** A descriptor for the local descriptor table, behind it. */
export const TARGET_DESCRIPTOR = 0x20_4140

const V_CASE = VARIABLES
const V_RECORD = VARIABLES + 4
const V_END = VARIABLES + 8

const C_OPERATION = 0
const C_CPL = 4
const C_FLAGS = 8
const C_CR0 = 12
const C_CR4 = 16
const C_NXE = 20
const C_ENTRIES = 24
const C_PKRU = 64
const C_PKRS = 68
const CASE_BYTES = 72
const RECORD_BYTES = 36
const END_VECTOR = 0x50
const LDT_SELECTOR = 0x40

export const CR0_BASE: number = 0x8000_0011 | 0
const CR4_PAE = 0x20
const CR4_LA57 = 0x1000
const CR4_PKE_PKS = 0x140_0000
const IA32_PKRS = 0x6e1

/** Ways to touch the target. `descriptor` loads a segment register from it. */
export const OPERATIONS = ['read', 'write', 'modify', 'fetch', 'descriptor'] as const

/** One access with its circumstances. */
export interface PagingCase {
  readonly operation: (typeof OPERATIONS)[number]
  readonly cpl: 0 | 3
  /** RFLAGS: AC. */
  readonly flags: number
  /** CR0.WP. */
  readonly cr0: number
  /** CR4.PSE, SMEP, SMAP; PKE, PKS. */
  readonly cr4: number
  /** EFER.NXE. */
  readonly nxe: number
  /** The entry of each level, from 1 up. */
  readonly entries: readonly bigint[]
  /** For processors with protection keys: PKRU and IA32_PKRS. Key 0, which all other pages have, denies nothing. */
  readonly keys?: { readonly pkru: number; readonly pkrs: number }
}

/** How it ended. */
export interface PagingRecord {
  readonly vector: number
  readonly error: number
  readonly cr2: bigint
  /** Low words of the entries, from level 1 up. */
  readonly entries: readonly number[]
}

/** The table that an entry of a level above leads to. */
export function tableOf(level: number): number {
  return TABLES + level * 0x1000
}

/** Linear address of the target: its low 22 bits are the target's, for large pages. */
export function linearOf(levels: Levels): bigint {
  const low = BigInt(TARGET)
  if (levels === 2) return low | (5n << 22n)
  if (levels === 3) return low | (2n << 30n)
  return low | (2n << 30n) | (1n << 39n) | (levels === 5 ? 1n << 48n : 0n)
}

/** What an entry of a level has to be for the translation to lead to the target. @param bits - its low and high flags */
export function entryFor(levels: Levels, level: number, large: boolean, bits: bigint): bigint {
  if (!large && level > 1) return bits | BigInt(tableOf(level - 1))
  const reach = level === 1 ? 0xfffn : level === 3 ? 0x3fff_ffffn : levels === 2 ? 0x3f_ffffn : 0x1f_ffffn
  return bits | (BigInt(TARGET) & ~reach) | (level > 1 ? 0x80n : 0n)
}

/** Address of the entry that the target's translation uses. */
export function slotOf(levels: Levels, level: number): number {
  const linear = linearOf(levels)
  if (levels === 2) return (level === 2 ? OWN : tableOf(1)) + 4 * Number((linear >> (level === 2 ? 22n : 12n)) & 1023n)
  const table = level === levels ? OWN : tableOf(level)
  return table + 8 * Number((linear >> BigInt(3 + 9 * level)) & (levels === 3 && level === 3 ? 3n : 511n))
}

/** The program, its tables and cases. All cases have keys, or none. */
export function image(levels: Levels, cases: readonly PagingCase[]): Uint8Array {
  const keys = cases[0]?.keys !== undefined
  const long = levels >= 4
  const asm = new x86.Assembler({ bits: 32, address: LOAD })
  const [entry, next, common, table, gdtr, idtr] = ['entry', 'next', 'common', 'table', 'gdtr', 'idtr'].map((name) =>
    asm.label(name),
  ) as [x86.Label, x86.Label, x86.Label, x86.Label, x86.Label, x86.Label]
  const cr4Base = long ? CR4_PAE | (levels === 5 ? CR4_LA57 : 0) : levels === 3 ? CR4_PAE : 0

  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, LOAD, LOAD, 0, USER_CODE + 0x8000, entry)
  asm.bind(gdtr).dw(0x4f).dq(BigInt(GDT))
  asm.bind(idtr).dw(0xfff).dq(BigInt(IDT))
  asm.align(16).bind(entry)
  asm.mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al).lgdt(x86.fword(gdtr))
  if (long) activateLongMode(asm, { tables: OWN, cr4: cr4Base })
  else asm.mov(x86.eax, cr4Base).mov(x86.cr4, x86.eax).mov(x86.eax, OWN).mov(x86.cr3, x86.eax)
  asm.mov(x86.eax, CR0_BASE).mov(x86.cr0, x86.eax)
  const start = asm.label()
  asm.jmpf(x86.far(8, start))
  if (long) asm.bits(64)
  asm.bind(start).mov(x86.ebx, idtr)
  if (long) asm.lidt(x86.tbyte(x86.rbx))
  else asm.lidt(x86.fword(x86.ebx))
  asm.mov(x86.eax, 0x30).ltr(x86.ax)

  const setControl = (register: typeof x86.cr0): unknown =>
    long ? asm.mov(register, x86.rax) : asm.mov(register, x86.eax)
  asm.bind(next)
  asm
    .mov(x86.eax, 0x10)
    .mov(x86.ds, x86.ax)
    .mov(x86.es, x86.ax)
    .mov(x86.ss, x86.ax)
    .mov(x86.fs, x86.ax)
    .mov(x86.esp, STACK)
  asm.mov(x86.eax, cr4Base)
  setControl(x86.cr4)
  const go = asm.label()
  asm.mov(x86.esi, x86.dword(V_CASE)).cmp(x86.esi, x86.dword(V_END)).jb(go)
  sendResults(asm, RECORDS, x86.dword(V_RECORD))
  asm.jmp(next)
  asm.bind(go).add(x86.dword(V_CASE), CASE_BYTES)
  const c = (offset: number) => x86.dword(x86.esi, { disp: offset })
  for (let level = 1; level <= levels; level++) {
    const slot = slotOf(levels, level)
    asm.mov(x86.eax, c(C_ENTRIES + 8 * (level - 1))).mov(x86.dword(slot), x86.eax)
    if (levels > 2) asm.mov(x86.eax, c(C_ENTRIES + 8 * (level - 1) + 4)).mov(x86.dword(slot + 4), x86.eax)
  }
  asm.mov(x86.ecx, 0xc000_0080).rdmsr().and(x86.eax, ~0x800).or(x86.eax, c(C_NXE)).wrmsr()
  asm.xor(x86.eax, x86.eax)
  setControl(x86.cr2)
  asm.mov(x86.eax, OWN)
  setControl(x86.cr3)
  asm.mov(x86.eax, c(C_CR0)).or(x86.eax, CR0_BASE)
  setControl(x86.cr0)
  asm.mov(x86.eax, LDT_SELECTOR).lldt(x86.ax)
  if (keys) {
    asm.mov(x86.eax, cr4Base | CR4_PKE_PKS)
    setControl(x86.cr4)
    asm.mov(x86.eax, c(C_PKRU)).xor(x86.ecx, x86.ecx).xor(x86.edx, x86.edx).wrpkru()
    asm.mov(x86.eax, c(C_PKRS)).mov(x86.ecx, IA32_PKRS).wrmsr()
  }
  asm.mov(x86.ebx, c(C_OPERATION)).mov(x86.edx, c(C_CPL)).mov(x86.edi, c(C_FLAGS))
  asm.mov(x86.eax, c(C_CR4)).or(x86.eax, cr4Base)
  setControl(x86.cr4)
  const inner = asm.label()
  asm.test(x86.edx, x86.edx).jz(inner)
  // To CPL 3: the second half of the table of stubs.
  asm.mov(x86.eax, table.plus(4 * OPERATIONS.length)).mov(x86.ebx, x86.dword(x86.eax, { index: x86.ebx, scale: 4 }))
  asm.mov(x86.eax, 0x23).mov(x86.ds, x86.ax).mov(x86.es, x86.ax)
  if (long) {
    asm.push(0x23).push(USER_STACK).mov(x86.eax, x86.edi).push(x86.rax).push(0x1b).push(x86.rbx).iretq()
  } else {
    asm.push(0x23).push(USER_STACK).push(x86.edi).push(0x1b).push(x86.ebx).iretd()
  }
  asm
    .bind(inner)
    .mov(x86.eax, table)
    .mov(x86.ebx, x86.dword(x86.eax, { index: x86.ebx, scale: 4 }))
  if (long) asm.mov(x86.eax, x86.edi).push(x86.rax).popfq().jmp(x86.rbx)
  else asm.push(x86.edi).popfd().jmp(x86.ebx)

  const linear = linearOf(levels)
  const target = long ? x86.byte(x86.rcx) : x86.byte(x86.ecx)
  const places = OPERATIONS.map((operation) => [asm.label(operation), asm.label(`user ${operation}`)] as const)
  const stubs = (which: 0 | 1): void =>
    OPERATIONS.forEach((operation, i) => {
      asm.bind((places[i] as (typeof places)[number])[which])
      if (long) asm.mov(x86.rcx, linear)
      else asm.mov(x86.ecx, Number(linear))
      switch (operation) {
        case 'read':
          asm.mov(x86.al, target)
          break
        case 'write':
          asm.mov(target, 0xc3)
          break
        case 'modify':
          asm.or(target, 0)
          break
        case 'fetch':
          if (long) asm.call(x86.rcx)
          else asm.call(x86.ecx)
          break
        case 'descriptor':
          asm.mov(x86.eax, 7).mov(x86.fs, x86.ax)
          break
      }
      asm.int(END_VECTOR)
    })
  stubs(0)

  const entries = exceptionEntries(asm, common, END_VECTOR)
  if (long) asm.pop(x86.rbx).pop(x86.rcx).mov(x86.rax, x86.cr2)
  else asm.pop(x86.ebx).pop(x86.ecx).mov(x86.eax, x86.cr2)
  const r = (offset: number) => x86.dword(x86.edi, { disp: offset })
  asm.mov(x86.edi, x86.dword(V_RECORD)).add(x86.dword(V_RECORD), RECORD_BYTES)
  asm.mov(r(0), x86.ebx).mov(r(4), x86.ecx).mov(r(8), x86.eax)
  if (long) asm.shr(x86.rax, 32).mov(r(12), x86.eax)
  for (let level = 1; level <= levels; level++)
    asm.mov(x86.eax, x86.dword(slotOf(levels, level))).mov(r(12 + 4 * level), x86.eax)
  asm.jmp(next)

  asm.align(4).bind(table)
  for (const which of [0, 1] as const) for (const place of places) asm.dd(place[which])

  asm.org(GDT)
  const code = long ? 0xa09b : 0xc09b
  for (const attributes of [0, code, 0xc093, code | 0x60, 0xc0f3, 0]) {
    asm.dq(attributes === 0 ? 0n : descriptor(0, 0xffff_ffff, attributes))
  }
  // In IA-32e mode these have 16 bytes.
  asm.dq(descriptor(TSS, 0x67, 0x89)).dq(0n)
  const ldt = (linear & ~0xfffn) | BigInt(TARGET_DESCRIPTOR & 0xfff)
  asm.dq(descriptor(Number(ldt & 0xffff_ffffn), 7, 0x82)).dq(ldt >> 32n)
  asm.org(IDT)
  exceptionGates(asm, entries, long)
  asm.org(TSS).dd(0, STACK - 0x4000, long ? 0 : 0x10)
  asm.org(TSS + 0x66).dw(0x68)
  asm.org(VARIABLES).dd(CASES, RECORDS, CASES + cases.length * CASE_BYTES)
  ownTables(asm, levels)
  asm.org(CASES)
  for (const { operation, cpl, flags, cr0: wp, cr4: features, nxe, entries, keys: rights } of cases) {
    asm.dd(OPERATIONS.indexOf(operation), cpl, flags, wp, features, nxe)
    for (let i = 0; i < 5; i++) asm.dq(entries[i] ?? 0n)
    asm.dd(rights?.pkru ?? 0, rights?.pkrs ?? 0)
  }
  asm.org(USER_CODE)
  stubs(1)
  asm.org(TARGET).db(0xc3)
  asm.org(TARGET_DESCRIPTOR).dq(descriptor(0, 0xffff_ffff, 0xc0f3))
  return asm.assemble().bytes
}

/** Supervisor pages for the first 2 MiB, user pages for the next. */
function ownTables(asm: x86.Assembler, levels: Levels): void {
  const at = (index: number): number => OWN + 0x1000 * index
  if (levels === 2) {
    asm.org(at(0)).dd(at(1) | 7)
    asm.org(at(1)).dd(...Array.from({ length: 1024 }, (_, page) => (page << 12) | (page < 512 ? 3 : 7)))
    return
  }
  // The last of them is the directory.
  for (let index = 0; index < levels - 2; index++) asm.org(at(index)).dq(BigInt(at(index + 1) | (levels === 3 ? 1 : 7)))
  asm
    .org(at(levels - 2))
    .dq(0x83n)
    .dq(0x20_0087n)
}

/** What an image has sent. */
export function records(levels: Levels, bytes: Uint8Array): PagingRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: Math.floor(bytes.length / RECORD_BYTES) }, (_, i) => {
    const word = (offset: number): number => view.getUint32(i * RECORD_BYTES + offset, true)
    return {
      vector: word(0),
      error: word(4),
      cr2: BigInt(word(8)) | (levels >= 4 ? BigInt(word(12)) << 32n : 0n),
      entries: Array.from({ length: levels }, (_, level) => word(16 + 4 * level)),
    }
  })
}
