import type { Form } from './semantics/form.ts'

/** What tells one IN or OUT from another. */
export interface PortForm {
  readonly write: boolean
  readonly size: number
  /** The port is in the instruction, not in DX. */
  readonly immediate: boolean
}

/** The port form of an instruction; null for all but IN and OUT. */
export function portForm({ mnemonic, operands }: Form): PortForm | null {
  if (mnemonic !== 'IN' && mnemonic !== 'OUT') return null
  const write = mnemonic === 'OUT'
  const port = operands[write ? 0 : 1]
  return { write, size: operands[write ? 1 : 0]?.size ?? 0, immediate: port?.kind === 'imm' }
}
