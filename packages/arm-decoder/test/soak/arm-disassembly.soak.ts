/**
 * Every instruction of `.text` of Debian's binaries for arm64 and armhf (Thumb-2) against LLVM's listing: the same text, or one
 * of the accepted differences. A step is one program; packages are fetched once.
 * @programs: llvm-objdump-22 aarch64-linux-gnu-objdump arm-linux-gnueabihf-objdump
 */
import { execFileSync } from 'node:child_process'
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { compareThumbText } from '../support/a32-text.ts'
import { a64Difference } from '../support/a64-text.ts'
import { binaries, readText, type Text } from '../support/binaries.ts'
import { hasDisassemblers, LLVM_OBJDUMP, LLVM_OPTIONS } from '../support/disassembly.ts'

const CHUNK = 1 << 20

let folders: readonly string[] = []

function compareA64(
  { path, address, bytes }: Text,
  start: number,
  end: number,
): { instructions: number; wrong: string[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = { instructions: 0, wrong: [] as string[] }
  const listing = execFileSync(
    LLVM_OBJDUMP,
    [
      ...['-d', '--no-show-raw-insn', '--no-print-imm-hex', ...LLVM_OPTIONS.a64, '--section=.text'],
      ...[`--start-address=${address + start}`, `--stop-address=${address + end}`, path],
    ],
    { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] },
  )
  for (const line of listing.split('\n')) {
    const match = /^\s*([0-9a-f]+):\s+(.*)$/.exec(line)
    // Data in code is printed so.
    if (match === null || match[2]!.startsWith('.')) continue
    const place = parseInt(match[1]!, 16)
    found.instructions++
    const difference = a64Difference(view.getUint32(place - address, true), match[2]!, BigInt(place))
    if (difference !== undefined) found.wrong.push(`${place.toString(16)} ${difference}`)
  }
  return found
}

export const soak: Soak = {
  name: 'arm-disassembly',
  count: binaries.length,
  async setup() {
    if (!hasDisassemblers) throw new Error('this needs llvm-objdump-22 and the cross binutils')
    const found = await debianMembers(binaries)
    if (found === undefined) throw new Error('this needs apt-get, to fetch binaries from Debian')
    folders = found
  },
  step(rng, index) {
    const at = index % binaries.length
    const program = binaries[at]!
    rng.note('program', program.name)
    const text = readText(program, folders[at]!)
    const wrong: string[] = []
    let compared = 0
    for (let start = 0; start < text.bytes.length; start += CHUNK) {
      const end = Math.min(start + CHUNK, text.bytes.length)
      const found = program.architecture === 'arm64' ? compareA64(text, start, end) : compareThumbText(text, start, end)
      compared += found.instructions
      wrong.push(...found.wrong)
    }
    console.log(`${program.name}: ${compared} instructions, ${wrong.length} differ`)
    return wrong.length === 0 ? undefined : wrong.slice(0, 20).join('\n')
  },
}
