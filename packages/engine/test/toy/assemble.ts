import { encode, type Operation, type Source } from './encoding.ts'

/** A label, an instruction, or one whose value is the distance of a label from the next instruction. */
export type Line = string | Source | (Omit<Source, 'value'> & { readonly to: string })

/** Assembles lines one after another, from the offset that `labels` are relative to. */
export function assemble(lines: readonly Line[]): { readonly bytes: Uint8Array; readonly labels: Map<string, number> } {
  const labels = new Map<string, number>()
  const sizeOf = (op: Operation): number => encode([{ op }]).length
  let at = 0
  for (const line of lines) {
    if (typeof line === 'string') labels.set(line, at)
    else at += sizeOf(line.op)
  }
  at = 0
  const sources = lines.flatMap((line): Source[] => {
    if (typeof line === 'string') return []
    const from = at
    at += sizeOf(line.op)
    if (!('to' in line)) return [line]
    const { to, ...rest } = line
    const target = labels.get(to)
    if (target === undefined) throw new Error(`no label ${to}`)
    // An address is relative to its instruction, a branch to the next one.
    return [{ ...rest, value: target - (line.op === 'adr' ? from : at) }]
  })
  return { bytes: encode(sources), labels }
}
