/**
 * Every instruction of every executable section of other people's programs, against objdump (length and mnemonic),
 * iced-x86 (operands too) and LLVM (length and mnemonic): `npm run -s soak -- corpora`. A step is one program. The packages
 * are fetched from Debian once.
 * @programs: objdump llvm-mc llvm-mc-22
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { type Corpus, corpora, readCode } from '../support/corpora.ts'
import { compareLlvm, compareObjdump, type Outcome, summary } from '../support/corpus-compare.ts'
import { Llvm } from '../support/llvm-disassembler.ts'

let folders: readonly string[] = []
let scratch = ''
let llvm: Llvm | string = ''
const totals = new Map<string, Map<string, number>>()
const instructions = new Map<string, number>()

function addUp({ tool, instructions: count, known }: Outcome): void {
  instructions.set(tool, (instructions.get(tool) ?? 0) + count)
  const rows = totals.get(tool) ?? new Map<string, number>()
  totals.set(tool, rows)
  for (const [why, some] of known) rows.set(why, (rows.get(why) ?? 0) + some)
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'corpora',
  count: corpora.length,
  async setup() {
    const found = await debianMembers(corpora)
    if (found === undefined) throw new Error('this needs apt-get, to fetch programs from Debian')
    folders = found
    scratch = mkdtempSync(join(tmpdir(), 'retrap-corpora-'))
    llvm = Llvm.make()
    if (typeof llvm === 'string') console.warn(`NOT CHECKED against LLVM: ${llvm}`)
  },
  async step(rng, index) {
    const at = index % corpora.length
    const corpus = corpora[at] as Corpus
    rng.note('program', corpus.name)
    const code = readCode(corpus, folders[at] as string, scratch)
    const outcomes = await compareObjdump(code, {})
    if (typeof llvm !== 'string') outcomes.push(compareLlvm(code, llvm, {}))
    for (const outcome of outcomes) {
      console.log(summary(corpus.name, outcome))
      addUp(outcome)
    }
    const unknown = outcomes.flatMap((outcome) => outcome.unknown)
    return unknown.length === 0 ? undefined : unknown.join('\n')
  },
  teardown() {
    for (const [tool, rows] of totals) {
      console.log(`${tool}: ${instructions.get(tool) ?? 0} instructions, of which differ`)
      for (const [why, count] of [...rows].toSorted((a, b) => b[1] - a[1]))
        console.log(`${String(count).padStart(9)}  ${why}`)
    }
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true })
  },
}
