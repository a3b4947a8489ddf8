import * as x86 from '@retrap/x86-assembler'
import type { Assembler, Label, Memory } from '@retrap/x86-assembler'
import { EXIT_PORT, RESULT_PORT } from '../system/differential/layout.ts'

/** Exceptions that push an error code (SDM vol. 3A, table "Protected-Mode Exceptions and Interrupts"). */
const ERROR_CODE_VECTORS: readonly number[] = [8, 10, 11, 12, 13, 14, 17, 21]

/**
 * Emits an entry for each exception, and one for the interrupt that ends a case. Each pushes an error code of 0 where the
 * processor has pushed none, then its vector, and goes on at `common`, which follows.
 *
 * @returns the entries by their vectors
 */
export function exceptionEntries(asm: Assembler, common: Label, endVector: number): (Label | undefined)[] {
  const entries: (Label | undefined)[] = Array.from({ length: 32 }, (_, vector) => {
    const place = asm.here()
    if (!ERROR_CODE_VECTORS.includes(vector)) asm.push(0)
    asm.push(vector).jmp(common)
    return place
  })
  entries[endVector] = asm.here()
  asm.push(0).push(endVector)
  asm.bind(common)
  return entries
}

/**
 * Emits an IDT of interrupt gates to entries, of 8 or of 16 bytes.
 *
 * @param faults - of double faults: the number of their stack (IST), or the selector of their task
 */
export function exceptionGates(
  asm: Assembler,
  entries: readonly (Label | undefined)[],
  isLong: boolean,
  faults: { readonly stack?: number; readonly task?: number } = {},
): void {
  for (const [vector, entry] of entries.entries()) {
    const { stack = 0, task = 0 } = vector === 8 ? faults : {}
    if (entry === undefined) asm.dq(0n)
    else if (task > 0) asm.dw(0, task, 0x8500, 0)
    else asm.dw(entry.bits(0, 16), 8, (vector > 31 ? 0xee00 : 0x8e00) | stack, entry.bits(16, 16))
    if (isLong) asm.dq(0n)
  }
}

/** Sends what lies between an address and one that is in memory, and ends QEMU. */
export function sendResults(asm: Assembler, from: number, end: Memory<4>): void {
  asm.mov(x86.esi, from).mov(x86.ecx, end).sub(x86.ecx, x86.esi).mov(x86.edx, RESULT_PORT).cld().rep().outsb()
  asm.mov(x86.edx, EXIT_PORT).mov(x86.al, 0x10).out(x86.dx, x86.al).cli().hlt()
}

/** Loads selector 10H into the data segments, and the stack pointer. */
export function loadSegments(asm: Assembler): void {
  asm.mov(x86.eax, 0x10)
  for (const segment of [x86.ds, x86.es, x86.fs, x86.gs, x86.ss]) asm.mov(segment, x86.ax)
  asm.mov(x86.esp, 0x13_0000)
}
