import type { Assembler, Label } from '@retrap/x86-assembler'
import * as x86 from '@retrap/x86-assembler'
import { descriptor } from '../bench.ts'
import { exceptionEntries, exceptionGates, loadSegments, sendResults } from '../../support/exception-entries.ts'
import * as at from './layout.ts'

const V = at.VARIABLES
const SELECTOR = x86.dword(V + at.V_FAR32 + 4)
const OFFSET = x86.dword(V + at.V_FAR32)
const STACK_SELECTOR = x86.dword(V + at.V_STACK_SELECTOR)
const FLAGS = x86.dword(V + at.V_FLAGS)

/** Operations of 32-bit protected mode. EAX holds the selector, ECX 12345678H. */
const OPERATIONS: Readonly<Record<string, (asm: Assembler) => unknown>> = {
  'mov ds': (asm) => asm.mov(x86.ds, x86.ax),
  'mov es': (asm) => asm.mov(x86.es, x86.ax),
  'mov fs': (asm) => asm.mov(x86.fs, x86.ax),
  'mov ss': (asm) => asm.mov(x86.ss, x86.ax).nop(),
  les: (asm) => asm.les(x86.ecx, x86.fword(V + at.V_FAR32)),
  lss: (asm) => asm.lss(x86.ecx, x86.fword(V + at.V_FAR32)),
  'pop ds': (asm) => asm.push(x86.eax).pop(x86.ds),
  'push fs, pop es': (asm) => asm.push(x86.fs).pop(x86.es),
  'jmp far': (asm) => asm.jmpf(x86.fword(V + at.V_FAR32)),
  'call far': (asm) => asm.callf(x86.fword(V + at.V_FAR32)),
  'call far 16': (asm) => asm.callf(x86.dword(V + at.V_FAR16)),
  retf: (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(SELECTOR).push(OFFSET).retf(),
  'retf 8': (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(0).push(0).push(SELECTOR).push(OFFSET).retf(8),
  'retf 16': (asm) => {
    asm.push(x86.word(V + at.V_STACK_SELECTOR)).push(x86.imm16(0x5000))
    asm
      .push(x86.word(V + at.V_FAR32 + 4))
      .push(x86.word(V + at.V_FAR32))
      .operandSize(16)
      .retf()
  },
  iret: (asm) => asm.push(STACK_SELECTOR).push(0x15_0000).push(FLAGS).push(SELECTOR).push(OFFSET).iretd(),
  'iret 16': (asm) => {
    asm
      .push(x86.word(V + at.V_STACK_SELECTOR))
      .push(x86.imm16(0x5000))
      .push(x86.word(V + at.V_FLAGS))
    asm
      .push(x86.word(V + at.V_FAR32 + 4))
      .push(x86.word(V + at.V_FAR32))
      .iretw()
  },
  int: (asm) => asm.int(at.GATE_VECTOR),
  lar: (asm) => asm.lar(x86.ecx, x86.eax),
  lsl: (asm) => asm.lsl(x86.ecx, x86.eax),
  verr: (asm) => asm.verr(x86.ax),
  verw: (asm) => asm.verw(x86.ax),
  arpl: (asm) => asm.mov(x86.ecx, STACK_SELECTOR).arpl(x86.ax, x86.cx),
  lldt: (asm) => asm.lldt(x86.ax),
  ltr: (asm) => asm.ltr(x86.ax),
  'task jmp': (asm) => asm.jmpf(x86.fword(V + at.V_FAR32)),
  'task call': (asm) => asm.callf(x86.fword(V + at.V_FAR32)),
  'task int': (asm) => asm.int(at.GATE_VECTOR),
  'task iret': (asm) => asm.pushfd().or(x86.dword(x86.esp), 0x4000).popfd().iretd(),
}

export const operations32: readonly string[] = Object.keys(OPERATIONS)

/** The image, without its cases. @param count - how many cases follow */
export function image32(count: number): Uint8Array {
  const asm = new x86.Assembler({ bits: 32, address: at.LOAD })
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
  asm.mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al)
  asm.lgdt(x86.fword(gdtr)).lidt(x86.fword(idtr))
  const reloaded = asm.label()
  asm.jmpf(x86.far(8, reloaded)).bind(reloaded)

  asm.bind(next)
  loadSegments(asm)
  asm.push(2).popfd()
  asm.mov(x86.word(at.LANDING & 0xffff), 0x50cd)
  asm
    .mov(x86.byte(at.GDT + 0x2d), 0x89)
    .mov(x86.byte(at.GDT + 0x35), 0x89)
    .mov(x86.ax, 0x28)
    .ltr(x86.ax)
  asm.xor(x86.eax, x86.eax).lldt(x86.ax)
  setUpCase(asm, next)
  asm
    .mov(x86.ebx, x86.dword(x86.esi, { disp: at.C_OPERATION }))
    .mov(x86.ebx, x86.dword(table, { index: x86.ebx, scale: 4 }))
  asm
    .mov(x86.edx, x86.dword(x86.esi, { disp: at.C_CPL }))
    .mov(x86.eax, x86.dword(x86.esi, { disp: at.C_SELECTOR }))
    .mov(x86.ecx, 0x1234_5678)
  const inner = asm.label()
  asm.test(x86.edx, x86.edx).jz(inner)
  asm.mov(x86.edi, 0x23).mov(x86.ds, x86.di).mov(x86.es, x86.di)
  asm.push(0x23).push(0x14_0000).push(2).push(0x1b).push(x86.ebx).iretd()
  asm.bind(inner).push(2).popfd().jmp(x86.ebx)

  const places = operations32.map((name) => {
    const place = asm.here()
    ;(OPERATIONS[name] as (asm: Assembler) => unknown)(asm)
    asm.int(at.END_VECTOR)
    return place
  })
  const entries = exceptionEntries(asm, common, at.END_VECTOR)
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
  exceptionGates(asm, entries, false, { task: 0x30 })
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
  const c = (offset: number) => x86.dword(x86.esi, { disp: offset })
  asm
    .mov(x86.esi, x86.dword(V + at.V_CASE))
    .cmp(x86.esi, x86.dword(V + at.V_END))
    .jb(go)
  sendResults(asm, at.RECORDS, x86.dword(V + at.V_RECORD))
  asm.jmp(next)
  asm
    .bind(go)
    .add(x86.dword(V + at.V_CASE), at.CASE_BYTES)
    .cld()
  asm
    .push(x86.esi)
    .add(x86.esi, at.C_SLOTS)
    .mov(x86.edi, at.GDT + at.SLOT_SELECTOR)
    .mov(x86.ecx, 8)
    .rep()
    .movsd()
  asm
    .mov(x86.edi, at.IDT + at.GATE_VECTOR * 8)
    .movsd()
    .movsd()
    .pop(x86.esi)
  asm.mov(x86.eax, c(at.C_STACK0)).mov(x86.dword(at.TSS + 8), x86.eax)
  asm
    .mov(x86.eax, c(at.C_OFFSET))
    .mov(x86.dword(V + at.V_FAR32), x86.eax)
    .mov(x86.word(V + at.V_FAR16), x86.ax)
  asm
    .mov(x86.eax, c(at.C_SELECTOR))
    .mov(x86.dword(V + at.V_FAR32 + 4), x86.eax)
    .mov(x86.word(V + at.V_FAR16 + 2), x86.ax)
  // The link that an IRET with NT follows.
  asm.mov(x86.word(at.TSS), x86.ax)
  asm.mov(x86.eax, c(at.C_STACK_SELECTOR)).mov(x86.dword(V + at.V_STACK_SELECTOR), x86.eax)
  asm.mov(x86.eax, c(at.C_FLAGS)).mov(x86.dword(V + at.V_FLAGS), x86.eax)
  setUpTasks(asm)
}

/** Fills the 32-bit and the 16-bit TSS of the other task. */
function setUpTasks(asm: Assembler): void {
  const [wide, narrow] = [at.OTHER_TSS, at.OTHER_TSS16]
  const c = (offset: number) => x86.dword(x86.esi, { disp: offset })
  asm.push(x86.esi).mov(x86.edi, wide).mov(x86.ecx, 0x100).xor(x86.eax, x86.eax).rep().stosd().pop(x86.esi)
  asm
    .mov(x86.dword(wide + 4), 0x13_9000)
    .mov(x86.dword(wide + 8), 0x10)
    .mov(x86.word(narrow + 2), 0x6000)
    .mov(x86.word(narrow + 4), 0x10)
  asm
    .mov(x86.eax, c(at.C_OFFSET))
    .mov(x86.dword(wide + 0x20), x86.eax)
    .mov(x86.word(narrow + 0x0e), x86.ax)
  asm
    .mov(x86.eax, c(at.C_FLAGS))
    .mov(x86.dword(wide + 0x24), x86.eax)
    .mov(x86.word(narrow + 0x10), x86.ax)
  asm.mov(x86.dword(wide + 0x38), 0x15_5000).mov(x86.word(narrow + 0x1a), 0x7000)
  for (const [i, w, n] of [
    [0, 0x4c, 0x24],
    [1, 0x54, 0x28],
    [2, 0x50, 0x26],
    [3, 0x60, 0x2a],
  ] as const) {
    asm
      .mov(x86.ax, x86.word(x86.esi, { disp: at.C_TASK + 2 * i }))
      .mov(x86.word(wide + w), x86.ax)
      .mov(x86.word(narrow + n), x86.ax)
  }
  asm.mov(x86.word(wide + 0x66), 0x68)
}

/** Records what is on the stack: vector, error code, and the frame that the processor has pushed. */
function recordFrame(asm: Assembler): void {
  asm.push(x86.eax).push(x86.ecx)
  for (const segment of [x86.ss, x86.ds, x86.es, x86.fs, x86.gs]) asm.mov(x86.eax, segment).push(x86.eax)
  asm.mov(x86.eax, 0x10).mov(x86.ds, x86.ax).mov(x86.es, x86.ax)
  asm.mov(x86.edi, x86.dword(V + at.V_RECORD)).add(x86.dword(V + at.V_RECORD), at.RECORD_BYTES)
  const stack = (slot: number) => x86.dword(x86.esp, { disp: 4 * slot })
  // ESP and SS are behind that, where the level has changed.
  const put = (field: (typeof at.RECORD_FIELDS)[number], slot: number): void => {
    asm.mov(x86.eax, stack(slot)).mov(x86.dword(x86.edi, { disp: 4 * at.RECORD_FIELDS.indexOf(field) }), x86.eax)
  }
  for (const [slot, field] of at.FRAME.entries()) put(field, slot)
  const done = asm.label()
  asm.lea(x86.eax, stack(12)).mov(x86.dword(x86.edi, { disp: 20 }), x86.eax)
  asm.test(stack(10), 3).jz(done)
  put('sp', 12)
  put('ss', 13)
  asm.bind(done)
  recordTables(asm)
}

function recordTables(asm: Assembler): void {
  for (let i = 0; i < 4; i++) {
    asm.mov(x86.al, x86.byte(at.GDT + at.SLOT_SELECTOR + 8 * i + 5)).mov(x86.byte(x86.edi, { disp: 52 + i }), x86.al)
  }
  asm
    .sldt(x86.eax)
    .mov(x86.dword(x86.edi, { disp: 56 }), x86.eax)
    .str(x86.eax)
    .mov(x86.dword(x86.edi, { disp: 60 }), x86.eax)
}

/** The task of double faults: the state is in the TSS of the task that faulted, which TR's link names; here always the first. */
function recordDoubleFault(asm: Assembler): void {
  asm
    .clts()
    .mov(x86.edi, x86.dword(V + at.V_RECORD))
    .add(x86.dword(V + at.V_RECORD), at.RECORD_BYTES)
  asm
    .pop(x86.eax)
    .mov(x86.dword(x86.edi, { disp: 4 }), x86.eax)
    .mov(x86.dword(x86.edi), 8)
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
    asm.mov(x86.eax, x86.dword(at.TSS + offset)).mov(x86.dword(x86.edi, { disp: 4 * i }), x86.eax)
  }
  recordTables(asm)
  asm
    .pushfd()
    .and(x86.dword(x86.esp), 0xffff_bfff | 0)
    .popfd()
}
