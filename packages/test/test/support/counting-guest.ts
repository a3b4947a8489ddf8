import { endFirmware, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, ax, bl, ds, dx, eax, ecx, imm16, imm32, ptr, sp, ss, word } from '@retrap/x86-assembler'

const PIC_VECTOR = 0x20
const SERIAL_IRQ = 4
const HANDLER = 0x200
/** IA32_APIC_BASE. */
const APIC_BASE = 0x1b
const APIC_ENABLE = 1 << 11

/** The port of the device that a `d` reads. */
export const DEVICE_PORT = 0x700

/**
 * Firmware that prints a prompt, sends back what is typed, and says behind each line how many there were. It powers the machine
 * off at a `q`, ends it with a triple fault at a `!`, and prints what a device says at a `d`. It halts while nothing is typed.
 */
export function countingFirmware(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  }
  const print = (text: string): void => out(0x3f8, ...Buffer.from(text))
  asm.xor(ax, ax).mov(ds, ax).mov(ss, ax).mov(sp, imm16(0x7000))
  // Without its local APIC, the processor takes the i8259's interrupts as they are.
  asm.mov(ecx, imm32(APIC_BASE)).rdmsr().and(eax, imm32(~APIC_ENABLE)).wrmsr()
  const vector = 4 * (PIC_VECTOR + SERIAL_IRQ)
  asm.mov(word(vector), imm16(HANDLER)).mov(word(vector + 2), imm16(FIRMWARE_BASE >> 4))
  out(0x20, 0x11)
  out(0x21, PIC_VECTOR, 4, 1, 0xff & ~(1 << SERIAL_IRQ))
  // 8 data bits; interrupts for what is received, by OUT2.
  out(0x3fb, 3)
  out(0x3f9, 1)
  out(0x3fc, 0x0b)
  asm.mov(bl, 0x30)
  print('> ')
  asm.sti()
  const wait = asm.here()
  asm.hlt().jmp(wait)
  asm.org(FIRMWARE_BASE + HANDLER)
  const [ends, faults, reads, send, done] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  const next = asm.here()
  asm.mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(done)
  asm.mov(dx, imm16(0x3f8)).in(al, dx)
  asm.cmp(al, 'q'.charCodeAt(0)).jz(ends)
  asm.cmp(al, '!'.charCodeAt(0)).jz(faults)
  asm.cmp(al, 'd'.charCodeAt(0)).jz(reads)
  asm.bind(send).mov(dx, imm16(0x3f8)).out(dx, al).cmp(al, 10).jnz(next)
  asm.inc(bl).mov(al, bl).out(dx, al)
  print('\n> ')
  asm.jmp(next)
  asm.bind(reads).mov(dx, imm16(DEVICE_PORT)).in(al, dx).add(al, 0x30).jmp(send)
  asm.bind(done).mov(al, 0x20).out(0x20, al).iret()
  asm.bind(ends).mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt()
  // No interrupt has a handler any more, nor has a fault.
  asm.bind(faults).lidt(ptr(0x7100)).ud2()
  endFirmware(asm)
  return asm.assemble().bytes
}
