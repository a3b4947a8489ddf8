import { endFirmware, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, ax, cx, ds, dx, eax, ecx, imm16, imm32, sp, ss, word } from '@retrap/x86-assembler'

/** What ends the guest when it comes by the serial port: it writes 0 to this port, where `DebugExit` belongs. */
export const LAST = 'q'
export const EXIT_PORT = 0x501
const PIC_VECTOR = 0x20
const SERIAL_IRQ = 4
const HANDLER = 0x200
/** IA32_APIC_BASE. */
const APIC_BASE = 0x1b
const APIC_ENABLE = 1 << 11

/**
 * Firmware that halts until a byte comes by the serial port, sends it back three times, and halts again: nothing happens in
 * between but what its devices do by themselves.
 */
export function echoFirmware(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) {
      asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
    }
  }
  asm.xor(ax, ax).mov(ds, ax).mov(ss, ax).mov(sp, imm16(0x7000))
  // Without its local APIC, the processor takes the i8259's interrupts as they are.
  asm.mov(ecx, imm32(APIC_BASE)).rdmsr().and(eax, imm32(~APIC_ENABLE)).wrmsr()
  const vector = 4 * (PIC_VECTOR + SERIAL_IRQ)
  asm.mov(word(vector), imm16(HANDLER)).mov(word(vector + 2), imm16(FIRMWARE_BASE >> 4))
  out(0x20, 0x11)
  out(0x21, PIC_VECTOR, 4, 1, 0xff & ~(1 << SERIAL_IRQ))
  // Interrupts for what is received, by OUT2.
  out(0x3f9, 1)
  out(0x3fc, 0x0b)
  asm.sti()
  const wait = asm.here()
  asm.hlt().jmp(wait)
  asm.org(FIRMWARE_BASE + HANDLER)
  const goesOn = asm.label()
  asm.mov(dx, imm16(0x3f8)).in(al, dx).mov(cx, imm16(3))
  const again = asm.here()
  asm.out(dx, al).loop(again)
  asm.cmp(al, LAST.charCodeAt(0)).jnz(goesOn)
  asm.mov(dx, imm16(EXIT_PORT)).mov(al, 0).out(dx, al)
  asm.bind(goesOn).mov(al, 0x20).out(0x20, al).iret()
  endFirmware(asm)
  return asm.assemble().bytes
}
