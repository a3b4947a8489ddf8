// NASM, as another independent assembler: lines in, the bytes of each out.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Memory, Operand } from '../../src/index.ts'
import { isVectorIndex } from '../../src/memory.ts'

const NASM = 'nasm'

/** True where it is installed. */
export function hasNasm(): boolean {
  return spawnSync(NASM, ['-v']).status === 0
}

const SLOT = 32
const FILLER = 0xcc

/**
 * Assembles every line on its own, at addresses 32 apart from 0x1000.
 *
 * @returns for each line its bytes and filler, or the message with which NASM refused it
 */
export function assembleWithNasm(lines: readonly string[], bits: 16 | 32 | 64): (Uint8Array | string)[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-nasm-'))
  try {
    const source = join(folder, 'a.asm')
    const image = join(folder, 'a.bin')
    const refused = new Map<number, string>()
    for (let attempt = 0; attempt < 6; attempt++) {
      const body = lines.map(
        (line, index) => `${refused.has(index) ? '' : line}\ntimes ${(index + 1) * SLOT}-($-$$) db ${FILLER}`,
      )
      writeFileSync(source, `bits ${bits}\norg 0x1000\n${body.join('\n')}\n`)
      const run = spawnSync(NASM, ['-w-all', '-f', 'bin', '-o', image, source], { encoding: 'utf8' })
      if (run.status === 0) break
      // Two lines of source for each line of the input, after a head of two.
      for (const match of run.stderr.matchAll(/^[^:]+:(\d+): error: (.*)$/gm)) {
        refused.set((Number(match[1]) - 3) >> 1, match[2] ?? '')
      }
    }
    if (!existsSync(image)) throw new Error(`NASM gave nothing; it refused ${refused.size} of ${lines.length} lines`)
    const bytes = readFileSync(image)
    return lines.map(
      (_, index) => refused.get(index) ?? new Uint8Array(bytes.subarray(index * SLOT, (index + 1) * SLOT)),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const SIZES: Readonly<Record<number, string>> = {
  0: '',
  1: 'byte ',
  2: 'word ',
  4: 'dword ',
  6: '',
  8: 'qword ',
  10: 'tword ',
  16: 'oword ',
  32: 'yword ',
  64: 'zword ',
}

function nasmMemory(memory: Memory, bits: number, sized: boolean): string {
  const parts: string[] = []
  if (memory.base !== undefined) parts.push(memory.base.name)
  if (memory.index !== undefined) {
    parts.push(memory.index.class === 'gp16' ? memory.index.name : `${memory.index.name}*${memory.scale}`)
  }
  const segment = memory.segment === undefined ? '' : `${memory.segment.name}:`
  const disp = memory.disp as bigint
  // What is relative has to be in the section for it, which starts at 0x1000.
  if (memory.reference === 'rip') parts.push(`$$+${disp - 0x1000n}`)
  else if (disp !== 0n || parts.length === 0) parts.push(disp.toString())
  // Without registers NASM takes the address size of the mode, or a label's.
  const plain = memory.base === undefined && memory.index === undefined
  const how =
    memory.reference === 'rip' ? 'rel ' : plain && bits === 64 ? 'abs ' : memory.base === undefined ? 'nosplit ' : ''
  // It does not see by itself that a vector index makes a 32-bit address in 16-bit code.
  const wide = bits === 16 && memory.base === undefined && isVectorIndex(memory.index) ? 'dword ' : ''
  const size = sized ? SIZES[memory.size] : ''
  return `${size}[${segment}${wide}${how}${parts.join('+').replaceAll('+-', '-')}]`
}

/** An operand in NASM's syntax, with the size of memory or without. */
export function nasmOperand(operand: Operand, bits: number, sized: boolean): string {
  if (typeof operand === 'number' || typeof operand === 'bigint') return operand.toString()
  switch (operand.type) {
    case 'register':
      return operand.name
    case 'masked': {
      const masked = nasmOperand(operand.operand, bits, sized)
      return `${masked}{${operand.mask.name}}${operand.zeroing ? '{z}' : ''}`
    }
    case 'broadcast':
      return `${nasmMemory(operand.memory, bits, sized)}{1to${operand.count}}`
    case 'rounding':
      return operand.mode === 'sae' ? '{sae}' : `{${operand.mode}-sae}`
    case 'memory':
      return nasmMemory(operand, bits, sized)
    case 'far':
      return `${operand.bits === 16 ? 'word' : 'dword'} ${operand.selector}:${operand.offset}`
    default:
      throw new Error(`NASM is not asked about a ${operand.type}`)
  }
}
