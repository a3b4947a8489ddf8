import { enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, byte, dword, dx, eax, ebx, ecx, edx, fword, imm32 } from '@retrap/x86-assembler'
import { endWithTable } from './interrupt-table.ts'

export const EXIT_PORT = 0x501
/** The guest writes the number of each tick to it. */
export const TICK_PORT = 0xe4
/** The line that MWAIT waits for, with the count of ticks. */
export const TICKS = 0x1_0000
const HASH = 0x1_0100
const APIC = 0xfee0_0000
const IDT = FIRMWARE_BASE + 0x8000
const TICK_HANDLER = FIRMWARE_BASE + 0x4000
export const KEY_HANDLER = FIRMWARE_BASE + 0x5000
const PIT_VECTOR = 0x20
const SERIAL_VECTOR = 0x24
export const LAST = 'q'.charCodeAt(0)

/**
 * Firmware that is told of ticks, each of which it sends a byte for, and of typed bytes; it waits in between, by HLT or MWAIT. LAST
 * ends it by EXIT_PORT. What it has come to is in the 512 bytes from TICKS on.
 *
 * @param reload - ticks of the i8254, 838 ns each, from one interrupt to the next
 */
export function idleFirmware(reload: number): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) asm.mov(dx, port).mov(al, value).out(dx, al)
  }
  asm
    .mov(dword(HASH), 1)
    .mov(dword(TICKS), 0)
    .lidt(fword(IDT + 0x800))
  out(0x20, 0x11)
  out(0x21, PIT_VECTOR, 4, 1, 0xee)
  out(0x43, 0x34)
  out(0x40, reload & 0xff, reload >> 8)
  asm.mov(dword(APIC + 0xf0), 0x1ff).mov(dword(APIC + 0x350), 0x700)
  out(0x3f9, 1)
  out(0x3fc, 0x0b)
  const [halt, wait] = [asm.label(), asm.here()]
  asm.sti().test(byte(HASH), 1).jz(halt)
  asm.mov(eax, TICKS).xor(ecx, ecx).xor(edx, edx).monitor().mwait().jmp(wait)
  asm.bind(halt).hlt().jmp(wait)
  asm.org(TICK_HANDLER).inc(dword(TICKS))
  asm.mov(al, byte(TICKS)).mov(dx, TICK_PORT).out(dx, al).mov(dx, 0x3f8).out(dx, al)
  // It works for as long as the hash says.
  asm.mov(ecx, dword(HASH)).and(ecx, imm32(0xfff)).inc(ecx)
  const again = asm.here()
  asm.rol(ebx, 5).xor(ebx, ecx).dec(ecx).jnz(again).add(dword(HASH), ebx)
  asm.mov(al, 0x20).out(0x20, al).iretd()
  const goesOn = asm.label()
  asm.org(KEY_HANDLER).mov(dx, 0x3f8).in(al, dx).xor(byte(HASH), al).cmp(al, LAST).jnz(goesOn)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al)
  asm.bind(goesOn).mov(al, 0x20).out(0x20, al).iretd()
  const handlers = new Map([
    [PIT_VECTOR, TICK_HANDLER],
    [SERIAL_VECTOR, KEY_HANDLER],
  ])
  return endWithTable(asm, IDT, handlers)
}
