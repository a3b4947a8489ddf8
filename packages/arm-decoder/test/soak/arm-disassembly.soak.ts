/**
 * Every word of `.text` of Debian's programs for arm64 against LLVM's listing: the same text, or one of the accepted
 * differences. A step is one program; packages are fetched once.
 */
import { execFileSync } from 'node:child_process'
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { a64Difference } from '../support/a64-text.ts'
import { binaries, readText } from '../support/binaries.ts'
import { hasDisassemblers, LLVM_OBJDUMP, LLVM_OPTIONS } from '../support/disassembly.ts'

const programs = binaries.filter(({ architecture }) => architecture === 'arm64')
const CHUNK = 1 << 20

let folders: readonly string[] = []

export const soak: Soak = {
  name: 'arm-disassembly',
  count: programs.length,
  async setup() {
    if (!hasDisassemblers) throw new Error('this needs llvm-objdump-22 and the cross binutils')
    const found = await debianMembers(programs)
    if (found === undefined) throw new Error('this needs apt-get, to fetch programs from Debian')
    folders = found
  },
  step(rng, index) {
    const at = index % programs.length
    const program = programs[at]!
    rng.note('program', program.name)
    const { path, address, bytes } = readText(program, folders[at]!)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const wrong: string[] = []
    let compared = 0
    for (let start = 0; start < bytes.length; start += CHUNK) {
      const listing = execFileSync(
        LLVM_OBJDUMP,
        [
          ...['-d', '--no-show-raw-insn', '--no-print-imm-hex', ...LLVM_OPTIONS.a64, '--section=.text'],
          ...[
            `--start-address=${address + start}`,
            `--stop-address=${address + Math.min(start + CHUNK, bytes.length)}`,
            path,
          ],
        ],
        { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] },
      )
      for (const line of listing.split('\n')) {
        const match = /^\s*([0-9a-f]+):\s+(.*)$/.exec(line)
        // Data in code is printed so.
        if (match === null || match[2]!.startsWith('.')) continue
        const place = parseInt(match[1]!, 16)
        compared++
        const difference = a64Difference(view.getUint32(place - address, true), match[2]!, BigInt(place))
        if (difference !== undefined) wrong.push(`${place.toString(16)} ${difference}`)
      }
    }
    console.log(`${program.name}: ${compared} instructions, ${wrong.length} differ`)
    return wrong.length === 0 ? undefined : wrong.slice(0, 20).join('\n')
  },
}
