/**
 * Agreement with `objdump` and `llvm-objdump` on the code of Debian's programs: length and mnemonic of every instruction.
 *
 * A test looks at windows of each file; what it compares is printed.
 */
import { describe, expect, test } from 'vitest'
import { type CodeInfo, codes, decodeInto, Instruction } from '../src/index.ts'
import { hexOf } from './support/bytes.ts'
import {
  debianFiles,
  hasProgram,
  type Line,
  llvmLines,
  objdumpLines,
  spelled,
  textRange,
} from './support/disassembler.ts'

const WINDOW_BYTES = 150_000
const WINDOWS = 3

/** What disassemblers take for an instruction although the manual says #UD. It comes up in data that lies in `.text`. */
const differences: readonly { line: RegExp; why: string }[] = [
  {
    line: /^(?:\w\w )*f0 .* invalid/,
    why: 'LOCK is #UD with anything but the listed instructions (SDM vol. 2A, LOCK)',
  },
  {
    line: /: bnd\w+ .* ours NOP/,
    why: 'MPX is gone: where CPUID lacks it these are no-operations (SDM vol. 1, Appendix E)',
  },
  {
    line: / 8[ce] .*\? |mov [^,]*,?\?|mov cs,|\?,/,
    why: 'MOV to CS, or to or from a segment register that does not exist, is #UD (SDM vol. 2B, MOV)',
  },
]

interface Outcome {
  compared: number
  /** AVX and later, for which the table has no rows yet. */
  skipped: number
  /** Covered by `differences`. */
  known: number
  differences: string[]
}

function compare(lines: readonly Line[]): Outcome {
  const insn = new Instruction()
  const outcome: Outcome = { compared: 0, skipped: 0, known: 0, differences: [] }
  for (const line of lines) {
    // objdump takes FWAIT and the instruction after it for one; what the window cuts is no instruction.
    if (/^(\(bad\)|<unknown>|\.byte|rex.*|data16|lock|)$/.test(line.mnemonic) || line.operands.includes('(bad)'))
      continue
    if (line.bytes[0] === 0x9b && line.bytes.length > 1) continue
    const status = decodeInto(line.bytes, 0, line.bytes.length, 64, insn)
    if (status !== 0 && isVex(line.bytes)) {
      outcome.skipped++
      continue
    }
    outcome.compared++
    const ours = status === 0 ? (codes[insn.code] as CodeInfo).mnemonic : status === 1 ? 'invalid' : 'truncated'
    const theirs = spelled(line)
    if (status === 0 && insn.length === line.bytes.length && (ours === theirs || `${ours}Q` === theirs)) continue
    if (/^(CALL|JMP)F$/.test(ours) && theirs === ours.slice(0, -1)) continue
    const text = `${hexOf(line.bytes)} : ${line.mnemonic} ${line.operands}, ours ${ours} of ${insn.length} bytes`
    if (differences.some((row) => row.line.test(text))) outcome.known++
    else outcome.differences.push(text)
  }
  return outcome
}

function isVex(bytes: Uint8Array): boolean {
  return /^(26 |2e |36 |3e |64 |65 |67 )*(c4|c5|62|8f)/.test(hexOf(bytes))
}

describe.each([
  { tool: 'objdump', read: objdumpLines, files: debianFiles },
  // LLVM lists prefixes that mean nothing as instructions of their own; two files are enough to see that it agrees.
  { tool: 'llvm-objdump', read: llvmLines, files: debianFiles.slice(0, 2) },
])('$tool', ({ tool, read, files }) => {
  test.skipIf(!hasProgram(tool)).each(files)('agrees on %s', (file) => {
    const { address, size } = textRange(file)
    const total: Outcome = { compared: 0, skipped: 0, known: 0, differences: [] }
    for (let i = 0; i < WINDOWS; i++) {
      const start = address + Math.floor((Math.max(0, size - WINDOW_BYTES) * i) / (WINDOWS - 1))
      const lines = read(file, start, Math.min(start + WINDOW_BYTES, address + size))
      // A window that starts inside an instruction is out of step at first, as is one that ends there.
      const outcome = compare(lines.slice(i === 0 ? 0 : 50, -5))
      total.compared += outcome.compared
      total.skipped += outcome.skipped
      total.known += outcome.known
      total.differences.push(...outcome.differences)
    }
    console.log(
      `${tool} ${file}: ${total.compared} instructions compared, ${total.skipped} VEX or EVEX without a row, ${total.known} known differences`,
    )
    expect(total.differences.slice(0, 30)).toEqual([])
    expect(total.compared).toBeGreaterThan(10_000)
  })
})
