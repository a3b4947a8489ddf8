import * as x86 from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'

/** Exceptions that push an error code (SDM vol. 3A, table "Protected-Mode Exceptions and Interrupts"). */
const ERROR_CODE_VECTORS: readonly number[] = [8, 10, 11, 12, 13, 14, 17, 21]

/** Addresses of what the gates of an IDT lead to. */
export interface ExceptionEntries {
  /** Of vectors 0 to 31. */
  readonly handlers: readonly Label[]
  /** Of `endVector`. */
  readonly end: Label
}

/**
 * Emits an entry for each exception, and one for the interrupt that ends a case. Each pushes an error code of 0 where the
 * processor has pushed none, then its vector, and goes on at `common`, which follows.
 */
export function exceptionEntries(asm: Assembler, common: Label, endVector: number): ExceptionEntries {
  const handlers = Array.from({ length: 32 }, (_, vector) => {
    const place = asm.here()
    if (!ERROR_CODE_VECTORS.includes(vector)) asm.push(0)
    asm.push(vector).jmp(common)
    return place
  })
  const end = asm.here()
  asm.push(0).push(endVector)
  asm.bind(common)
  return { handlers, end }
}

/** Loads selector 10H into the data segments, and the stack pointer. */
export function loadSegments(asm: Assembler): void {
  asm.mov(x86.eax, 0x10)
  for (const segment of [x86.ds, x86.es, x86.fs, x86.gs, x86.ss]) asm.mov(segment, x86.ax)
  asm.mov(x86.esp, 0x13_0000)
}
