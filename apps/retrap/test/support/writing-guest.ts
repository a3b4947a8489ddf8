import { al, Assembler, ax, bx, dword, dx, eax, ebx, ecx, imm16, imm32 } from '@retrap/x86-assembler'

const BASE = 0x10_0000
/** Guest-physical: how many sectors the guest has written, and a word that tells it to end. */
export const COUNT = 0x20_0000
export const END = COUNT + 4
export const SECTORS = 8

/**
 * A guest that writes sector 0, 1 … 7, 0 … of its IDE disk, each full of the number of the write, and sends a point after each,
 * until it is told to end.
 */
export function writingKernel(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: BASE })
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry).bind(entry)
  const out = (port: number, value: number): Assembler => asm.mov(dx, imm16(port)).mov(al, value).out(dx, al)
  const wait = (bit: number, isSet: boolean): void => {
    const again = asm.mov(dx, imm16(0x1f7)).here()
    asm.in(al, dx).test(al, bit)
    if (isSet) asm.jz(again)
    else asm.jnz(again)
  }
  const next = asm.here()
  asm.mov(ebx, dword(COUNT)).inc(ebx)
  out(0x1f6, 0xe0)
  out(0x1f2, 1)
  asm
    .mov(eax, ebx)
    .and(al, SECTORS - 1)
    .mov(dx, imm16(0x1f3))
    .out(dx, al)
  out(0x1f4, 0)
  out(0x1f5, 0)
  out(0x1f7, 0x30)
  wait(0x08, true)
  const word = asm.mov(ecx, imm32(256)).mov(dx, imm16(0x1f0)).mov(ax, bx).here()
  asm.out(dx, ax).dec(ecx).jnz(word)
  wait(0x80, false)
  out(0x3f8, 0x2e)
  asm.mov(dword(COUNT), ebx).cmp(dword(END), imm32(0)).je(next)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  return asm.assemble().bytes
}
