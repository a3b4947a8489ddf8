import * as x86 from '@retrap/x86-assembler'
import { show } from '../support/boot-disk.ts'

export const MIB = 1 << 20
export const MEMORY_MIB = 64
export const TOP = MEMORY_MIB * MIB

/** SMBASE that SeaBIOS has given the first processor; the second one has that of a reset. */
export const SMRAM = 0xa_0000

export const RESET_SMBASE = 0x3_0000
export const LOW_SMBASE = 0x5_0000

/** Real-mode addresses that the processors' handlers go to. */
export const FIRST_POINTER = 0x600

export const SECOND_POINTER = 0x604
export const COUNTER = 0x608
export const SECOND_COUNTER = 0x60c
export const SIGNAL = 0x610
export const RESULT = 0x614
const IDT = 0x2_0000
const CODE = 8
const DATA = 16
const ICR = 0xfee0_0300
export const ICR_HIGH = 0xfee0_0310
export const SELF = 1 << 18
export const NMI = 4 << 8
export const SMI = 2 << 8
export const INIT = 0x4500
export const STARTUP = 0x4600
export const IRQ_VECTOR = 0x51
const SPURIOUS = 0xfee0_00f0
const EOI = 0xfee0_00b0
export const D_OPEN = 0x40
export const D_CLS = 0x20
export const D_LCK = 0x10
export const G_SMRAME = 0x08
export const T_EN = 1
export const H_SMRAME = 0x80
export const HIGH_SMRAM = 0xfeda_0000

/** What is compared, by the board. */
export interface Board {
  readonly machine: 'pc' | 'q35'
  /** Configuration address of the SMRAM control register. */
  readonly smram: number
}

/** Shows the bytes of EAX from the lowest on. */
export function showWords(asm: x86.Assembler, bytes = 4): void {
  for (let i = 0; i < bytes; i++) show(asm).shr(x86.eax, 8)
}

export function configure(asm: x86.Assembler, address: number, value: number): void {
  asm
    .mov(x86.dx, x86.imm16(0xcf8))
    .mov(x86.eax, x86.imm32(0x8000_0000 | (address & ~3)))
    .out(x86.dx, x86.eax)
  asm
    .mov(x86.dx, x86.imm16(0xcfc + (address & 3)))
    .mov(x86.al, value)
    .out(x86.dx, x86.al)
}

export const showConfiguration = (asm: x86.Assembler): void => void show(asm.in(x86.al, x86.dx))

/** Shows 0 where SMRAM is seen, and 1 for anything else. */
export const lookForSmram = (asm: x86.Assembler): void =>
  void show(
    asm
      .mov(x86.al, x86.byte(SMRAM + 0x100))
      .sub(x86.al, 0x5a)
      .db(0x0f, 0x95, 0xc0),
  )

export const look = (asm: x86.Assembler, address: number): void => void show(asm.mov(x86.al, x86.byte(address)))

export interface Context {
  readonly asm: x86.Assembler
  readonly board: Board
  readonly step: (name: string, bytes: number) => void
  readonly body: (build: (asm: x86.Assembler) => void) => x86.Label
  readonly smi: (label: x86.Label) => void
  readonly stub: (base: number, pointer?: number) => void
  readonly smram: (value: number) => void
}

export function protectedMode(asm: x86.Assembler): x86.Label {
  const [gdt, gdtr, idtr, flat, over] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  asm.jmp(over).align(8).bind(gdt).dq(0n, 0xcf_9b00_0000_ffffn, 0xcf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt).bind(idtr).dw(0x7ff).dd(IDT).bind(over)
  asm
    .mov(x86.ax, 0)
    .mov(x86.ds, x86.ax)
    .lgdt(x86.fword(gdtr))
    .mov(x86.eax, x86.cr0)
    .or(x86.eax, 1)
    .mov(x86.cr0, x86.eax)
  asm.jmpf(x86.far(CODE, flat)).bits(32).bind(flat).mov(x86.eax, x86.imm32(DATA))
  for (const segment of [x86.ds, x86.es, x86.ss]) asm.mov(segment, x86.ax)
  asm.mov(x86.esp, x86.imm32(0x7000))
  return idtr
}

/** NMIs show N, interrupts show I; both are of protected mode. The local APIC is on. */
export function setUp(asm: x86.Assembler, idtr: x86.Label): void {
  const [nmi, interrupt, over] = [asm.label(), asm.label(), asm.label()]
  asm.jmp(over)
  asm.bind(nmi).push(x86.eax).mov(x86.al, 'N'.charCodeAt(0)).out(0xe9, x86.al).pop(x86.eax).iretd()
  asm.bind(interrupt).push(x86.eax).mov(x86.al, 'I'.charCodeAt(0)).out(0xe9, x86.al)
  asm.xor(x86.eax, x86.eax).mov(x86.dword(EOI), x86.eax).pop(x86.eax).iretd()
  asm.bind(over)
  for (const [vector, label] of [
    [2, nmi],
    [IRQ_VECTOR, interrupt],
  ] as const) {
    asm.mov(x86.word(IDT + 8 * vector), label).mov(x86.word(IDT + 8 * vector + 2), CODE)
    asm.mov(x86.dword(IDT + 8 * vector + 4), x86.imm32(0x8e00))
  }
  // The 8259s are masked.
  asm.mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al)
  asm.lidt(x86.fword(idtr)).mov(x86.dword(SPURIOUS), x86.imm32(0x1ff))
}

/** Sends an interrupt by the local APIC; from 16-bit code too, whose segments SMI has opened. */
export function send(asm: x86.Assembler, command: number): void {
  asm.mov(x86.esi, x86.imm32(ICR)).mov(x86.dword(x86.esi), x86.imm32(command))
}
