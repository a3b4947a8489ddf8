/** What other disassemblers make of words, many at a time. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import * as decoder from '../../src/index.ts'

/** An instruction set, and how long its words are. */
export type SetName = Lowercase<keyof typeof decoder.InstructionSet>

/** Of GNU's programs. */
export const PREFIX: Readonly<Record<SetName, string>> = {
  a64: 'aarch64-linux-gnu',
  a32: 'arm-linux-gnueabihf',
  t32: 'arm-linux-gnueabihf',
  t16: 'arm-linux-gnueabihf',
}

/** LLVM's disassembler. */
export const LLVM_OBJDUMP = 'llvm-objdump-22'

/** Whether the two disassemblers are there. */
export const hasDisassemblers: boolean =
  hasProgram(LLVM_OBJDUMP) && ['aarch64-linux-gnu-objdump', 'arm-linux-gnueabihf-objdump'].every(hasProgram)

const AARCH32_FEATURES = [
  ...['neon', 'fullfp16', 'fp-armv8', 'aes', 'sha2', 'crc', 'dotprod', 'fp16fml', 'i8mm', 'bf16', 'ras', 'sb', 'mp'],
  ...['virtualization', 'trustzone'],
]
  .map((feature) => `+${feature}`)
  .concat('-mve', '-cdecp0')
  .join(',')

/** What makes LLVM know all of a set. */
export const LLVM_OPTIONS: Readonly<Record<SetName, readonly string[]>> = {
  a64: ['--mattr=+all'],
  a32: ['--triple=armv8.6a', `--mattr=${AARCH32_FEATURES}`],
  t32: ['--triple=thumbv8.6a', `--mattr=${AARCH32_FEATURES}`],
  t16: ['--triple=thumbv8.6a', `--mattr=${AARCH32_FEATURES}`],
}

function source(set: SetName, words: readonly number[]): string {
  if (set === 'a64') return words.map((word) => `.inst ${word}`).join('\n')
  const directive = (word: number): string => (set === 'a32' ? '.inst' : word > 0xffff ? '.inst.w' : '.inst.n')
  const start = `.syntax unified\n.arch armv8.6-a\n.fpu crypto-neon-fp-armv8\n${set === 'a32' ? '.arm' : '.thumb'}\n`
  return start + words.map((word) => `${directive(word)} ${word}`).join('\n')
}

/** Bytes of an instruction. */
const sizeOf = (set: SetName, word: number): number => (set.startsWith('t') && word <= 0xffff ? 2 : 4)

/**
 * One text a word; '' where the disassembler gives none. Thumb words of one halfword and of two may be mixed.
 *
 * @param spell - what is done to each text
 */
export function disassemble(
  set: SetName,
  words: readonly number[],
  tool: 'llvm' | 'gnu',
  spell: (text: string) => string = normal,
): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-arm-'))
  try {
    const assembly = join(folder, 'words.s')
    const object = join(folder, 'words.o')
    writeFileSync(assembly, `${source(set, words)}\n`)
    execFileSync(`${PREFIX[set]}-as`, ['-o', object, assembly])
    const [program, options] =
      tool === 'llvm'
        ? [LLVM_OBJDUMP, ['--no-print-imm-hex', ...LLVM_OPTIONS[set]]]
        : [`${PREFIX[set]}-objdump`, [] as string[]]
    const listing = execFileSync(program, ['-d', '--no-show-raw-insn', ...options, object], {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const texts = Array.from({ length: words.length }, () => '')
    const places = new Map<number, number>()
    let place = 0
    for (const [index, word] of words.entries()) {
      places.set(place, index)
      place += sizeOf(set, word)
    }
    for (const line of listing.split('\n')) {
      const match = /^\s*([0-9a-f]+):\s+(.*)$/.exec(line)
      const index = match === null ? undefined : places.get(parseInt(match[1]!, 16))
      if (index !== undefined) texts[index] = spell(match![2]!)
    }
    return texts
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const GNU_REGISTERS: Readonly<Record<string, string>> = { sl: 'r10', fp: 'r11', ip: 'r12' }

/** One spelling for all: blanks, comments, number bases, lists, register names. */
export function normal(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replace(/\s*(@|\/\/|;| <).*$/, '')
    .trim()
    .replaceAll('{ ', '{')
    .replaceAll(' }', '}')
    .replace(/^(\w+)\.[wn] /, '$1 ')
    .replaceAll(/#?0x([0-9a-f]+)\b/g, (_match, digits: string) => `#${BigInt(`0x${digits}`)}`)
    .replaceAll(/\b(sl|fp|ip)\b/g, (name) => GNU_REGISTERS[name] as string)
    .replaceAll(
      /\{([vdsr]\d+)(\.\w+)?-([vdsr])(\d+)(\.\w+)?\}/g,
      (_match, first: string, size = '', letter: string, last: string) => {
        const start = Number(first.slice(1))
        const names = Array.from({ length: Number(last) - start + 1 }, (_, index) => `${letter}${start + index}${size}`)
        return `{${names.join(', ')}}`
      },
    )
}

const insn: decoder.LoadStore = new decoder.LoadStore()

/** Our text of a word at an offset, or ''. */
export function ours(set: SetName, word: number, offset: number): string {
  if (set === 't32' && !decoder.isWideThumb(word >>> 16)) return ''
  const found =
    set === 'a64'
      ? decoder.decodeLoadStoreA64(word, insn)
      : set === 'a32'
        ? decoder.decodeLoadStoreA32(word, insn)
        : set === 't32'
          ? decoder.decodeLoadStoreThumb(word >>> 16, word & 0xffff, insn)
          : decoder.decodeLoadStoreThumb(word, 0, insn)
  if (!found) return ''
  const text = decoder.formatLoadStore(insn)
  // Labels are absolute in listings.
  return text.replace(
    /\.([-+]\d+)$/,
    (_match, distance: string) => `#${BigInt.asUintN(64, BigInt(offset + Number(distance)))}`,
  )
}

/** Form that the last word belonged to. */
export const lastForm = (): decoder.LoadStore['form'] => insn.form

/** Mnemonics of what accesses memory; anchored, without conditions. */
const MEMORY: Readonly<Record<'a64' | 'a32', RegExp>> = {
  a64: /^(ld|st(?!mopa)|swp|cas|prf|rprf|cpy|set[gpme]|dc |ic i|at |gcss|rcw|irg$)/,
  a32: /^(ld|st|swp|push|pop|vldm|vstm|vldr|vstr|vld[1-4]|vst[1-4]|vpush|vpop|fldm|fstm|pld|pli|tb[bh]|rfe|srs)/,
}

/** Whether a listing's text is an instruction that accesses memory at an address from registers. */
export function accessesMemory(set: SetName, text: string): boolean {
  if (set !== 'a64') {
    if (/^mcr\w* p?15, #?0, \w+, cr?7, cr?(6|10|11|14|5), \{?#?1/.test(text)) return true
    // Of the coprocessors only the debug registers are left in Armv8.
    if (/^(ldc|stc)/.test(text)) return / p?14, cr?5,/.test(text)
    return MEMORY.a32.test(text)
  }
  // Set and way have no address.
  if (/^dc (isw|igsw|igdsw|csw|cgsw|cgdsw|cisw|cigsw|cigdsw|cipa|cigdpa)/.test(text)) return false
  if (/^at s1e2|^at s12|^at s1e3|^at s1e1a|^at s1e2a|^dc (cvaoc|cigdvaps|civaps|cvaoc|cigdvaoc|civaoc)/.test(text))
    return false
  return MEMORY.a64.test(text)
}
