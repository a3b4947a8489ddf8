import { al, Assembler, byte, dword, dx, eax, esp, fword, imm16, imm32 } from '@retrap/x86-assembler'

const [START, BUFFER, ARRIVED, STACK] = [0x10_0000, 0x20_0000, 0x20_1000, 0x9_0000]
const [BAR, APIC, VECTOR] = [0xfe00_0000, 0xfee0_0000, 0x40]

/**
 * A kernel with a driver for the card at PCI 00:09.0: the first byte of the serial port goes into a buffer with a 1 behind it, and
 * the sum is printed. The processor spins until the card's message comes, so its instructions say when that was.
 */
export function cardKernel(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: START })
  const [entry, gdt, gdtr, idt, idtr, handler] = [
    asm.label('entry'),
    asm.label('gdt'),
    asm.label('gdtr'),
    asm.label('idt'),
    asm.label('idtr'),
    asm.label('handler'),
  ]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), START, START, 0, 0, entry).bind(entry)
  asm.lgdt(fword(gdtr)).lidt(fword(idtr)).mov(esp, imm32(STACK))
  const out = (port: number, value: number): void => void asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  const configure = (register: number, value: number): void => {
    asm
      .mov(dx, imm16(0xcf8))
      .mov(eax, imm32(0x8000_4800 | register))
      .out(dx, eax)
    asm.mov(dx, imm16(0xcfc)).mov(eax, imm32(value)).out(dx, eax)
  }
  out(0x21, 0xff)
  out(0xa1, 0xff)
  asm.mov(dword(APIC + 0xf0), imm32(0x1ff))
  configure(0x10, BAR)
  // MSI: address, data, then its enable bit.
  configure(0x44, APIC)
  configure(0x48, 0)
  configure(0x4c, VECTOR)
  configure(0x40, 0x1_0000)
  configure(0x04, 6) // memory, bus master
  out(0x3fb, 3)
  out(0x3f8, '>'.charCodeAt(0))
  const next = asm.here()
  asm.pause().mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(next)
  asm.mov(dx, imm16(0x3f8)).in(al, dx)
  asm.mov(byte(BUFFER), al).mov(byte(BUFFER + 1), 1)
  asm
    .mov(dword(BAR), imm32(BUFFER))
    .mov(dword(BAR + 4), imm32(2))
    .mov(dword(BAR + 8), imm32(1))
  asm.sti()
  const wait = asm.here()
  asm.pause().cmp(dword(ARRIVED), 0).jz(wait)
  asm
    .mov(al, byte(BUFFER + 2))
    .mov(dx, imm16(0x3f8))
    .out(dx, al)
  const end = asm.here()
  asm.hlt().jmp(end)
  asm.bind(handler)
  asm
    .inc(dword(ARRIVED))
    .mov(dword(APIC + 0xb0), imm32(0))
    .iretd()
  asm.align(8).bind(gdt).dq(0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt)
  asm.align(8).bind(idt)
  for (let vector = 0; vector < VECTOR; vector++) asm.dq(0n)
  // The handler's address is 1 MiB and some: its upper half is 10h.
  asm.dw(handler.minus(START), 8, 0x8e00, START >> 16)
  asm
    .bind(idtr)
    .dw(8 * VECTOR + 7)
    .dd(idt)
  return asm.assemble().bytes
}
