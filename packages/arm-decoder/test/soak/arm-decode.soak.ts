/**
 * Random words of A64, A32 and T32, 100,000 a step: none makes the decoder or the formatter throw, and of a part LLVM says
 * the same, up to the closed list in support/differences.ts. 300 steps are 10 million words of each set.
 * @programs: llvm-objdump-22 aarch64-linux-gnu-objdump arm-linux-gnueabihf-objdump
 */
import { words } from '@retrap/tooling/random'
import type { Soak } from '@retrap/tooling/soak'
import { unexplained } from '../support/compare-text.ts'
import { hasDisassemblers, ours, type SetName } from '../support/disassembly.ts'

const SETS: readonly SetName[] = ['a64', 'a32', 't32']
const WORDS = 100_000
const COMPARED = 10_000

let decoded = 0
let accesses = 0
let compared = 0

export const soak: Soak = {
  name: 'arm-decode',
  count: 300,
  setup() {
    if (!hasDisassemblers) console.warn('NOT CHECKED against LLVM: llvm-objdump-22 and the cross binutils are missing')
  },
  step(rng, index) {
    const set = SETS[index % 3] as SetName
    rng.note('set', set)
    const next = words(rng.u32())
    // Of T32 only what is 32 bits long.
    const list = Array.from({ length: WORDS }, () =>
      set === 't32' ? (0xe800_0000 + (next() % 0x1800_0000)) >>> 0 : next(),
    )
    for (const word of list) if (ours(set, word, 0) !== '') accesses++
    decoded += WORDS
    if (!hasDisassemblers) return
    const wrong = unexplained(set, list.slice(0, COMPARED), 'llvm')
    compared += COMPARED
    if (wrong.length > 0) return wrong.slice(0, 20).join('\n')
  },
  teardown() {
    console.log(`${decoded} words decoded, ${accesses} are loads or stores; ${compared} compared with LLVM`)
  },
}
