import type { Assembler, Label } from '@retrap/x86-assembler'
import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import {
  Assembler as X86Assembler,
  al,
  ax,
  byte,
  di,
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
  gs,
  qword,
  r15,
  r15d,
  r8,
  r8d,
  rax,
  rbx,
  rcx,
  rdi,
  rsi,
  rsp,
  ss,
  tbyte,
  word,
} from '@retrap/x86-assembler'
import { EFER_SCE } from '../../../src/state/architecture.ts'
import { descriptor } from '../bench.ts'
import { exceptionEntries } from '../../support/exception-entries.ts'
import * as at from './layout.ts'

/** R15 points to the variables. */
const v = (offset: number) => dword(r15, { disp: offset })
const FAR32 = fword(r15, { disp: at.V_FAR32 })
const FAR64 = tbyte(r15, { disp: at.V_FAR64 })

function pushFar(asm: Assembler): Assembler {
  return asm
    .mov(r8d, v(at.V_FAR64 + 8))
    .push(r8)
    .push(qword(r15, { disp: at.V_FAR64 }))
}
function pushStack(asm: Assembler): Assembler {
  return asm.mov(r8d, v(at.V_STACK_SELECTOR)).push(r8).mov(r8d, 0x15_0000).push(r8)
}
function pushFlags(asm: Assembler): Assembler {
  return asm.mov(r8d, v(at.V_FLAGS)).push(r8)
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
  asm.lea(rsp, qword(rsp, { disp: -4 * values.length }))
  for (const [i, value] of values.entries()) {
    if (value === undefined) asm.mov(r8d, 0x15_0000)
    else asm.mov(r8d, value)
    asm.mov(dword(rsp, { disp: 4 * i }), r8d)
  }
  return asm
}

/** Operations of 64-bit mode. */
const OPERATIONS: Readonly<Record<string, (asm: Assembler) => unknown>> = {
  'mov ds': (asm) => asm.mov(ds, ax),
  'mov es': (asm) => asm.mov(es, ax),
  'mov fs': (asm) => asm.mov(fs, ax),
  'mov ss': (asm) => asm.mov(ss, ax).nop(),
  lgs: (asm) => asm.lgs(ecx, FAR32),
  lss: (asm) => asm.lss(ecx, FAR32),
  'pop fs': (asm) => asm.push(rax).pop(fs),
  'jmp far 32': (asm) => asm.jmpf(FAR32),
  'jmp far 64': (asm) => asm.jmpf(FAR64),
  'call far 32': (asm) => asm.callf(FAR32),
  'call far 64': (asm) => asm.callf(FAR64),
  'retf 64': (asm) => pushFar(pushStack(asm)).operandSize(64).retf(),
  'retf 64 16': (asm) => pushFar(pushStack(asm).push(0).push(0)).operandSize(64).retf(16),
  'retf 32': (asm) => narrowFrame(asm, false).operandSize(32).retf(),
  'iret 64': (asm) => pushFar(pushFlags(pushStack(asm))).iretq(),
  'iret 32': (asm) => narrowFrame(asm, true).iretd(),
  'iret with nt': (asm) => pushFar(pushFlags(pushStack(pushFlags(asm).or(qword(rsp), 0x4000).popfq()))).iretq(),
  int: (asm) => asm.int(at.GATE_VECTOR),
  popfq: (asm) => pushFlags(asm).popfq(),
  lar: (asm) => asm.lar(ecx, eax),
  lsl: (asm) => asm.lsl(ecx, eax),
  verr: (asm) => asm.verr(ax),
  verw: (asm) => asm.verw(ax),
  lldt: (asm) => asm.lldt(ax),
  ltr: (asm) => asm.ltr(ax),
}

export const operations64: readonly string[] = Object.keys(OPERATIONS)

/** The image, without its cases. */
export function image64(count: number): Uint8Array {
  const asm = new X86Assembler({ bits: 32, address: at.LOAD })
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
  asm.mov(al, 0xff).out(0x21, al).out(0xa1, al).lgdt(fword(gdtr))
  activateLongMode(asm, { tables: at.TABLES, efer: EFER_SCE })
  const long = asm.label()
  asm.jmpf(far(8, long)).bits(64).bind(long)
  asm.mov(ebx, idtr).lidt(tbyte(rbx)).mov(ebx, gdtr).lgdt(tbyte(rbx))

  asm.bind(next)
  asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax).mov(fs, ax).mov(gs, ax).mov(ss, ax).mov(esp, 0x13_0000)
  asm.push(2).popfq()
  asm.mov(r15d, at.VARIABLES)
  asm.mov(ebx, at.LANDING & 0xffff).mov(word(rbx), 0x50cd)
  asm
    .mov(ebx, at.GDT)
    .mov(byte(rbx, { disp: 0x35 }), 0x89)
    .mov(ax, 0x30)
    .ltr(ax)
  asm.xor(eax, eax).lldt(ax)
  setUpCase(asm, next)
  asm
    .mov(eax, dword(rsi))
    .mov(ebx, table)
    .mov(ebx, dword(rbx, { index: rax, scale: 4 }))
  asm
    .mov(edx, dword(rsi, { disp: at.C_CPL }))
    .mov(eax, dword(rsi, { disp: at.C_SELECTOR }))
    .mov(ecx, 0x1234_5678)
  const inner = asm.label()
  asm.test(edx, edx).jz(inner)
  asm.mov(edi, 0x23).mov(ds, di).mov(es, di)
  asm.push(0x23).push(0x14_0000).push(2).push(0x2b).push(rbx).iretq()
  asm.bind(inner).push(2).popfq().jmp(rbx)

  const places = operations64.map((name) => {
    const place = asm.here()
    ;(OPERATIONS[name] as (asm: Assembler) => unknown)(asm)
    asm.int(at.END_VECTOR)
    return place
  })
  const { handlers, end } = exceptionEntries(asm, common, at.END_VECTOR)
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
  for (let vector = 0; vector <= at.END_VECTOR; vector++) {
    const handler = vector === at.END_VECTOR ? end : handlers[vector]
    if (handler === undefined) asm.dq(0n).dq(0n)
    else {
      // Double faults have a stack of their own.
      const type = vector === at.END_VECTOR ? 0xee00 : vector === 8 ? 0x8e01 : 0x8e00
      asm.dw(handler.bits(0, 16)).dw(8).dw(type).dw(handler.bits(16, 16)).dq(0n)
    }
  }
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
  const c = (offset: number) => dword(rsi, { disp: offset })
  asm.mov(esi, v(at.V_CASE)).cmp(esi, v(at.V_END)).jb(go)
  asm.mov(esi, at.RECORDS).mov(ecx, v(at.V_RECORD)).sub(ecx, esi).mov(edx, at.RESULT_PORT).cld().rep().outsb()
  asm.mov(edx, at.EXIT_PORT).mov(al, 0x10).out(dx, al).cli().hlt().jmp(next)
  asm.bind(go).add(v(at.V_CASE), at.CASE_BYTES).cld()
  asm
    .mov(rbx, rsi)
    .add(esi, at.C_SLOTS)
    .mov(edi, at.GDT + at.SLOT_SELECTOR)
    .mov(ecx, 8)
    .rep()
    .movsd()
  asm
    .mov(edi, at.IDT + at.GATE_VECTOR * 16)
    .movsd()
    .movsd()
    .mov(rsi, rbx)
  asm
    .mov(ebx, at.TSS)
    .mov(eax, c(at.C_STACK0))
    .mov(dword(rbx, { disp: 4 }), eax)
  asm
    .mov(eax, c(at.C_OFFSET))
    .mov(v(at.V_FAR32), eax)
    .mov(v(at.V_FAR64), eax)
    .mov(v(at.V_FAR64 + 4), 0)
  asm
    .mov(eax, c(at.C_SELECTOR))
    .mov(v(at.V_FAR32 + 4), eax)
    .mov(v(at.V_FAR64 + 8), eax)
  asm.mov(eax, c(at.C_STACK_SELECTOR)).mov(v(at.V_STACK_SELECTOR), eax)
  asm.mov(eax, c(at.C_FLAGS)).mov(v(at.V_FLAGS), eax)
}

function recordFrame(asm: Assembler): void {
  asm.push(rax).push(rcx)
  for (const segment of [ss, ds, es, fs, gs]) asm.mov(eax, segment).push(rax)
  asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax).mov(r15d, at.VARIABLES)
  asm.mov(edi, v(at.V_RECORD)).add(v(at.V_RECORD), at.RECORD_BYTES)
  // From the top: GS FS ES DS SS RCX RAX, vector, error, RIP, CS, RFLAGS, RSP, SS.
  const slots = {
    vector: 7,
    error: 8,
    ip: 9,
    cs: 10,
    flags: 11,
    sp: 12,
    ss: 13,
    ds: 3,
    es: 2,
    fs: 1,
    gs: 0,
    ax: 6,
    cx: 5,
  }
  for (const [field, slot] of Object.entries(slots)) {
    const index = (at.RECORD_FIELDS as readonly string[]).indexOf(field)
    asm.mov(eax, dword(rsp, { disp: 8 * slot })).mov(dword(rdi, { disp: 4 * index }), eax)
  }
  asm.mov(ebx, at.GDT + at.SLOT_SELECTOR)
  for (let i = 0; i < 4; i++) {
    asm.mov(al, byte(rbx, { disp: 8 * i + 5 })).mov(byte(rdi, { disp: 52 + i }), al)
  }
  asm
    .sldt(eax)
    .mov(dword(rdi, { disp: 56 }), eax)
    .str(eax)
    .mov(dword(rdi, { disp: 60 }), eax)
}
