/**
 * All of the opcode maps: every opcode after every pattern of prefixes with all 256 ModRM bytes, in three modes, against
 * iced-x86 (as Intel's and as AMD's processors decode) and LLVM: `npm run -s soak -- opcode-maps`. A step is one map in one mode; the
 * default count is all of them. At the end it prints how many encodings each row of `differences.ts` covers.
 * @programs: llvm-mc llvm-mc-22
 */
import type { Soak } from '@retrap/tooling/soak'
import { decodingDifferences, llvmDifferences } from '../differences.ts'
import { Llvm } from '../support/llvm-disassembler.ts'
import { compareIced, compareLlvm, type Mode, Tally } from '../support/map-compare.ts'
import { ALL_PREFIXES, amd3dNow, type Block, legacyMaps, sibBytes, vexMaps } from '../support/opcode-maps.ts'

const llvm = Llvm.make()
const icedTotal = new Tally()
const llvmTotal = new Tally()

const MODES: readonly Mode[] = [16, 32, 64]
const PARTS: readonly (readonly [name: string, blocks: (mode: Mode) => Iterable<Block>])[] = [
  ...ALL_PREFIXES.map(
    (prefix) =>
      [
        `legacy maps after ${prefix === '' ? 'no prefix' : prefix}`,
        (mode: Mode) => legacyMaps(mode, { prefixes: [prefix], modrm: 'all' }),
      ] as const,
  ),
  ['3DNow!', amd3dNow],
  ['SIB bytes', sibBytes],
  ['VEX and XOP', (mode) => vexMaps(mode, 'all')],
]

function print(tool: string, { compared, known }: Tally, rows: readonly { readonly why: string }[]): void {
  console.log(`${compared} encodings compared with ${tool}`)
  for (const { why } of rows) console.log(`${String(known.get(why) ?? 0).padStart(9)}  ${why}`)
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'opcode-maps',
  count: PARTS.length * MODES.length,
  setup() {
    if (typeof llvm === 'string') console.warn(`NOT CHECKED against LLVM: ${llvm}`)
  },
  step(rng, index) {
    const mode = MODES[index % MODES.length] as Mode
    const [name, blocks] = PARTS[Math.floor(index / MODES.length) % PARTS.length] as (typeof PARTS)[number]
    rng.note('map', `${name} in ${mode}-bit mode`)
    for (const block of blocks(mode)) {
      const tallies = [compareIced(block, mode), compareIced(block, mode, { vendor: 'amd', operands: false })]
      for (const tally of tallies) icedTotal.add(tally)
      if (typeof llvm !== 'string') {
        const tally = compareLlvm(llvm, block, mode)
        llvmTotal.add(tally)
        tallies.push(tally)
      }
      const unknown = tallies.flatMap((tally) => [...tally.unknown.values()])
      if (unknown.length > 0) return unknown.join('\n')
    }
    return undefined
  },
  teardown() {
    print('iced-x86', icedTotal, decodingDifferences)
    if (typeof llvm !== 'string') print('LLVM', llvmTotal, llvmDifferences)
  },
}
