/** Agreement with the text of `objdump -d`, operands and all, on the code of Debian's programs. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { hasProgram } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { decode, formatAtt } from '../src/index.ts'
import { bytesOf } from './support/bytes.ts'

const test = sliceTests(4)

const WINDOW_BYTES = 60_000
const WINDOWS = 3

/** Where the `.text` section of an ELF file is, and how long. */
function textRange(file: string): { address: number; size: number } {
  const listing = execFileSync('objdump', ['-h', '-w', file], { encoding: 'utf8' })
  const match = /\s\.text\s+([0-9a-f]+)\s+([0-9a-f]+)/.exec(listing)
  if (match === null) throw new Error(`${file} has no .text`)
  return { address: parseInt(match[2] as string, 16), size: parseInt(match[1] as string, 16) }
}

/** Programs and libraries of an ordinary Debian, of which a test takes those that are there. */
const debianFiles = [
  '/bin/bash',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/lib/x86_64-linux-gnu/libm.so.6',
  '/usr/lib/x86_64-linux-gnu/libstdc++.so.6',
  '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
  '/usr/lib/x86_64-linux-gnu/libavcodec.so.59',
  '/usr/bin/python3.11',
  '/usr/bin/perl',
  '/usr/lib/gcc/x86_64-linux-gnu/12/cc1',
].filter((file) => existsSync(file))

/** What objdump prints for what we print otherwise, both meaning the same. A closed list. */
const aliases: readonly { readonly objdump: RegExp; readonly ours: RegExp; readonly why: string }[] = [
  { objdump: /^xchg %ax,%ax$/, ours: /^nop$/, why: '66 90: the manual has no operands for it' },
  {
    objdump: /^v?cmp[a-z_]+([sp][sd]) %/,
    ours: /^v?cmp[sp][sd] \$0x[0-9a-f]+,%/,
    why: 'pseudo-operations for the immediate',
  },
  { objdump: /^v?cmp[a-z_]+([sp][sd]) /, ours: /^v?cmp[sp][sd] \$0x[0-9a-f]+,/, why: 'the same, from memory' },
  {
    objdump: /^vp?cmp[a-z_]+(ps|pd|ss|sd|ph|sh|u?[bwdq]) /,
    ours: /^vp?cmp([sp][sdh]|u?[bwdq]) \$0x[0-9a-f]+,/,
    why: 'the same, with a mask as destination',
  },
  {
    objdump: /^v?pclmul[lh]q[lh]qdq /,
    ours: /^v?pclmulqdq \$0x[0-9a-f]+,/,
    why: 'pseudo-operations for the immediate',
  },
  { objdump: /,%[re]iz,\d\)/, ours: /^[^%]*.*\(%r?[a-z0-9]+\)/, why: 'an index that does not exist' },
  { objdump: /^fne?(ni|disi)\(8087 only\)$|^fnsetpm\(287 only\)$/, ours: /^fn(eni|disi|setpm)$/, why: 'a remark' },
]

/** Lines that are no instruction: data in `.text`, and FWAIT taken for one with what follows it. */
const skipped = /\(bad\)|^\.byte|^9b |^rex\S*$|^(data16|lock|addr32|[c-gs]s)$/

/** Prefixes without an effect, which objdump spells out. */
const PREFIX_WORD = /^(data16|addr32|[c-gs]s|rex(\.[WRXB]+)?|repz|repnz|xacquire|xrelease|bnd) /

/** Without addresses' names, blanks, and prefixes that mean nothing: in 64-bit mode DS is one. */
function normalized(text: string): string {
  let line = text
    .replace(/\s*#.*$/, '')
    .replaceAll(/ <[^>]*>/g, '')
    .replaceAll('%ds:', '')
    .replaceAll(/\s+/g, ' ')
    .trim()
  while (PREFIX_WORD.test(line)) line = line.replace(PREFIX_WORD, '')
  return line
    .replace(/^(j\w+),p[nt] /, '$1 ')
    .replace(/^((?:notrack )?(?:j\w+|call|loop\w*|xbegin)) ([0-9a-f]+)$/, '$1 0x$2')
}

interface Outcome {
  compared: number
  aliases: number
  skipped: number
  readonly differences: string[]
}

function compare(file: string, start: number, stop: number, outcome: Outcome): void {
  const range = [`--start-address=${start}`, `--stop-address=${stop}`]
  const listing = execFileSync('objdump', ['-d', '-w', '-j', '.text', ...range, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  })
  const lines = [...listing.matchAll(/^\s*([0-9a-f]+):\s+((?:[0-9a-f]{2}[ \t])+)\s*(\S.*)?$/gm)]
  // A window that starts or ends inside an instruction is out of step there.
  for (const [, at, hex, text] of lines.slice(50, -5) as unknown as [string, string, string, string | undefined][]) {
    const decoded = decode(bytesOf(hex.replaceAll(/\s/g, '')), { address: BigInt(`0x${at}`) })
    if (text === undefined || decoded.status !== 'decoded' || skipped.test(text.trim()) || hex.startsWith('9b ')) {
      outcome.skipped++
      continue
    }
    outcome.compared++
    const theirs = normalized(text)
    const ours = normalized(formatAtt(decoded, { spacing: 'tight' }))
    if (theirs === ours) continue
    if (aliases.some((row) => row.objdump.test(theirs) && row.ours.test(ours))) outcome.aliases++
    else outcome.differences.push(`${hex.trim()}: ${theirs}, ours: ${ours}`)
  }
}

describe.skipIf(!hasProgram('objdump'))('AT&T syntax', () => {
  test.each(debianFiles)('is what objdump prints for %s', (file) => {
    const { address, size } = textRange(file)
    const outcome: Outcome = { compared: 0, aliases: 0, skipped: 0, differences: [] }
    for (let i = 0; i < WINDOWS; i++) {
      const start = address + Math.floor((Math.max(0, size - WINDOW_BYTES) * i) / (WINDOWS - 1))
      compare(file, start, Math.min(start + WINDOW_BYTES, address + size), outcome)
    }
    console.log(
      `${file}: ${outcome.compared} lines compared, ${outcome.aliases} under another name, ${outcome.skipped} skipped`,
    )
    expect(outcome.differences.slice(0, 30)).toEqual([])
    expect(outcome.compared).toBeGreaterThan(5_000)
  })
})
