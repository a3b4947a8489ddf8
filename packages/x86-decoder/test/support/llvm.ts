/** What LLVM's disassembler makes of instructions, many at a time. */
import { spawnSync } from 'node:child_process'
import { hasProgram } from '@retrap/tooling/skip'
import { decode, formatIntel } from '../../src/index.ts'
import { hexOf } from './bytes.ts'

const PROGRAM = ['llvm-mc-22', 'llvm-mc'].find((name) => hasProgram(name))

/** Whether there is an LLVM that knows APX. */
export const hasLlvm: boolean = PROGRAM === 'llvm-mc-22'

const FEATURES =
  'avx512f avx512cd avx512bw avx512dq avx512vl avx512ifma avx512vbmi avx512vbmi2 avx512vnni avx512bitalg avx512vpopcntdq ' +
  'avx512bf16 avx512fp16 avx512vp2intersect gfni vaes vpclmulqdq avx10.2 egpr ndd nf ccmp cf ppx push2pop2 zu movrs usermsr ' +
  'amx-avx512 amx-tile amx-movrs cmpccxadd movdiri movdir64b enqcmd invpcid kl widekl crc32 bmi bmi2 adx lzcnt popcnt movbe sha shstk'

/** After each item: an instruction that is in none of them. */
const MARKER = '0x48 0xb8 0xef 0xcd 0xab 0x90 0x78 0x56 0x34 0x12'
const MARKER_TEXT = 'movabs rax, 1311768467294899695'

const TRIPLES: Readonly<Record<number, string>> = { 16: 'i386-unknown-unknown-code16', 32: 'i386', 64: 'x86_64' }

/**
 * The text of each instruction in Intel syntax, or '' where LLVM sees none. All bytes of an item belong to it: if LLVM
 * takes fewer, several texts are joined by ` ; `, if it wants more, there is none.
 */
function llvmTexts(mode: 16 | 32 | 64, items: readonly Uint8Array[]): string[] {
  const source = items.map((bytes) => `[${hexOf(bytes).replaceAll(/(\w\w)/g, '0x$1')}]\n[${MARKER}]`).join('\n')
  const { stdout } = spawnSync(
    PROGRAM ?? 'llvm-mc',
    [
      '--disassemble',
      `--triple=${TRIPLES[mode] as string}`,
      `--mattr=${FEATURES.split(' ')
        .map((name) => `+${name}`)
        .join()}`,
      '--output-asm-variant=1',
    ],
    { input: source, encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'ignore'] },
  )
  const groups: string[] = []
  let group: string[] = []
  for (const line of stdout.split('\n')) {
    const text = line
      .replace(/\s*#.*$/, '')
      .replaceAll(/\s+/g, ' ')
      .trim()
    if (text === MARKER_TEXT) {
      groups.push(group.join(' ; '))
      group = []
    } else if (text !== '' && !text.startsWith('.')) group.push(text)
  }
  return groups
}

const CONDITIONS: Readonly<Record<string, string>> = { ae: 'nb', e: 'z', ne: 'nz', a: 'nbe', ge: 'nl', g: 'nle' }

/** A text without blanks, with decimal numbers, without scales of one and sizes: what LLVM and we can be compared by. */
function plain(text: string): string {
  return (
    text
      .toLowerCase()
      .replace(/^\{evex\} ?/, '')
      // Its conditions have other names.
      .replace(/^cmp(ae|e|ne|a|ge|g)xadd/, (_, condition: string) => `cmp${CONDITIONS[condition] as string}xadd`)
      .replace(/^((?:(?:\{nf\}|rep|repe|repne|lock|notrack|bnd|xacquire|xrelease) )*[^ ]+) /, '$1~')
      .replaceAll(/\b(byte|word|dword|qword|tbyte|[xyz]mmword) ptr /g, '')
      .replaceAll(/\s+/g, '')
      .replace('~', ' ')
      .replaceAll(/0x([0-9a-f]+)/g, (_, digits: string) => String(parseInt(digits, 16)))
      .replaceAll(/(\d)\*([a-z]\w*)/g, '$2*$1')
      // A rounding word is an operand to it.
      .replaceAll(/,\{(r[nduz]-sae|sae)\}/g, '{$1}')
      .replaceAll('*1]', ']')
      .replaceAll('*1+', '+')
      .replaceAll('*1-', '-')
      .replaceAll('ds:', '')
      .replaceAll(/[+-]0]/g, ']')
  )
}

/** What LLVM's assembler makes of texts: bytes in hexadecimal, or its complaint. */
export function llvmEncodings(syntax: 'intel' | 'att', texts: readonly string[]): string[] {
  const { stdout, stderr } = spawnSync(
    PROGRAM ?? 'llvm-mc',
    [
      '--triple=x86_64',
      `--x86-asm-syntax=${syntax}`,
      '--show-encoding',
      `--mattr=${FEATURES.split(' ')
        .map((name) => `+${name}`)
        .join()}`,
    ],
    { input: `${texts.join('\n')}\n`, encoding: 'utf8', maxBuffer: 1 << 30 },
  )
  const complaints = new Map(
    [...stderr.matchAll(/<stdin>:(\d+):\d+: error: (.*)/g)].map(([, line, message]) => [
      Number(line),
      message as string,
    ]),
  )
  const encodings = [...stdout.matchAll(/encoding: \[([^\]]*)\]/g)].map(([, bytes]) =>
    (bytes as string).replaceAll('0x', '').replaceAll(',', ' '),
  )
  let next = 0
  return texts.map((_, i) => complaints.get(i + 1) ?? encodings[next++] ?? 'nothing')
}

/** One row of a table of differences. */
export interface TextDifference {
  /** `ours | theirs`, '-' for invalid. */
  readonly texts: RegExp
  readonly bytes?: (bytes: Uint8Array) => boolean
  readonly why: string
}

/**
 * Decodes items of 15 bytes in 64-bit mode and compares validity, length and text with LLVM's.
 *
 * @param coverage - counts what each row of `differences` covers
 * @param view - what of a text is compared
 * @returns what no row covers, at most 40 of them, and how many items are instructions
 */
export function compareWithLlvm(
  items: readonly Uint8Array[],
  differences: readonly TextDifference[],
  coverage: Map<string, number>,
  view: (text: string) => string = (text) => text,
): { unknown: string[]; valid: number } {
  const ours = items.map((bytes) => {
    const decoded = decode(bytes)
    return decoded.status === 'decoded'
      ? { bytes: decoded.bytes, text: plain(formatIntel(decoded)) }
      : { bytes, text: '-' }
  })
  const theirs = llvmTexts(
    64,
    ours.map(({ bytes }) => bytes),
  )
  if (theirs.length !== items.length) throw new Error(`LLVM gave ${theirs.length} groups for ${items.length} items`)
  const unknown: string[] = []
  let valid = 0
  ours.forEach(({ bytes, text }, i) => {
    if (text !== '-') valid++
    const all = theirs[i] as string
    // After an instruction that we do not know its bytes go on with something else.
    const their = all === '' ? '-' : plain(text === '-' ? (all.split(' ; ')[0] as string) : all)
    if (their === text || (their !== '-' && text !== '-' && view(their) === view(text))) return
    const both = `${text} | ${their}`
    const row = differences.find((one) => one.texts.test(both) && (one.bytes?.(bytes) ?? true))
    if (row !== undefined) coverage.set(row.why, (coverage.get(row.why) ?? 0) + 1)
    else if (unknown.length < 40) unknown.push(`${hexOf(bytes)}: ${both}`)
  })
  return { unknown, valid }
}
