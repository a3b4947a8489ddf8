/** What LLVM's disassembler makes of instructions, many at a time. */
import { spawnSync } from 'node:child_process'
import { hexOf } from './bytes.ts'

const PROGRAM = ['llvm-mc-22', 'llvm-mc'].find((name) => spawnSync(name, ['--version']).status === 0)

/** Whether there is an LLVM that knows APX. */
export const hasLlvm: boolean = PROGRAM === 'llvm-mc-22'

const FEATURES =
  'avx512f avx512cd avx512bw avx512dq avx512vl avx512ifma avx512vbmi avx512vbmi2 avx512vnni avx512bitalg avx512vpopcntdq ' +
  'avx512bf16 avx512fp16 avx512vp2intersect gfni vaes vpclmulqdq avx10.2 egpr ndd nf ccmp cf ppx push2pop2 zu movrs usermsr ' +
  'amx-avx512 amx-tile amx-movrs cmpccxadd movdiri movdir64b enqcmd invpcid kl widekl crc32 bmi bmi2 adx lzcnt popcnt movbe sha shstk'

const TRIPLES: Readonly<Record<number, string>> = { 16: 'i386-unknown-unknown-code16', 32: 'i386', 64: 'x86_64' }

/**
 * The text of each instruction in Intel syntax, or '' where LLVM sees none. All bytes of an item belong to it: if LLVM
 * takes fewer, several texts are joined by ` ; `, if it wants more, there is none.
 */
export function llvmTexts(mode: 16 | 32 | 64, items: readonly Uint8Array[]): string[] {
  // After each item a marker; NOP is in none of the maps that are compared.
  const source = items.map((bytes) => `[${hexOf(bytes).replaceAll(/(\w\w)/g, '0x$1')}]\n[0x0f 0x0b]`).join('\n')
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
    if (text === 'ud2') {
      groups.push(group.join(' ; '))
      group = []
    } else if (text !== '' && !text.startsWith('.')) group.push(text)
  }
  return groups
}

/** A text without blanks, with decimal numbers, without scales of one and sizes: what LLVM and we can be compared by. */
export function plain(text: string): string {
  return (
    text
      .toLowerCase()
      .replace(/ (?=[^ ])/, '~')
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
