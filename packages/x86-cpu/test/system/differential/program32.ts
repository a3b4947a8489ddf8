import type { Assembler, Label } from '@retrap/x86-assembler'
import {
  Assembler as X86Assembler,
  al,
  ax,
  byte,
  cx,
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
  imm16,
  ss,
  word,
} from '@retrap/x86-assembler'
import { descriptor, gate } from '../bench.ts'
import { exceptionEntries } from '../../support/exception-entries.ts'
import * as at from './layout.ts'

const V = at.VARIABLES
const SELECTOR = dword(V + at.V_FAR32 + 4)
const OFFSET = dword(V + at.V_FAR32)
const STACK_SELECTOR = dword(V + at.V_STACK_SELECTOR)
const FLAGS = dword(V + at.V_FLAGS)

/** Operations of 32-bit protected mode. EAX holds the selector, ECX 12345678H. */
const OPERATIONS: Readonly<Record<string, (asm: Assembler) => unknown>> = {
  'mov ds': (asm) => asm.mov(ds, ax),
  'mov es': (asm) => asm.mov(es, ax),
  'mov fs': (asm) => asm.mov(fs, ax),
  'mov ss': (asm) => asm.mov(ss, ax).nop(),
  les: (asm) => asm.les(ecx, fword(V + at.V_FAR32)),
  lss: (asm) => asm.lss(ecx, fword(V + at.V_FAR32)),
  'pop ds': (asm) => asm.push(eax).pop(ds),
  'push fs, pop es': (asm) => asm.push(fs).pop(es),
  'jmp far': (asm) => asm.jmpf(fword(V + at.V_FAR32)),
  'call far': (asm) => asm.callf(fword(V + at.V_FAR32)),
  'call far 16': (asm) => asm.callf(dword(V + at.V_FAR16)),
  retf: (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(SELECTOR).push(OFFSET).retf(),
  'retf 8': (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(0).push(0).push(SELECTOR).push(OFFSET).retf(8),
  'retf 16': (asm) => {
    asm.push(word(V + at.V_STACK_SELECTOR)).push(imm16(0x5000))
    asm
      .push(word(V + at.V_FAR32 + 4))
      .push(word(V + at.V_FAR32))
      .operandSize(16)
      .retf()
  },
  iret: (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(FLAGS).push(SELECTOR).push(OFFSET).iretd(),
  'iret 16': (asm) => {
    asm
      .push(word(V + at.V_STACK_SELECTOR))
      .push(imm16(0x5000))
      .push(word(V + at.V_FLAGS))
    asm
      .push(word(V + at.V_FAR32 + 4))
      .push(word(V + at.V_FAR32))
      .iretw()
  },
  int: (asm) => asm.int(at.GATE_VECTOR),
  lar: (asm) => asm.lar(ecx, eax),
  lsl: (asm) => asm.lsl(ecx, eax),
  verr: (asm) => asm.verr(ax),
  verw: (asm) => asm.verw(ax),
  arpl: (asm) => asm.mov(ecx, STACK_SELECTOR).arpl(ax, cx),
  lldt: (asm) => asm.lldt(ax),
  ltr: (asm) => asm.ltr(ax),
  'task jmp': (asm) => asm.jmpf(fword(V + at.V_FAR32)),
  'task call': (asm) => asm.callf(fword(V + at.V_FAR32)),
  'task int': (asm) => asm.int(at.GATE_VECTOR),
  'task iret': (asm) => asm.pushfd().or(dword(esp), 0x4000).popfd().iretd(),
}

export const operations32: readonly string[] = Object.keys(OPERATIONS)

/** The image, without its cases. @param count - how many cases follow */
export function image32(count: number): Uint8Array {
  const asm = new X86Assembler({ bits: 32, address: at.LOAD })
  const [entry, next, common, fault, table] = ['entry', 'next', 'common', 'fault', 'table'].map((name) =>
    asm.label(name),
  ) as [Label, Label, Label, Label, Label]
  const gdtr = asm.label('gdtr')
  const idtr = asm.label('idtr')
  // The multiboot header, with the address fields that a flat binary needs.
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, at.LOAD, at.LOAD, 0, at.RECORDS, entry)
  asm.bind(gdtr).dw(0x7f).dd(at.GDT)
  asm.bind(idtr).dw(0x7ff).dd(at.IDT)
  asm.align(16).bind(entry)
  asm.mov(al, 0xff).out(0x21, al).out(0xa1, al)
  asm.lgdt(fword(gdtr)).lidt(fword(idtr))
  const reloaded = asm.label()
  asm.jmpf(far(8, reloaded)).bind(reloaded)

  asm.bind(next)
  asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax).mov(fs, ax).mov(gs, ax).mov(ss, ax).mov(esp, 0x13_0000)
  asm.push(2).popfd()
  asm.mov(word(at.LANDING & 0xffff), 0x50cd)
  asm
    .mov(byte(at.GDT + 0x2d), 0x89)
    .mov(byte(at.GDT + 0x35), 0x89)
    .mov(ax, 0x28)
    .ltr(ax)
  asm.xor(eax, eax).lldt(ax)
  setUpCase(asm, next)
  asm.mov(ebx, dword(esi, { disp: at.C_OPERATION })).mov(ebx, dword(table, { index: ebx, scale: 4 }))
  asm
    .mov(edx, dword(esi, { disp: at.C_CPL }))
    .mov(eax, dword(esi, { disp: at.C_SELECTOR }))
    .mov(ecx, 0x1234_5678)
  const inner = asm.label()
  asm.test(edx, edx).jz(inner)
  asm.mov(edi, 0x23).mov(ds, di).mov(es, di)
  asm.push(0x23).push(0x14_0000).push(2).push(0x1b).push(ebx).iretd()
  asm.bind(inner).push(2).popfd().jmp(ebx)

  const places = operations32.map((name) => {
    const place = asm.here()
    ;(OPERATIONS[name] as (asm: Assembler) => unknown)(asm)
    asm.int(at.END_VECTOR)
    return place
  })
  const { handlers, end } = exceptionEntries(asm, common, at.END_VECTOR)
  recordFrame(asm)
  asm.jmp(next)
  asm.bind(fault)
  recordDoubleFault(asm)
  asm.jmp(next)
  asm.align(4).bind(table)
  for (const place of places) asm.dd(place)

  asm.org(at.LANDING).dw(0x50cd)
  asm.org(at.GDT)
  for (const attributes of [0, 0xc09b, 0xc093, 0xc0fb, 0xc0f3]) {
    asm.dq(attributes === 0 ? 0n : descriptor(0, 0xffff_ffff, attributes))
  }
  asm.dq(descriptor(at.TSS, 0x67, 0x89)).dq(descriptor(at.FAULT_TSS, 0x67, 0x89))
  asm.org(at.IDT)
  for (let vector = 0; vector <= at.END_VECTOR; vector++) {
    const handler = vector === at.END_VECTOR ? end : handlers[vector]
    if (vector === 8) asm.dq(gate(0x30, 0, 0x85))
    else if (handler === undefined) asm.dq(0n)
    else
      asm
        .dw(handler.bits(0, 16))
        .dw(8)
        .dw(vector === at.END_VECTOR ? 0xee00 : 0x8e00)
        .dw(handler.bits(16, 16))
  }
  asm.org(at.TSS).dd(0, 0x13_8000, 0x10)
  asm.org(at.TSS + 0x66).dw(0x68)
  asm.org(at.FAULT_TSS + 0x20).dd(fault, 2, 0, 0, 0, 0, 0x16_0000, 0, 0, 0, 0x10, 8, 0x10, 0x10, 0x10, 0x10, 0)
  asm.org(V).dd(at.CASES, at.RECORDS, at.CASES + count * at.CASE_BYTES)
  asm.org(at.CASES)
  return asm.assemble().bytes
}

/** Takes the next case, whose address is left in ESI, or sends the results and ends. */
function setUpCase(asm: Assembler, next: Label): void {
  const go = asm.label()
  const c = (offset: number) => dword(esi, { disp: offset })
  asm
    .mov(esi, dword(V + at.V_CASE))
    .cmp(esi, dword(V + at.V_END))
    .jb(go)
  asm
    .mov(esi, at.RECORDS)
    .mov(ecx, dword(V + at.V_RECORD))
    .sub(ecx, esi)
    .mov(edx, at.RESULT_PORT)
    .cld()
    .rep()
    .outsb()
  asm.mov(edx, at.EXIT_PORT).mov(al, 0x10).out(dx, al).cli().hlt().jmp(next)
  asm
    .bind(go)
    .add(dword(V + at.V_CASE), at.CASE_BYTES)
    .cld()
  asm
    .push(esi)
    .add(esi, at.C_SLOTS)
    .mov(edi, at.GDT + at.SLOT_SELECTOR)
    .mov(ecx, 8)
    .rep()
    .movsd()
  asm
    .mov(edi, at.IDT + at.GATE_VECTOR * 8)
    .movsd()
    .movsd()
    .pop(esi)
  asm.mov(eax, c(at.C_STACK0)).mov(dword(at.TSS + 8), eax)
  asm
    .mov(eax, c(at.C_OFFSET))
    .mov(dword(V + at.V_FAR32), eax)
    .mov(word(V + at.V_FAR16), ax)
  asm
    .mov(eax, c(at.C_SELECTOR))
    .mov(dword(V + at.V_FAR32 + 4), eax)
    .mov(word(V + at.V_FAR16 + 2), ax)
  // The link that an IRET with NT follows.
  asm.mov(word(at.TSS), ax)
  asm.mov(eax, c(at.C_STACK_SELECTOR)).mov(dword(V + at.V_STACK_SELECTOR), eax)
  asm.mov(eax, c(at.C_FLAGS)).mov(dword(V + at.V_FLAGS), eax)
  setUpTasks(asm)
}

/** Fills the 32-bit and the 16-bit TSS of the other task. */
function setUpTasks(asm: Assembler): void {
  const [wide, narrow] = [at.OTHER_TSS, at.OTHER_TSS16]
  const c = (offset: number) => dword(esi, { disp: offset })
  asm.push(esi).mov(edi, wide).mov(ecx, 0x100).xor(eax, eax).rep().stosd().pop(esi)
  asm
    .mov(dword(wide + 4), 0x13_9000)
    .mov(dword(wide + 8), 0x10)
    .mov(word(narrow + 2), 0x6000)
    .mov(word(narrow + 4), 0x10)
  asm
    .mov(eax, c(at.C_OFFSET))
    .mov(dword(wide + 0x20), eax)
    .mov(word(narrow + 0x0e), ax)
  asm
    .mov(eax, c(at.C_FLAGS))
    .mov(dword(wide + 0x24), eax)
    .mov(word(narrow + 0x10), ax)
  asm.mov(dword(wide + 0x38), 0x15_5000).mov(word(narrow + 0x1a), 0x7000)
  for (const [i, w, n] of [
    [0, 0x4c, 0x24],
    [1, 0x54, 0x28],
    [2, 0x50, 0x26],
    [3, 0x60, 0x2a],
  ] as const) {
    asm
      .mov(ax, word(esi, { disp: at.C_TASK + 2 * i }))
      .mov(word(wide + w), ax)
      .mov(word(narrow + n), ax)
  }
  asm.mov(word(wide + 0x66), 0x68)
}

/** Records what is on the stack: vector, error code, and the frame that the processor has pushed. */
function recordFrame(asm: Assembler): void {
  asm.push(eax).push(ecx)
  for (const segment of [ss, ds, es, fs, gs]) asm.mov(eax, segment).push(eax)
  asm.mov(eax, 0x10).mov(ds, ax).mov(es, ax)
  asm.mov(edi, dword(V + at.V_RECORD)).add(dword(V + at.V_RECORD), at.RECORD_BYTES)
  const stack = (slot: number) => dword(esp, { disp: 4 * slot })
  // From the top: GS FS ES DS SS ECX EAX, vector, error, EIP, CS, EFLAGS, ESP, SS.
  const put = (field: (typeof at.RECORD_FIELDS)[number], slot: number): void => {
    asm.mov(eax, stack(slot)).mov(dword(edi, { disp: 4 * at.RECORD_FIELDS.indexOf(field) }), eax)
  }
  put('vector', 7)
  put('error', 8)
  put('ip', 9)
  put('cs', 10)
  put('flags', 11)
  put('ds', 3)
  put('es', 2)
  put('fs', 1)
  put('gs', 0)
  put('ax', 6)
  put('cx', 5)
  const outer = asm.label()
  const done = asm.label()
  asm.test(stack(10), 3).jnz(outer)
  asm.lea(eax, stack(12)).mov(dword(edi, { disp: 20 }), eax)
  put('ss', 4)
  asm.jmp(done).bind(outer)
  put('sp', 12)
  put('ss', 13)
  asm.bind(done)
  recordTables(asm)
}

function recordTables(asm: Assembler): void {
  for (let i = 0; i < 4; i++) {
    asm.mov(al, byte(at.GDT + at.SLOT_SELECTOR + 8 * i + 5)).mov(byte(edi, { disp: 52 + i }), al)
  }
  asm
    .sldt(eax)
    .mov(dword(edi, { disp: 56 }), eax)
    .str(eax)
    .mov(dword(edi, { disp: 60 }), eax)
}

/** The task of double faults: the state is in the TSS of the task that faulted, which TR's link names; here always the first. */
function recordDoubleFault(asm: Assembler): void {
  asm
    .clts()
    .mov(edi, dword(V + at.V_RECORD))
    .add(dword(V + at.V_RECORD), at.RECORD_BYTES)
  asm
    .pop(eax)
    .mov(dword(edi, { disp: 4 }), eax)
    .mov(dword(edi), 8)
  for (const [i, offset] of [
    [2, 0x20],
    [3, 0x4c],
    [4, 0x24],
    [5, 0x38],
    [6, 0x50],
    [7, 0x54],
    [8, 0x48],
    [9, 0x58],
    [10, 0x5c],
    [11, 0x28],
    [12, 0x2c],
  ] as const) {
    asm.mov(eax, dword(at.TSS + offset)).mov(dword(edi, { disp: 4 * i }), eax)
  }
  recordTables(asm)
  asm
    .pushfd()
    .and(dword(esp), 0xffff_bfff | 0)
    .popfd()
}
