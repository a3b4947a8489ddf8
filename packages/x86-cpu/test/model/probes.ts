/**
 * A machine that tries one instruction after another, here and on QEMU: one image, entered as multiboot enters it, that
 * records for each with which vector it ended and what it left in the registers.
 */
import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import {
  al,
  Assembler,
  ax,
  cr4,
  ds,
  dword,
  eax,
  ebp,
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
  rbp,
  rbx,
  rcx,
  ss,
  tbyte,
} from '@retrap/x86-assembler'
import { EFER_NXE } from '../../src/state/architecture.ts'
import { exceptionEntries, exceptionGates, sendResults } from '../support/exception-entries.ts'
import { descriptor } from '../system/bench.ts'
import { LOAD } from '../system/differential/layout.ts'

const GDT = 0x12_0000
const IDT = 0x12_1000
const TSS = 0x12_2000
const VARIABLES = 0x12_3000
const TABLES = 0x12_6000
const STACK = 0x13_8000
const RECORDS = 0x14_0000
/** Memory operands. */
export const DATA = 0x15_0000
const RECORD_BYTES = 28
const V_RECORD = VARIABLES
const V_NEXT = VARIABLES + 4
const END_VECTOR = 0x50
const COMPATIBILITY = 0x40

/** Where a probe runs, at level 0. */
export type ProbeMode = '32-bit' | 'compatibility' | '64-bit'

/** One instruction, or a few. */
export interface Probe {
  readonly name: string
  readonly bytes: readonly number[]
  /** EAX and ECX to begin with. ESI is {@link DATA}, EDX where SYSEXIT goes. */
  readonly eax?: number
  readonly ecx?: number
}

/** What the machine has that the preparations need. */
export interface ProbeSetup {
  readonly mode: ProbeMode
  readonly syscall: boolean
  readonly sysenter: boolean
}

/** How a probe ended. */
export interface ProbeRecord {
  readonly vector: number
  readonly error: number
  readonly cs: number
  readonly ss: number
  readonly eax: number
  readonly ecx: number
}

/** The program that makes the probes in one mode. */
export function probeImage(setup: ProbeSetup, probes: readonly Probe[]): Uint8Array {
  const long = setup.mode !== '32-bit'
  const asm = new Assembler({ bits: 32, address: LOAD })
  const [entry, common, gdtr, idtr, landing, first] = ['entry', 'common', 'gdtr', 'idtr', 'landing', 'first'].map(
    (name) => asm.label(name),
  ) as [Label, Label, Label, Label, Label, Label]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, LOAD, LOAD, 0, DATA + 0x1000, entry)
  asm.bind(gdtr).dw(0x4f).dq(BigInt(GDT))
  asm.bind(idtr).dw(0xfff).dq(BigInt(IDT))
  asm.align(16).bind(entry)
  asm.mov(al, 0xff).out(0x21, al).out(0xa1, al).lgdt(fword(gdtr))
  const msr = (index: number, lo: number | Label, hi: number): unknown =>
    asm
      .mov(ecx, index)
      .mov(eax, lo as number)
      .mov(edx, hi)
      .wrmsr()
  if (setup.sysenter) {
    msr(0x174, 8, 0)
    msr(0x175, STACK, 0)
    msr(0x176, landing, 0)
  }
  if (setup.syscall) {
    asm.mov(ecx, 0xc000_0080).rdmsr().or(eax, 1).wrmsr()
    msr(0xc000_0081, landing, 0x001b_0008)
  }
  const base = long ? 0x20 : 0
  if (long) activateLongMode(asm, { tables: TABLES, efer: EFER_NXE })
  const start = asm.label()
  asm.jmpf(far(8, start))
  if (long) asm.bits(64)
  asm.bind(start).mov(ebx, idtr)
  if (long) asm.lidt(tbyte(rbx))
  else asm.lidt(fword(ebx))
  if (long && setup.syscall) {
    msr(0xc000_0082, landing, 0)
    msr(0xc000_0083, landing, 0)
    msr(0xc000_0084, 0, 0)
  }
  asm.mov(eax, 0x30).ltr(ax).jmp(first)

  const places = probes.map((_, i) => asm.label(`probe ${i}`))
  const starts = probes.map((_, i) => asm.label(`before ${i}`))
  const done = asm.label()
  for (const [i, probe] of probes.entries()) {
    asm.bind(starts[i] as Label)
    if (i === 0) asm.bind(first)
    asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(fs, ax).mov(esp, STACK).mov(esi, DATA).mov(eax, base)
    if (long) asm.mov(cr4, rax)
    else if (probe.name.startsWith('CR4')) asm.mov(cr4, eax)
    asm.mov(eax, starts[i + 1] ?? done).mov(dword(V_NEXT), eax)
    if (setup.mode === 'compatibility')
      asm
        .push(COMPATIBILITY)
        .mov(eax, places[i] as Label)
        .push(rax)
    asm
      .mov(eax, probe.eax ?? DATA)
      .mov(ecx, probe.ecx ?? 0x110)
      .mov(edx, landing)
    if (setup.mode === 'compatibility') asm.db(Uint8Array.from([0x48, 0xcb]))
    asm
      .bind(places[i] as Label)
      .db(Uint8Array.from(probe.bytes))
      .int(END_VECTOR)
  }
  asm.bind(landing).int(END_VECTOR)

  const entries = exceptionEntries(asm, common, END_VECTOR)
  asm.mov(edi, dword(V_RECORD)).add(dword(V_RECORD), RECORD_BYTES)
  const r = (offset: number) => dword(edi, { disp: offset })
  asm.mov(r(16), eax).mov(r(20), ecx)
  // Vector, error code, offset, CS; in 64-bit mode SS is on the stack whatever the level.
  if (long) {
    asm.pop(rbx).pop(rcx).mov(r(0), ebx).mov(r(4), ecx).pop(rax).pop(rax).mov(r(8), eax).pop(rbx).pop(rbp).pop(rbp)
    asm.mov(r(12), ebp)
  } else {
    const inner = asm.label()
    asm.pop(ebx).pop(ecx).mov(r(0), ebx).mov(r(4), ecx).pop(eax).pop(eax).mov(r(8), eax).pop(ebx)
    asm.mov(ebp, ss).test(al, 3).jz(inner).pop(ebp).pop(ebp)
    asm.bind(inner).mov(r(12), ebp)
  }
  asm.mov(ebx, dword(V_NEXT))
  if (long) asm.jmp(rbx)
  else asm.jmp(ebx)
  asm.bind(done)
  sendResults(asm, RECORDS, dword(V_RECORD))

  asm.org(GDT)
  const code = long ? 0xa09b : 0xc09b
  // Null; code and data of level 0; 32-bit code, data and 64-bit code of level 3; TSS; 32-bit code of level 0.
  for (const attributes of [0, code, 0xc093, 0xc0fb, 0xc0f3, 0xa0fb]) {
    asm.dq(attributes === 0 ? 0n : descriptor(0, 0xffff_ffff, attributes))
  }
  asm
    .dq(descriptor(TSS, 0x67, 0x89))
    .dq(0n)
    .dq(descriptor(0, 0xffff_ffff, 0xc09b))
    .dq(0n)
  asm.org(IDT)
  exceptionGates(asm, entries, long)
  asm.org(TSS).dd(0, STACK - 0x4000, long ? 0 : 0x10)
  asm.org(TSS + 0x66).dw(0x68)
  asm.org(VARIABLES).dd(RECORDS, 0)
  asm.org(TABLES).dq(BigInt(TABLES + 0x1000) | 7n)
  asm.org(TABLES + 0x1000).dq(BigInt(TABLES + 0x2000) | 7n)
  asm
    .org(TABLES + 0x2000)
    .dq(0x87n)
    .dq(0x20_0087n)
  asm.org(DATA).dq(0x1234_5678n)
  return asm.assemble().bytes
}

/** What an image has sent. */
export function probeRecords(bytes: Uint8Array): ProbeRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: Math.floor(bytes.length / RECORD_BYTES) }, (_, i) => {
    const word = (offset: number): number => view.getUint32(i * RECORD_BYTES + offset, true)
    return { vector: word(0), error: word(4), cs: word(8), ss: word(12) & 0xffff, eax: word(16), ecx: word(20) }
  })
}
