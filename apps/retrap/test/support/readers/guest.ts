/** A guest whose run has what readers of its recording may take for something else: waits, interrupts, keys, string instructions. */
import {
  al,
  Assembler,
  ax,
  ds,
  dword,
  dx,
  eax,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  far32,
  fword,
  imm16,
  imm32,
  ss,
} from '@retrap/x86-assembler'

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
  const asm = new Assembler({ bits: 32, address: BASE })
  const label = (name: string): ReturnType<typeof asm.label> => asm.label(name)
  const [entry, gdt, gdtr, idtr, flat] = [label('entry'), label('gdt'), label('gdtr'), label('idtr'), label('flat')]
  const [handler, quiet, isRepeat, end] = [label('handler'), label('quiet'), label('repeat'), label('end')]
  const out = (port: number, ...values: readonly number[]): void => {
    for (const value of values) asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  }
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry).bind(entry)
  asm.lgdt(fword(gdtr)).jmpf(far32(CODE, flat)).bind(flat)
  asm.mov(ax, DATA).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(esp, STACK)
  asm
    .mov(eax, handler)
    .mov(ecx, eax)
    .and(eax, 0xffff)
    .or(eax, imm32(CODE << 16))
  asm
    .mov(dword(IDT + 8 * TIMER), eax)
    .and(ecx, imm32(0xffff_0000 | 0))
    .or(ecx, 0x8e00)
  asm.mov(dword(IDT + 8 * TIMER + 4), ecx).lidt(fword(idtr))
  // Without its local APIC the processor has the i8259's interrupts. Source: Intel SDM, volume 3, 12.4.3, IA32_APIC_BASE.
  asm
    .mov(ecx, 0x1b)
    .mov(eax, imm32(0xfee0_0100 | 0))
    .xor(edx, edx)
    .wrmsr()
  out(0x20, 0x11)
  out(0x21, TIMER, 4, 1, 0xfe)
  out(0x43, 0x34)
  out(0x40, 11_932 & 0xff, 11_932 >> 8)
  out(COM1 + 3, 3)
  const next = asm.sti().hlt().here()
  asm.mov(esi, FROM).mov(edi, TO).mov(ecx, ITERATIONS).rep().movsb().inc(dword(FROM))
  asm.mov(eax, dword(TICKS)).xor(edx, edx).mov(ecx, 10).div(ecx).test(edx, edx).jnz(quiet)
  out(COM1, 0x2e)
  asm
    .bind(quiet)
    .mov(dx, imm16(COM1 + 5))
    .in(al, dx)
    .test(al, 1)
  const wait = asm.label('wait')
  asm.jz(wait).mov(dx, imm16(COM1)).in(al, dx).out(dx, al).cmp(al, 0x72).je(isRepeat).cmp(al, 0x71).je(end)
  asm.bind(wait).sti().hlt().jmp(next)
  const again = asm.bind(isRepeat).mov(edi, TO).here()
  asm.mov(edi, TO).mov(ecx, ITERATIONS).rep().stosb().inc(eax).jmp(again)
  asm.bind(end).mov(dx, imm16(0x604)).mov(eax, 0x2000).out(dx, ax).hlt()
  asm.bind(handler).inc(dword(TICKS)).push(eax).mov(al, 0x20).out(0x20, al).pop(eax).iretd()
  asm.align(8).bind(gdt).dq(0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt).bind(idtr).dw(0x7ff).dd(IDT)
  return asm.assemble().bytes
}
