/** A guest whose run has what readers of its recording may take for something else: waits, interrupts, keys, string instructions. */
import * as x86 from '@retrap/x86-assembler'

export const MEMORY_BYTES: number = 4 << 20
const BASE = 0x10_0000
const [IDT, TICKS, STACK, FROM, TO] = [0x18_0000, 0x19_0000, 0x1a_0000, 0x20_0000, 0x28_0000]
/**
 * Iterations of each string instruction. A replay makes the last 4,200 instructions before a stop one by one, and their iterations too:
 * more of these would take most of the time.
 */
const ITERATIONS = 30
/** Whether a machine with these registers has made some iterations of one, and not all. */
export const isWithinString = (ecx: number, edi: number): boolean =>
  ecx > 0 && ecx < ITERATIONS && edi - TO + ecx === ITERATIONS
/** The memory that it writes: ranges of whole pages. */
export const WRITTEN: readonly (readonly [from: number, bytes: number])[] = [
  [IDT, 0x2_1000],
  [FROM, 0x1000],
  [TO, 0x1000],
]
const [COM1, CODE, DATA, TIMER] = [0x3f8, 0x08, 0x10, 0x20]

/**
 * A multiboot kernel: a hundred times a second it copies bytes, and with every tenth it sends a `.` to COM1. What comes there it
 * sends back; after an `r` it fills memory without an end, and after a `q` it powers off.
 */
export function busyKernel(): Uint8Array {
  const asm = new x86.Assembler({ bits: 32, address: BASE })
  const label = (name: string): ReturnType<typeof asm.label> => asm.label(name)
  const [entry, gdt, gdtr, idtr, flat] = [label('entry'), label('gdt'), label('gdtr'), label('idtr'), label('flat')]
  const [handler, quiet, isRepeat, end] = [label('handler'), label('quiet'), label('repeat'), label('end')]
  const out = (port: number, ...values: readonly number[]): void => {
    for (const value of values) asm.mov(x86.dx, x86.imm16(port)).mov(x86.al, value).out(x86.dx, x86.al)
  }
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry).bind(entry)
  asm.lgdt(x86.fword(gdtr)).jmpf(x86.far32(CODE, flat)).bind(flat)
  asm.mov(x86.ax, DATA).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.esp, STACK)
  asm
    .mov(x86.eax, handler)
    .mov(x86.ecx, x86.eax)
    .and(x86.eax, 0xffff)
    .or(x86.eax, x86.imm32(CODE << 16))
  asm
    .mov(x86.dword(IDT + 8 * TIMER), x86.eax)
    .and(x86.ecx, x86.imm32(0xffff_0000 | 0))
    .or(x86.ecx, 0x8e00)
  asm.mov(x86.dword(IDT + 8 * TIMER + 4), x86.ecx).lidt(x86.fword(idtr))
  // Without its local APIC the processor has the i8259's interrupts. Source: Intel SDM, volume 3, 12.4.3, IA32_APIC_BASE.
  asm
    .mov(x86.ecx, 0x1b)
    .mov(x86.eax, x86.imm32(0xfee0_0100 | 0))
    .xor(x86.edx, x86.edx)
    .wrmsr()
  out(0x20, 0x11)
  out(0x21, TIMER, 4, 1, 0xfe)
  out(0x43, 0x34)
  out(0x40, 11_932 & 0xff, 11_932 >> 8)
  out(COM1 + 3, 3)
  const next = asm.sti().hlt().here()
  asm.mov(x86.esi, FROM).mov(x86.edi, TO).mov(x86.ecx, ITERATIONS).rep().movsb().inc(x86.dword(FROM))
  asm
    .mov(x86.eax, x86.dword(TICKS))
    .xor(x86.edx, x86.edx)
    .mov(x86.ecx, 10)
    .div(x86.ecx)
    .test(x86.edx, x86.edx)
    .jnz(quiet)
  out(COM1, 0x2e)
  asm
    .bind(quiet)
    .mov(x86.dx, x86.imm16(COM1 + 5))
    .in(x86.al, x86.dx)
    .test(x86.al, 1)
  const wait = asm.label('wait')
  asm
    .jz(wait)
    .mov(x86.dx, x86.imm16(COM1))
    .in(x86.al, x86.dx)
    .out(x86.dx, x86.al)
    .cmp(x86.al, 0x72)
    .je(isRepeat)
    .cmp(x86.al, 0x71)
    .je(end)
  asm.bind(wait).sti().hlt().jmp(next)
  const again = asm.bind(isRepeat).mov(x86.edi, TO).here()
  asm.mov(x86.edi, TO).mov(x86.ecx, ITERATIONS).rep().stosb().inc(x86.eax).jmp(again)
  asm.bind(end).mov(x86.dx, x86.imm16(0x604)).mov(x86.eax, 0x2000).out(x86.dx, x86.ax).hlt()
  asm.bind(handler).inc(x86.dword(TICKS)).push(x86.eax).mov(x86.al, 0x20).out(0x20, x86.al).pop(x86.eax).iretd()
  asm.align(8).bind(gdt).dq(0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt).bind(idtr).dw(0x7ff).dd(IDT)
  return asm.assemble().bytes
}
