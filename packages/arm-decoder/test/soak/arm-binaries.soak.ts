/**
 * Every word of `.text` of Debian's programs for arm64 and armhf (Thumb-2), against LLVM's listing and GNU's: what they
 * call a load or store has the same text here, and nothing else has one. A step is one program; packages are fetched once.
 * @programs: llvm-objdump-22 aarch64-linux-gnu-objdump arm-linux-gnueabihf-objdump
 */
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { binaries, type Binary, compareText, nothingCompared, readText } from '../support/binaries.ts'
import { hasDisassemblers } from '../support/disassembly.ts'

let folders: readonly string[] = []
const reasons = new Map<string, number>()

export const soak: Soak = {
  name: 'arm-binaries',
  count: binaries.length,
  async setup() {
    if (!hasDisassemblers) throw new Error('this needs llvm-objdump-22 and the cross binutils')
    const found = await debianMembers(binaries)
    if (found === undefined) throw new Error('this needs apt-get, to fetch programs from Debian')
    folders = found
    console.log('program, disassembler: instructions, loads and stores, differences with a known reason, without')
  },
  step(rng, index) {
    const at = index % binaries.length
    const binary = binaries[at] as Binary
    rng.note('program', binary.name)
    const text = readText(binary, folders[at] as string)
    const unknown: string[] = []
    for (const tool of ['llvm', 'gnu'] as const) {
      const found = nothingCompared()
      compareText(binary, text, tool, found)
      let known = 0
      for (const [reason, count] of found.known) {
        known += count
        reasons.set(`${tool}: ${reason}`, (reasons.get(`${tool}: ${reason}`) ?? 0) + count)
      }
      console.log(
        `${binary.name}, ${tool}: ${found.instructions}, ${found.accesses}, ${known}, ${found.unknown.length}`,
      )
      unknown.push(...found.unknown.slice(0, 10).map((each) => `${tool} ${each}`))
    }
    return unknown.length === 0 ? undefined : unknown.join('\n')
  },
  teardown() {
    for (const [reason, count] of [...reasons].toSorted((a, b) => b[1] - a[1])) console.log(`${count}  ${reason}`)
  },
}
