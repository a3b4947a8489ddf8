import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import {
  Assembler as X86Assembler,
  type Assembler,
  al,
  ax,
  cr0,
  cr3,
  cr4,
  cs,
  ds,
  dword,
  dx,
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
  gs,
  r15,
  r8,
  rcx,
  rdi,
  ss,
} from '@retrap/x86-assembler'
import { EFER_SCE } from '../../src/state/architecture.ts'
import { descriptor } from '../system/bench.ts'
import { EXIT_PORT, LOAD, RESULT_PORT } from '../system/differential/layout.ts'

/** SMBASE that the program begins with: that of a PC's firmware. It moves to the second one. */
export const FIRST_BASE = 0xa_0000
export const SECOND_BASE = 0xb_0000
/** A write raises SMI: a PC's advanced power management. */
export const SMI_PORT = 0xb2
/** Bytes of a save area that the handler copies: from SMBASE + FE00H on. */
export const AREA_BYTES = 0x200

/** The modes that SMIs come in, in order; each has two, and the handler does something in the first. */
export const MODES = ['protected', 'PAE', 'real', 'virtual-8086', 'compatibility', '64-bit', 'relocated'] as const

const AREAS = 0x6_0000
const POINTER = 0x9000
const GDT = 0x12_0000
const IDT = 0x12_1000
const TSS = 0x12_2000
const LONG_IDT = 0x12_3000
const PDPT = 0x12_5000
const PML4 = 0x12_6000
const DIRECTORY = 0x12_7000
/** Code of real mode and of virtual-8086 mode. */
const LOW_CODE = 0x7000
const V86_CODE = 0x7800
const STACK = 0x13_0000
const RETURN_VECTOR = 0x50
const SELECTORS = { code32: 8, data32: 0x10, code16: 0x18, data16: 0x20, tss: 0x28, code64: 0x38 }

/** What the first handler adds to the saved RAX, and sets in the saved RFLAGS: CF. */
export const ADDED = 0x1111

/** Two SMIs; the jumps end blocks of instructions that an emulator executes as one. */
function twice(asm: Assembler): Assembler {
  for (let i = 0; i < 2; i++) {
    const next = asm.label()
    asm.out(SMI_PORT, al).jmp(next).bind(next)
  }
  return asm
}

/** The handler: copies its save area; at the first of two SMIs changes RAX and CF, and moves SMBASE at the last pair. */
function handler(): Uint8Array {
  const asm = new X86Assembler({ bits: 16, address: 0x8000 })
  const done = asm.label()
  asm
    .mov(ax, cs)
    .mov(ds, ax)
    .cld()
    .mov(esi, 0xfe00)
    .mov(ecx, AREA_BYTES / 4)
    .mov(ebx, POINTER)
  // ES is flat. REP MOVSD with 32-bit addresses.
  asm
    .mov(edi, dword(ebx, { segment: es }))
    .db(0xf3, 0x66, 0x67, 0xa5)
    .mov(dword(ebx, { segment: es }), edi)
  asm.sub(edi, AREAS).mov(eax, edi).and(eax, AREA_BYTES).jz(done)
  asm.mov(esi, 0xfff8).add(dword(esi), ADDED).mov(esi, 0xff70).or(dword(esi), 1)
  asm.cmp(edi, AREA_BYTES * (2 * MODES.length - 3)).jnz(done)
  asm.mov(esi, 0xff00).mov(dword(esi), SECOND_BASE)
  asm.bind(done).rsm()
  return asm.assemble().bytes
}

function general(asm: Assembler, seed: number): Assembler {
  asm
    .mov(ecx, seed + 1)
    .mov(edx, seed + 2)
    .mov(ebx, seed + 3)
    .mov(ebp, seed + 5)
    .mov(esi, seed + 6)
    .mov(edi, seed + 7)
  return asm.mov(eax, seed)
}

/** The image, entered as multiboot enters it. */
export function program(): Uint8Array {
  const low = realCode()
  const v86 = virtualCode()
  const code = handler()
  const asm = new X86Assembler({ bits: 32, address: LOAD })
  const labels = ['entry', 'handler', 'low', 'v86', 'back', 'gdtr', 'idtr', 'longIdtr', 'fromV86', 'end'] as const
  const at = Object.fromEntries(labels.map((name) => [name, asm.label(name)])) as Record<
    (typeof labels)[number],
    ReturnType<Assembler['label']>
  >
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, LOAD, LOAD, 0, 0x14_0000, at.entry)
  asm.bind(at.gdtr).dw(0x47).dd(GDT)
  asm.bind(at.idtr).dw(0x7ff).dd(IDT)
  asm.bind(at.longIdtr).dw(0xfff).dq(BigInt(LONG_IDT))
  asm.bind(at.handler).db(...code)
  asm.bind(at.low).db(...low)
  asm.bind(at.v86).db(...v86)
  asm.align(16).bind(at.entry)
  asm.mov(esp, STACK).lgdt(fword(at.gdtr)).lidt(fword(at.idtr))
  const flat = asm.label()
  asm.jmpf(far(SELECTORS.code32, flat)).bind(flat)
  asm.mov(eax, SELECTORS.data32)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(eax, 0).mov(cr4, eax).mov(eax, cr0).and(eax, 0x11).mov(cr0, eax).xor(eax, eax).lldt(ax)
  asm.mov(eax, SELECTORS.tss).ltr(ax)
  // i440FX SMRAM control: open, so that the handler can be put there.
  asm.mov(edx, 0xcf8).mov(eax, 0x8000_0070).out(dx, eax).mov(edx, 0xcfe).mov(al, 0x4a).out(dx, al)
  for (const base of [FIRST_BASE, SECOND_BASE]) copy(asm, at.handler, base + 0x8000, code.length)
  copy(asm, at.low, LOW_CODE, low.length)
  copy(asm, at.v86, V86_CODE, v86.length)
  asm.mov(dword(POINTER), AREAS)
  twice(general(asm, 0x1_0000))
  // PAE paging: 2 MiB pages.
  asm
    .mov(eax, PDPT)
    .mov(cr3, eax)
    .mov(eax, 0x20)
    .mov(cr4, eax)
    .mov(eax, cr0)
    .or(eax, 0x8000_0000 | 0)
    .mov(cr0, eax)
  twice(general(asm, 0x2_0000))
  asm
    .mov(eax, cr0)
    .and(eax, 0x7fff_ffff)
    .mov(cr0, eax)
    .mov(dword(POINTER + 4), at.back)
  asm.jmpf(far(SELECTORS.code16, LOW_CODE))
  // Real mode comes back here.
  asm.bind(at.back).mov(eax, SELECTORS.data32)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(esp, STACK).lidt(fword(at.idtr))
  asm
    .push(0x66)
    .push(0x55)
    .push(0x44)
    .push(0x33)
    .push(0x700)
    .push(0xf00)
    .push(0x2_3002)
    .push(V86_CODE >>> 4)
    .push(0)
    .iretd()
  asm.bind(at.fromV86).mov(eax, SELECTORS.data32)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(esp, STACK).push(2).popfd()
  // IA-32e mode: compatibility mode first.
  activateLongMode(asm, { tables: PML4, efer: EFER_SCE })
  const compatible = asm.label()
  asm.jmpf(far(SELECTORS.code32, compatible)).bind(compatible)
  twice(general(asm, 0x5_0000))
  const long = asm.label()
  asm.jmpf(far(SELECTORS.code64, long)).bits(64).bind(long)
  asm.mov(r8, 0x1234_5678_9abc_def0n).mov(r15, 0xfedc_ba98_7654_3210n).mov(rcx, 0x0123_4567_89ab_cdefn)
  twice(asm.mov(rdi, -2).mov(eax, 0x6_0000))
  twice(asm.mov(eax, 0x7_0000))
  asm
    .mov(esi, AREAS)
    .mov(ecx, 2 * MODES.length * AREA_BYTES)
    .mov(edx, RESULT_PORT)
    .cld()
    .rep()
    .outsb()
  asm.mov(edx, EXIT_PORT).mov(al, 0x10).out(dx, al).cli().hlt().bind(at.end).jmp(at.end)

  asm
    .org(GDT)
    .dq(0n)
    .dq(descriptor(0, 0xffff_ffff, 0xc09b))
    .dq(descriptor(0, 0xffff_ffff, 0xc093))
  asm
    .dq(descriptor(0, 0xffff, 0x9b))
    .dq(descriptor(0, 0xffff, 0x93))
    .dq(descriptor(TSS, 0xff, 0x89))
    .dq(0n)
  asm.dq(descriptor(0, 0xffff_ffff, 0xa09b)).dq(0n)
  asm
    .org(IDT + 8 * RETURN_VECTOR)
    .dw(at.fromV86.bits(0, 16))
    .dw(SELECTORS.code32)
    .dw(0xee00)
    .dw(at.fromV86.bits(16, 16))
  asm.org(TSS).dd(0, STACK, SELECTORS.data32)
  // An I/O permission map of zeros: virtual-8086 mode may use ports.
  asm.org(TSS + 0x66).dw(0x68)
  asm.org(PDPT).dq(BigInt(DIRECTORY + 1))
  asm
    .org(PML4)
    .dq(BigInt(PML4 + 0x2003))
    .org(DIRECTORY)
    .dq(0x83n)
    .dq(0x20_0083n)
  asm.org(PML4 + 0x2000).dq(BigInt(DIRECTORY + 3))
  asm.org(0x13_f000).dd(0)
  return asm.assemble().bytes
}

function copy(asm: Assembler, from: ReturnType<Assembler['label']>, to: number, bytes: number): void {
  asm.mov(esi, from).mov(edi, to).mov(ecx, bytes).cld().rep().movsb()
}

/** Leaves protected mode for real mode, and comes back. */
function realCode(): Uint8Array {
  const asm = new X86Assembler({ bits: 16, address: LOW_CODE })
  const real = asm.label()
  const wide = asm.label()
  asm.mov(ax, SELECTORS.data16)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(eax, 0).mov(cr4, eax).mov(eax, cr0).and(eax, -2).mov(cr0, eax).jmpf(far(0, real)).bind(real)
  asm.mov(ax, 0x10).mov(ds, ax).mov(ax, 0x20).mov(es, ax).mov(ax, 0x30).mov(fs, ax).mov(ax, 0x40).mov(gs, ax)
  asm.xor(ax, ax).mov(ss, ax).mov(esp, 0x6000)
  twice(general(asm, 0x3_0000))
  asm.mov(eax, cr0).or(eax, 1).mov(cr0, eax).mov(ax, SELECTORS.data32).mov(ds, ax)
  asm.mov(eax, 0x20).mov(cr4, eax)
  asm
    .jmpf(far(SELECTORS.code32, wide))
    .bits(32)
    .bind(wide)
    .jmp(dword(POINTER + 4))
  return asm.assemble().bytes
}

function virtualCode(): Uint8Array {
  const asm = new X86Assembler({ bits: 16, address: 0 })
  twice(general(asm, 0x4_0000)).int(RETURN_VECTOR)
  return asm.assemble().bytes
}
