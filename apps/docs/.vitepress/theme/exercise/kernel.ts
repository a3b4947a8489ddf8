import {
  al,
  Assembler,
  ax,
  ds,
  dx,
  eax,
  ecx,
  es,
  esp,
  far32,
  fword,
  imm16,
  imm32,
  type Label,
  ss,
} from '@retrap/x86-assembler'
import { assembleText, SourceError } from './assembly.ts'

/** The kernel of a source. */
export interface ExerciseKernel {
  /** A multiboot image. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The addresses of instructions by their lines, from 1. */
  readonly lines: ReadonlyMap<number, bigint>
  readonly symbols: ReadonlyMap<string, bigint>
}

const BASE = 0x10_0000
const STACK = 0x9_0000
const [FLAT_CODE, FLAT_DATA] = [0x08, 0x10]
const PIC_VECTOR = 0x20
const SERIAL_IRQ = 4
const INTERRUPT_GATE = 0x8e00
/** IA32_APIC_BASE, and the bit that switches the local APIC on. */
const [APIC_BASE, APIC_ENABLE] = [0x1b, 1 << 11]
const [DATA, ENABLE, LINE, MODEM, STATUS] = [0x3f8, 0x3f9, 0x3fb, 0x3fc, 0x3fd]

/**
 * Assembles the exercise's kernel: the source, which begins at `main`, and the part that the learner does not
 * see: it sets the processor and the serial port up, prints, and waits for keys.
 *
 * @throws SourceError
 */
export function assembleKernel(source: string): ExerciseKernel {
  const asm = new Assembler({ bits: 32, address: BASE })
  const [print, put, get] = [asm.label('print'), asm.label('put'), asm.label('get')]
  const [entry, flat, handler] = [asm.label(), asm.label(), asm.label()]
  const [gdt, gdtEnd, idt, idtEnd, gdtr, idtr] = Array.from({ length: 6 }, () => asm.label()) as [
    Label,
    Label,
    Label,
    Label,
    Label,
    Label,
  ]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry)
  asm.align(8).bind(gdt).dd(0, 0, 0xffff, 0x00cf_9a00, 0xffff, 0x00cf_9200).bind(gdtEnd)
  asm.bind(gdtr).dw(gdtEnd.minus(gdt).plus(-1)).dd(gdt)
  // The handler is below 2 MiB: its upper half is the base's.
  asm
    .align(8)
    .bind(idt)
    .fill(8 * (PIC_VECTOR + SERIAL_IRQ))
  asm.dw(handler.bits(0, 16), FLAT_CODE, INTERRUPT_GATE, handler.bits(16, 16)).bind(idtEnd)
  asm.bind(idtr).dw(idtEnd.minus(idt).plus(-1)).dd(idt)

  const labels = new Map([
    ['print', print],
    ['put', put],
    ['get', get],
  ])
  const { lines } = assembleText(asm, source, labels)
  const main = labels.get('main')
  if (main === undefined) throw new SourceError(1, 'there is no label main; the kernel begins there')

  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  }
  asm.bind(entry).mov(esp, imm32(STACK)).lgdt(fword(gdtr)).jmp(far32(FLAT_CODE, flat))
  asm.bind(flat).mov(ax, imm16(FLAT_DATA)).mov(ds, ax).mov(es, ax).mov(ss, ax).lidt(fword(idtr))
  // Without its local APIC, the processor takes the i8259's interrupts as they are.
  asm.mov(ecx, imm32(APIC_BASE)).rdmsr().and(eax, imm32(~APIC_ENABLE)).wrmsr()
  out(0x20, 0x11)
  out(0x21, PIC_VECTOR, 4, 1, 0xff & ~(1 << SERIAL_IRQ))
  // 8 data bits; interrupts for what is received, by OUT2.
  out(LINE, 3)
  out(ENABLE, 1)
  out(MODEM, 0x0b)
  asm.sti().jmp(main)

  asm.bind(put).push(eax).mov(dx, imm16(DATA)).out(dx, al).pop(eax).ret()
  const [next, told] = [asm.label(), asm.label()]
  asm.bind(print).bind(next).lodsb().test(al, al).jz(told).call(put).jmp(next)
  asm.bind(told).ret()
  // It halts while there is no key: the flag is off between the look and the halt.
  const [look, there] = [asm.label(), asm.label()]
  asm.bind(get).cli().bind(look).mov(dx, imm16(STATUS)).in(al, dx).test(al, 1).jnz(there).sti().hlt().cli().jmp(look)
  asm.bind(there).mov(dx, imm16(DATA)).in(al, dx).sti().ret()
  asm.bind(handler).push(eax).mov(al, 0x20).out(0x20, al).pop(eax).iretd()

  const program = asm.assemble()
  return {
    bytes: program.bytes as Uint8Array<ArrayBuffer>,
    lines: new Map(lines.map(([line, label]) => [line, program.addressOf(label)])),
    symbols: program.symbols,
  }
}
