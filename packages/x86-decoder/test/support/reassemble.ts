/** Random instructions, and what GNU as and NASM make of their texts. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as decoder from '../../src/index.ts'

export type Mode = 16 | 32 | 64

/** Each instruction has a slot of this many bytes, at the same place in what the assembler makes. */
export const SLOT = 32

/** A small generator, so that two runs see the same instructions. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 0x343fd) + 0x269ec3) | 0
    return (state >>> 8) & 0xffff
  }
}

const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]

/** Prefixes, each as often as it makes texts of interest. */
function prefixes(mode: Mode, random: () => number): number[] {
  const found: number[] = []
  if (random() % 5 === 0) found.push([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65][random() % 6] as number)
  if (random() % 6 === 0) found.push(0x67)
  if (random() % 4 === 0) found.push(0x66)
  if (random() % 4 === 0) found.push([0xf2, 0xf3, 0xf0][random() % 3] as number)
  if (mode === 64 && random() % 2 === 0) found.push(0x40 | (random() & 15))
  return found
}

/** A three-byte VEX or XOP prefix, in which vvvv is unused as often as not, and a segment prefix in front at times. */
function writeVex(buffer: Uint8Array, at: number, random: () => number): void {
  const vvvv = random() % 2 === 0 ? 0x78 : random() & 0x78
  const start = at > 0 && /^(26|2e|36|3e|64|65|67)$/.test((buffer[0] as number).toString(16)) ? 1 : 0
  const isXop = random() % 4 === 0
  const map = (isXop ? 8 : 1) + (random() % 3)
  buffer.set([isXop ? 0x8f : 0xc4, (random() & 0xe0) | map, (random() & 0x87) | vvvv], start)
  buffer[start + 3] = random()
}

const ENCODINGS: ReadonlySet<string> = new Set(['legacy', 'vex', 'xop'])

/**
 * Random instructions of the legacy, VEX and XOP maps: at most `each` of every code with memory and as many without, the first one of
 * slot i at address i * SLOT.
 */
export function randomInstructions(mode: Mode, each: number, tries: number): decoder.DecodedInstruction[] {
  const random = generator(mode)
  const found: decoder.DecodedInstruction[] = []
  const seen = new Map<string, number>()
  const buffer = new Uint8Array(16)
  for (let i = 0; i < tries; i++) {
    const head = [...prefixes(mode, random), ...(ESCAPES[[0, 0, 1, 1, 2, 3][random() % 6] as number] as number[])]
    for (let k = 0; k < buffer.length; k++) buffer[k] = random()
    // Displacements and immediates of few bits as often as of many.
    if (random() % 2 === 0) buffer.fill(random() % 2 === 0 ? 0 : 0xff, head.length + 3 + (random() % 2))
    buffer.set(head)
    if (i % 3 === 0) writeVex(buffer, head.length - 1, random)
    const decoded = decoder.decode(buffer, { mode, address: BigInt(found.length * SLOT) })
    // The assemblers at hand know no APX.
    if ((decoded.instruction.prefixes & decoder.PREFIX_REX2) !== 0) continue
    if (decoded.status !== 'decoded' || !ENCODINGS.has(decoded.info.encoding) || decoded.info.alias) continue
    // Without superfluous prefixes the instruction ends earlier, and the target would be too far away.
    if (decoded.operands.some(({ kind, size }) => kind === 'branch' && size === 1) && decoded.instruction.immLo > 112) {
      continue
    }
    const key = `${decoded.info.code} ${decoded.instruction.isMemory}`
    const count = seen.get(key) ?? 0
    if (count >= each) continue
    seen.set(key, count + 1)
    found.push({ ...decoded, bytes: decoded.bytes.slice() })
  }
  return found
}

/** What an assembler made. */
export interface Assembled {
  /** One slot for each text. */
  readonly image: Uint8Array
  /** Texts that it did not read, and what it said. */
  readonly complaints: readonly string[]
}

interface Assembler {
  /** Lines before the first, for the mode. */
  head(mode: Mode): readonly string[]
  /** A line that puts a text into its slot. */
  line(text: string, at: number): string
  /** Writes `out`, a flat image, unless it complains. */
  run(source: string, out: string): string
  complaint: RegExp
}

/** Not everyone has it; where it is missing the tests skip themselves. */
const NASM = 'nasm'

const GAS: Omit<Assembler, 'head'> = {
  line: (text, at) => `.org ${at}; ${text}`,
  run(source, out) {
    const result = spawnSync('as', ['-o', `${out}.o`, source], { encoding: 'utf8', maxBuffer: 1 << 28 })
    if (result.status === 0) {
      // Targets of branches that are plain numbers are relocations: a linker fills them in.
      execFileSync('ld', ['-m', 'elf_x86_64', '-Ttext=0', '-e', '0', '--oformat', 'binary', '-o', out, `${out}.o`])
    }
    return result.stderr
  },
  complaint: /a\.s:(\d+): Error: (.*)/g,
}

export const assemblers: Readonly<Record<'intel' | 'att' | 'nasm', Assembler>> = {
  intel: { ...GAS, head: (mode) => ['.intel_syntax noprefix', `.code${mode}`] },
  att: { ...GAS, head: (mode) => [`.code${mode}`] },
  nasm: {
    head: (mode) => [`bits ${mode}`, 'org 0'],
    line: (text, at) => `times ${at}-($-$$) db 0x90\n${text}`,
    run: (source, out) =>
      spawnSync(NASM, ['-f', 'bin', '-w-all', '-o', out, source], { encoding: 'utf8', maxBuffer: 1 << 28 }).stderr,
    complaint: /a\.s:(\d+): error: (.*)/g,
  },
}

/** Assembles texts, each into its slot. */
export function assemble(assembler: Assembler, mode: Mode, texts: readonly string[]): Assembled {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-format-'))
  try {
    const source = join(folder, 'a.s')
    const out = join(folder, 'a.bin')
    const lines = [...assembler.head(mode), ...texts.map((text, i) => assembler.line(text, i * SLOT)), '']
    const listing = lines.join('\n').split('\n')
    writeFileSync(source, listing.join('\n'))
    const said = assembler.run(source, out)
    const complaints = [...said.matchAll(assembler.complaint)].map(
      ([, line, message]) => `${listing[Number(line) - 1] ?? ''}: ${message as string}`,
    )
    return { image: complaints.length > 0 ? new Uint8Array() : readFileSync(out), complaints }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** How an operand reads once it no longer matters which of several encodings stood for it. */
function operandMeaning(
  decoded: decoder.DecodedInstruction,
  operand: decoder.Operand,
  relative: 'displacement' | 'address',
): string {
  const { instruction } = decoded
  switch (operand.kind) {
    case 'register':
      return operand.name
    case 'memory': {
      const { scale, displacement, address, segment, size } = operand
      const parts = [operand.base, scale > 2 ? undefined : operand.index, scale === 2 ? operand.index : undefined]
      const registers = parts.filter((part) => part !== undefined).toSorted((a, b) => a.localeCompare(b))
      if (scale > 2 && operand.index !== undefined) registers.push(`${operand.index}*${scale}`)
      // The default segment depends on which one is the base; in 64-bit mode ES, CS, SS and DS are all the same.
      const place = instruction.mode === 64 && !/[fg]s/.test(segment) ? '' : segment
      // GNU as takes the number before (%rip) as the displacement, NASM makes one of the address.
      const sum =
        address === undefined || (relative === 'displacement' && operand.base !== undefined) ? displacement : address
      return `${size} ${place}:${registers.join('+')} ${sum}`
    }
    case 'branch':
      return String(operand.target)
    case 'far-pointer':
      return `${operand.selector}:${operand.offset}`
    default:
      return String(BigInt.asUintN(instruction.operandSize === 0 ? 64 : instruction.operandSize, operand.value))
  }
}

/**
 * What an instruction does, in a form in which two encodings of the same are equal: without superfluous prefixes, with
 * numbers of any width, memory by its sum.
 */
export function meaning(decoded: decoder.DecodedInstruction, relative: 'displacement' | 'address'): string {
  if (decoded.status !== 'decoded') return decoded.status
  const { prefixes, addressSize, segmentOverride } = decoded.instruction
  const operands = decoded.operands.map((operand) => operandMeaning(decoded, operand, relative))
  // These have no order.
  if (decoded.mnemonic === 'XCHG') operands.sort((a, b) => a.localeCompare(b))
  const { repeat, lockable, flow } = decoded.info
  const marks = [
    repeat === 'none' ? '' : prefixes & (decoder.PREFIX_REP | decoder.PREFIX_REPNE),
    lockable && (prefixes & decoder.PREFIX_LOCK) !== 0 ? 'lock' : '',
    decoded.mnemonic.startsWith('LOOP') ? addressSize : '',
    flow.startsWith('indirect') && !decoded.mnemonic.endsWith('F') && segmentOverride === 3 ? 'notrack' : '',
    flow === 'next' ? '' : decoded.instruction.operandSize,
  ]
  return `${marks.join(' ')} ${decoded.mnemonic} ${operands.join(', ')}`
}
