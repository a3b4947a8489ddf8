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
