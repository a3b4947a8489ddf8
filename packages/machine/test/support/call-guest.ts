import { enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, dword, dx, eax, ebx, ecx, edi, edx, esp, fword } from '@retrap/x86-assembler'
import { endWithTable } from './interrupt-table.ts'

export const EXIT_PORT = 0x501
/** Receives each tick's low byte. */
export const TICK_PORT = 0xe4
const STACK = 0x7000
const TICKS = 0x1_0000
const APIC = 0xfee0_0000
const IDT = FIRMWARE_BASE + 0x8000
const HANDLER = FIRMWARE_BASE + 0x4000
const PIT_VECTOR = 0x20

/**
 * Firmware whose function calls itself twice, takes its argument off the stack or leaves that to its caller, and is interrupted by ticks all the time: their handler is on the
 * same stack, and calls what the function calls.
 *
 * @param depth - of the recursion
 * @param reload - ticks of the i8254, 838 ns each, from one interrupt to the next
 */
export function callGuest(depth: number, reload: number, popsArgument = true): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, STACK)
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) asm.mov(dx, port).mov(al, value).out(dx, al)
  }
  const [recurse, helper, leaf] = [asm.label(), asm.label(), asm.label()]
  asm.mov(dword(TICKS), 0).lidt(fword(IDT + 0x800))
  out(0x20, 0x11)
  out(0x21, PIT_VECTOR, 4, 1, 0xfe)
  out(0x43, 0x34)
  out(0x40, reload & 0xff, reload >> 8)
  asm.mov(dword(APIC + 0xf0), 0x1ff).mov(dword(APIC + 0x350), 0x700)
  asm.sti().mov(edi, recurse).xor(ebx, ebx).push(depth).call(recurse)
  asm.cli().mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
  asm
    .bind(recurse)
    .mov(eax, dword(esp, { disp: 4 }))
    .test(eax, eax)
    .jz(leaf)
  asm.dec(eax).push(eax).call(recurse)
  if (!popsArgument) asm.add(esp, 4)
  asm
    .mov(eax, dword(esp, { disp: 4 }))
    .dec(eax)
    .push(eax)
    .call(edi)
  if (!popsArgument) asm.add(esp, 4)
  asm.bind(leaf).call(helper).add(ebx, eax)
  if (popsArgument) asm.ret(4)
  else asm.ret()
  asm.bind(helper).mov(ecx, 20)
  const again = asm.here()
  asm.rol(ebx, 5).xor(ebx, ecx).dec(ecx).jnz(again).ret()
  asm.org(HANDLER).push(eax).push(ecx).push(edx).inc(dword(TICKS)).mov(al, 0x20).out(0x20, al)
  asm.mov(dx, TICK_PORT).out(dx, al).call(helper).pop(edx).pop(ecx).pop(eax).iretd()
  return endWithTable(asm, IDT, new Map([[PIT_VECTOR, HANDLER]]))
}
