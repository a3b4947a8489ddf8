import type { Assembler, Label } from '@retrap/x86-assembler'
import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { EFER_SCE } from '../../../src/state/architecture.ts'
import { descriptor } from '../bench.ts'
import { exceptionEntries, exceptionGates, loadSegments, sendResults } from '../../support/exception-entries.ts'
import * as at from './layout.ts'

/** R15 points to the variables. */
const v = (offset: number) => x86.dword(x86.r15, { disp: offset })
const FAR32 = x86.fword(x86.r15, { disp: at.V_FAR32 })
const FAR64 = x86.tbyte(x86.r15, { disp: at.V_FAR64 })

function pushFar(asm: Assembler): Assembler {
  return asm
    .mov(x86.r8d, v(at.V_FAR64 + 8))
    .push(x86.r8)
    .push(x86.qword(x86.r15, { disp: at.V_FAR64 }))
}
function pushStack(asm: Assembler): Assembler {
  return asm.mov(x86.r8d, v(at.V_STACK_SELECTOR)).push(x86.r8).mov(x86.r8d, 0x15_0000).push(x86.r8)
}
function pushFlags(asm: Assembler): Assembler {
  return asm.mov(x86.r8d, v(at.V_FLAGS)).push(x86.r8)
}
/** A frame of 32-bit values: offset, selector, [flags,] stack pointer, stack selector. */
function narrowFrame(asm: Assembler, withFlags: boolean): Assembler {
  const values = [
    v(at.V_FAR32),
    v(at.V_FAR32 + 4),
    ...(withFlags ? [v(at.V_FLAGS)] : []),
    undefined,
    v(at.V_STACK_SELECTOR),
  ]
  asm.lea(x86.rsp, x86.qword(x86.rsp, { disp: -4 * values.length }))
  for (const [i, value] of values.entries()) {
    if (value === undefined) asm.mov(x86.r8d, 0x15_0000)
    else asm.mov(x86.r8d, value)
    asm.mov(x86.dword(x86.rsp, { disp: 4 * i }), x86.r8d)
  }
  return asm
}

/** Operations of 64-bit mode. */
const OPERATIONS: Readonly<Record<string, (asm: Assembler) => unknown>> = {
  'mov ds': (asm) => asm.mov(x86.ds, x86.ax),
  'mov es': (asm) => asm.mov(x86.es, x86.ax),
  'mov fs': (asm) => asm.mov(x86.fs, x86.ax),
  'mov ss': (asm) => asm.mov(x86.ss, x86.ax).nop(),
  lgs: (asm) => asm.lgs(x86.ecx, FAR32),
  lss: (asm) => asm.lss(x86.ecx, FAR32),
  'pop fs': (asm) => asm.push(x86.rax).pop(x86.fs),
  'jmp far 32': (asm) => asm.jmpf(FAR32),
  'jmp far 64': (asm) => asm.jmpf(FAR64),
  'call far 32': (asm) => asm.callf(FAR32),
  'call far 64': (asm) => asm.callf(FAR64),
  'retf 64': (asm) => pushFar(pushStack(asm)).operandSize(64).retf(),
  'retf 64 16': (asm) => pushFar(pushStack(asm).push(0).push(0)).operandSize(64).retf(16),
  'retf 32': (asm) => narrowFrame(asm, false).operandSize(32).retf(),
  'iret 64': (asm) => pushFar(pushFlags(pushStack(asm))).iretq(),
  'iret 32': (asm) => narrowFrame(asm, true).iretd(),
  'iret with nt': (asm) => pushFar(pushFlags(pushStack(pushFlags(asm).or(x86.qword(x86.rsp), 0x4000).popfq()))).iretq(),
  int: (asm) => asm.int(at.GATE_VECTOR),
  popfq: (asm) => pushFlags(asm).popfq(),
  lar: (asm) => asm.lar(x86.ecx, x86.eax),
  lsl: (asm) => asm.lsl(x86.ecx, x86.eax),
  verr: (asm) => asm.verr(x86.ax),
  verw: (asm) => asm.verw(x86.ax),
  lldt: (asm) => asm.lldt(x86.ax),
  ltr: (asm) => asm.ltr(x86.ax),
}

export const operations64: readonly string[] = Object.keys(OPERATIONS)

/** The image, without its cases. */
export function image64(count: number): Uint8Array {
  const asm = new x86.Assembler({ bits: 32, address: at.LOAD })
  const [entry, next, common, table] = ['entry', 'next', 'common', 'table'].map((name) => asm.label(name)) as [
    Label,
    Label,
    Label,
    Label,
  ]
  const gdtr = asm.label('gdtr')
  const idtr = asm.label('idtr')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, at.LOAD, at.LOAD, 0, at.RECORDS, entry)
  asm.bind(gdtr).dw(0x7f).dq(BigInt(at.GDT))
  asm.bind(idtr).dw(0xfff).dq(BigInt(at.IDT))
  asm.align(16).bind(entry)
  asm.mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al).lgdt(x86.fword(gdtr))
  activateLongMode(asm, { tables: at.TABLES, efer: EFER_SCE })
  const long = asm.label()
  asm.jmpf(x86.far(8, long)).bits(64).bind(long)
  asm.mov(x86.ebx, idtr).lidt(x86.tbyte(x86.rbx)).mov(x86.ebx, gdtr).lgdt(x86.tbyte(x86.rbx))

  asm.bind(next)
  loadSegments(asm)
  asm.push(2).popfq()
  asm.mov(x86.r15d, at.VARIABLES)
  asm.mov(x86.ebx, at.LANDING & 0xffff).mov(x86.word(x86.rbx), 0x50cd)
  asm
    .mov(x86.ebx, at.GDT)
    .mov(x86.byte(x86.rbx, { disp: 0x35 }), 0x89)
    .mov(x86.ax, 0x30)
    .ltr(x86.ax)
  asm.xor(x86.eax, x86.eax).lldt(x86.ax)
  setUpCase(asm, next)
  asm
    .mov(x86.eax, x86.dword(x86.rsi))
    .mov(x86.ebx, table)
    .mov(x86.ebx, x86.dword(x86.rbx, { index: x86.rax, scale: 4 }))
  asm
    .mov(x86.edx, x86.dword(x86.rsi, { disp: at.C_CPL }))
    .mov(x86.eax, x86.dword(x86.rsi, { disp: at.C_SELECTOR }))
    .mov(x86.ecx, 0x1234_5678)
  const inner = asm.label()
  asm.test(x86.edx, x86.edx).jz(inner)
  asm.mov(x86.edi, 0x23).mov(x86.ds, x86.di).mov(x86.es, x86.di)
  asm.push(0x23).push(0x14_0000).push(2).push(0x2b).push(x86.rbx).iretq()
  asm.bind(inner).push(2).popfq().jmp(x86.rbx)

  const places = operations64.map((name) => {
    const place = asm.here()
    ;(OPERATIONS[name] as (asm: Assembler) => unknown)(asm)
    asm.int(at.END_VECTOR)
    return place
  })
  const entries = exceptionEntries(asm, common, at.END_VECTOR)
  recordFrame(asm)
  asm.jmp(next)
  asm.align(4).bind(table)
  for (const place of places) asm.dd(place)

  asm.org(at.LANDING).dw(0x50cd)
  asm.org(at.GDT)
  for (const attributes of [0, 0xa09b, 0xc093, 0xc0fb, 0xc0f3, 0xa0fb]) {
    asm.dq(attributes === 0 ? 0n : descriptor(0, 0xffff_ffff, attributes))
  }
  asm.dq(descriptor(at.TSS, 0x67, 0x89)).dq(0n)
  asm.org(at.IDT)
  exceptionGates(asm, entries, true, { stack: 1 })
  asm.org(at.TSS).dd(0, 0x13_8000, 0)
  asm.org(at.TSS + 0x24).dd(0x16_2000, 0, 0x16_4008, 0)
  asm.org(at.TSS + 0x66).dw(0x68)
  asm.org(at.VARIABLES).dd(at.CASES, at.RECORDS, at.CASES + count * at.CASE_BYTES)
  asm.org(at.TABLES).dq(BigInt(at.TABLES + 0x1007))
  asm.org(at.TABLES + 0x1000).dq(BigInt(at.TABLES + 0x2007))
  asm
    .org(at.TABLES + 0x2000)
    .dq(0x87n)
    .dq(0x20_0087n)
  asm.org(at.CASES)
  return asm.assemble().bytes
}

function setUpCase(asm: Assembler, next: Label): void {
  const go = asm.label()
  const c = (offset: number) => x86.dword(x86.rsi, { disp: offset })
  asm.mov(x86.esi, v(at.V_CASE)).cmp(x86.esi, v(at.V_END)).jb(go)
  sendResults(asm, at.RECORDS, v(at.V_RECORD))
  asm.jmp(next)
  asm.bind(go).add(v(at.V_CASE), at.CASE_BYTES).cld()
  asm
    .mov(x86.rbx, x86.rsi)
    .add(x86.esi, at.C_SLOTS)
    .mov(x86.edi, at.GDT + at.SLOT_SELECTOR)
    .mov(x86.ecx, 8)
    .rep()
    .movsd()
  asm
    .mov(x86.edi, at.IDT + at.GATE_VECTOR * 16)
    .movsd()
    .movsd()
    .mov(x86.rsi, x86.rbx)
  asm
    .mov(x86.ebx, at.TSS)
    .mov(x86.eax, c(at.C_STACK0))
    .mov(x86.dword(x86.rbx, { disp: 4 }), x86.eax)
  asm
    .mov(x86.eax, c(at.C_OFFSET))
    .mov(v(at.V_FAR32), x86.eax)
    .mov(v(at.V_FAR64), x86.eax)
    .mov(v(at.V_FAR64 + 4), 0)
  asm
    .mov(x86.eax, c(at.C_SELECTOR))
    .mov(v(at.V_FAR32 + 4), x86.eax)
    .mov(v(at.V_FAR64 + 8), x86.eax)
  asm.mov(x86.eax, c(at.C_STACK_SELECTOR)).mov(v(at.V_STACK_SELECTOR), x86.eax)
  asm.mov(x86.eax, c(at.C_FLAGS)).mov(v(at.V_FLAGS), x86.eax)
}

function recordFrame(asm: Assembler): void {
  asm.push(x86.rax).push(x86.rcx)
  for (const segment of [x86.ss, x86.ds, x86.es, x86.fs, x86.gs]) asm.mov(x86.eax, segment).push(x86.rax)
  asm.mov(x86.eax, 0x10).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.r15d, at.VARIABLES)
  asm.mov(x86.edi, v(at.V_RECORD)).add(v(at.V_RECORD), at.RECORD_BYTES)
  // RSP and SS are behind that.
  const put = (field: (typeof at.RECORD_FIELDS)[number], slot: number): void => {
    const index = at.RECORD_FIELDS.indexOf(field)
    asm.mov(x86.eax, x86.dword(x86.rsp, { disp: 8 * slot })).mov(x86.dword(x86.rdi, { disp: 4 * index }), x86.eax)
  }
  for (const [slot, field] of at.FRAME.entries()) put(field, slot)
  put('sp', 12)
  put('ss', 13)
  asm.mov(x86.ebx, at.GDT + at.SLOT_SELECTOR)
  for (let i = 0; i < 4; i++) {
    asm.mov(x86.al, x86.byte(x86.rbx, { disp: 8 * i + 5 })).mov(x86.byte(x86.rdi, { disp: 52 + i }), x86.al)
  }
  asm
    .sldt(x86.eax)
    .mov(x86.dword(x86.rdi, { disp: 56 }), x86.eax)
    .str(x86.eax)
    .mov(x86.dword(x86.rdi, { disp: 60 }), x86.eax)
}
