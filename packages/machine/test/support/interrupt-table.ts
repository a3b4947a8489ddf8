import { endFirmware, FLAT_CODE } from '@retrap/x86-assembler/guest-code'
import type { Assembler } from '@retrap/x86-assembler'

/** Ends firmware with its interrupt table, whose handlers are given by their vectors, and with what LIDT takes 2 KiB above the table. */
export function endWithTable(asm: Assembler, at: number, handlers: ReadonlyMap<number, number>): Uint8Array {
  asm.org(at)
  for (let vector = 0; vector <= Math.max(...handlers.keys()); vector++) {
    const address = BigInt(handlers.get(vector) ?? 0)
    asm.dq((address & 0xffffn) | (BigInt(FLAT_CODE) << 16n) | (0x8e00n << 32n) | ((address >> 16n) << 48n))
  }
  asm
    .org(at + 0x800)
    .dw(0x7ff)
    .dd(at)
  endFirmware(asm)
  return asm.assemble().bytes
}
