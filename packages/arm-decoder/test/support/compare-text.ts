/** Our texts of words against another disassembler's. */
import { explain } from './differences.ts'
import { accessesMemory, disassemble, lastForm, ours, type SetName } from './disassembly.ts'

/** Compares texts; what no known difference explains comes back. */
export function unexplained(set: SetName, list: readonly number[], tool: 'llvm' | 'gnu'): string[] {
  const theirs = disassemble(set, list, tool)
  const size = set === 't16' ? 2 : 4
  const wrong: string[] = []
  list.forEach((word, index) => {
    const text = theirs[index] as string
    const our = ours(set, word, index * size)
    const their = accessesMemory(set, text) && !isOther(text) ? text : ''
    if (our === their || explain(set, our, text, word) !== undefined) return
    wrong.push(`${word.toString(16)}: ours '${our}', ${tool}'s '${text}' (form ${lastForm().index})`)
  })
  return wrong
}

/** SVE and SME loads and stores that are not in the classes' rows are no accesses of ours. */
const isOther = (text: string): boolean => /<unknown>|undefined/.test(text)
