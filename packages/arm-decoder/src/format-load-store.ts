/** Text of loads and stores. */
import { formatLoadStoreA32 } from './format-load-store-a32.ts'
import { formatLoadStoreA64 } from './format-load-store-a64.ts'
import { InstructionSet, type LoadStore } from './load-store.ts'

const relative = (offset: number): string => `.${offset < 0 ? '' : '+'}${offset}`

/**
 * Text of a decoded instruction, in the syntax of the Arm ARM: `ldp x0, x1, [sp, #16]`. A64's labels are relative:
 * `ldr x0, .+8`.
 *
 * @param insn - after a successful decode
 */
export function formatLoadStore(insn: LoadStore): string {
  return insn.set === InstructionSet.A64 ? formatLoadStoreA64(insn, relative) : formatLoadStoreA32(insn)
}
