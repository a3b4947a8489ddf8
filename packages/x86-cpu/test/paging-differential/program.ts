/**
 * The machine that makes accesses through tables of each case's own, here and on QEMU: one image, entered as multiboot
 * enters it, that makes one access after another and records how each ended and what it left in the tables.
 */
import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import {
  al,
  Assembler,
  ax,
  byte,
  cr0,
  cr2,
  cr3,
  cr4,
  ds,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  far,
  fs,
  fword,
  type Label,
  rax,
  rbx,
  rcx,
  ss,
  tbyte,
} from '@retrap/x86-assembler'
import { exceptionEntries } from '../support/exception-entries.ts'
import { descriptor } from '../system/bench.ts'
import { EXIT_PORT, LOAD, RESULT_PORT } from '../system/differential/layout.ts'

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
  const asm = new Assembler({ bits: 32, address: LOAD })
  const [entry, next, common, table, gdtr, idtr] = ['entry', 'next', 'common', 'table', 'gdtr', 'idtr'].map((name) =>
    asm.label(name),
  ) as [Label, Label, Label, Label, Label, Label]
  const cr4Base = long ? CR4_PAE | (levels === 5 ? CR4_LA57 : 0) : levels === 3 ? CR4_PAE : 0

  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, LOAD, LOAD, 0, USER_CODE + 0x8000, entry)
  asm.bind(gdtr).dw(0x4f).dq(BigInt(GDT))
  asm.bind(idtr).dw(0xfff).dq(BigInt(IDT))
  asm.align(16).bind(entry)
  asm.mov(al, 0xff).out(0x21, al).out(0xa1, al).lgdt(fword(gdtr))
  if (long) activateLongMode(asm, { tables: OWN, cr4: cr4Base })
  else asm.mov(eax, cr4Base).mov(cr4, eax).mov(eax, OWN).mov(cr3, eax)
  asm.mov(eax, CR0_BASE).mov(cr0, eax)
  const start = asm.label()
  asm.jmpf(far(8, start))
  if (long) asm.bits(64)
  asm.bind(start).mov(ebx, idtr)
  if (long) asm.lidt(tbyte(rbx))
  else asm.lidt(fword(ebx))
  asm.mov(eax, 0x30).ltr(ax)

  const setControl = (register: typeof cr0): unknown => (long ? asm.mov(register, rax) : asm.mov(register, eax))
  asm.bind(next)
  asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(fs, ax).mov(esp, STACK)
  asm.mov(eax, cr4Base)
  setControl(cr4)
  const go = asm.label()
  asm.mov(esi, dword(V_CASE)).cmp(esi, dword(V_END)).jb(go)
  asm.mov(esi, RECORDS).mov(ecx, dword(V_RECORD)).sub(ecx, esi).mov(edx, RESULT_PORT).cld().rep().outsb()
  asm.mov(edx, EXIT_PORT).mov(al, 0x10).out(dx, al).cli().hlt().jmp(next)
  asm.bind(go).add(dword(V_CASE), CASE_BYTES)
  const c = (offset: number) => dword(esi, { disp: offset })
  for (let level = 1; level <= levels; level++) {
    const slot = slotOf(levels, level)
    asm.mov(eax, c(C_ENTRIES + 8 * (level - 1))).mov(dword(slot), eax)
    if (levels > 2) asm.mov(eax, c(C_ENTRIES + 8 * (level - 1) + 4)).mov(dword(slot + 4), eax)
  }
  asm.mov(ecx, 0xc000_0080).rdmsr().and(eax, ~0x800).or(eax, c(C_NXE)).wrmsr()
  asm.xor(eax, eax)
  setControl(cr2)
  asm.mov(eax, OWN)
  setControl(cr3)
  asm.mov(eax, c(C_CR0)).or(eax, CR0_BASE)
  setControl(cr0)
  asm.mov(eax, LDT_SELECTOR).lldt(ax)
  if (keys) {
    asm.mov(eax, cr4Base | CR4_PKE_PKS)
    setControl(cr4)
    asm.mov(eax, c(C_PKRU)).xor(ecx, ecx).xor(edx, edx).wrpkru()
    asm.mov(eax, c(C_PKRS)).mov(ecx, IA32_PKRS).wrmsr()
  }
  asm.mov(ebx, c(C_OPERATION)).mov(edx, c(C_CPL)).mov(edi, c(C_FLAGS))
  asm.mov(eax, c(C_CR4)).or(eax, cr4Base)
  setControl(cr4)
  const inner = asm.label()
  asm.test(edx, edx).jz(inner)
  // To CPL 3: the second half of the table of stubs.
  asm.mov(eax, table.plus(4 * OPERATIONS.length)).mov(ebx, dword(eax, { index: ebx, scale: 4 }))
  asm.mov(eax, 0x23).mov(ds, ax).mov(es, ax)
  if (long) {
    asm.push(0x23).push(USER_STACK).mov(eax, edi).push(rax).push(0x1b).push(rbx).iretq()
  } else {
    asm.push(0x23).push(USER_STACK).push(edi).push(0x1b).push(ebx).iretd()
  }
  asm
    .bind(inner)
    .mov(eax, table)
    .mov(ebx, dword(eax, { index: ebx, scale: 4 }))
  if (long) asm.mov(eax, edi).push(rax).popfq().jmp(rbx)
  else asm.push(edi).popfd().jmp(ebx)

  const linear = linearOf(levels)
  const target = long ? byte(rcx) : byte(ecx)
  const places = OPERATIONS.map((operation) => [asm.label(operation), asm.label(`user ${operation}`)] as const)
  const stubs = (which: 0 | 1): void =>
    OPERATIONS.forEach((operation, i) => {
      asm.bind((places[i] as (typeof places)[number])[which])
      if (long) asm.mov(rcx, linear)
      else asm.mov(ecx, Number(linear))
      switch (operation) {
        case 'read':
          asm.mov(al, target)
          break
        case 'write':
          asm.mov(target, 0xc3)
          break
        case 'modify':
          asm.or(target, 0)
          break
        case 'fetch':
          if (long) asm.call(rcx)
          else asm.call(ecx)
          break
        case 'descriptor':
          asm.mov(eax, 7).mov(fs, ax)
          break
      }
      asm.int(END_VECTOR)
    })
  stubs(0)

  const { handlers, end } = exceptionEntries(asm, common, END_VECTOR)
  if (long) asm.pop(rbx).pop(rcx).mov(rax, cr2)
  else asm.pop(ebx).pop(ecx).mov(eax, cr2)
  const r = (offset: number) => dword(edi, { disp: offset })
  asm.mov(edi, dword(V_RECORD)).add(dword(V_RECORD), RECORD_BYTES)
  asm.mov(r(0), ebx).mov(r(4), ecx).mov(r(8), eax)
  if (long) asm.shr(rax, 32).mov(r(12), eax)
  for (let level = 1; level <= levels; level++) asm.mov(eax, dword(slotOf(levels, level))).mov(r(12 + 4 * level), eax)
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
  for (let vector = 0; vector <= END_VECTOR; vector++) {
    const handler = vector === END_VECTOR ? end : handlers[vector]
    if (handler === undefined) asm.dq(0n)
    else {
      asm
        .dw(handler.bits(0, 16))
        .dw(8)
        .dw(vector === END_VECTOR ? 0xee00 : 0x8e00)
        .dw(handler.bits(16, 16))
    }
    if (long) asm.dq(0n)
  }
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
function ownTables(asm: Assembler, levels: Levels): void {
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
