// GNU as, as an independent assembler: Intel-syntax lines in, the bytes of each out.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import { formatOperand, type Memory, type Operand } from '../../src/index.ts'

const AS = 'as'
const OBJCOPY = 'objcopy'

/** True where the tools are installed. */
export function hasGas(): boolean {
  return hasProgram(AS) && hasProgram(OBJCOPY)
}

const SLOT = 32
const FILLER = 0xcc

/**
 * Assembles every line on its own, at addresses 32 apart from 0x1000.
 *
 * @returns for each line its bytes, or the message with which gas refused it
 */
export function assembleWithGas(lines: readonly string[], bits: 16 | 32 | 64): (Uint8Array | string)[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-gas-'))
  try {
    const source = join(folder, 'a.s')
    const object = join(folder, 'a.o')
    const image = join(folder, 'a.bin')
    const refused = new Map<number, string>()
    for (let attempt = 0; attempt < 3; attempt++) {
      // Line n of the source is line n of the input, plus the head.
      const head = `.intel_syntax noprefix; .code${bits}; .section .text\n`
      const body = lines
        .map((line, index) => `.org ${index * SLOT}, ${FILLER}; ${refused.has(index) ? '' : line}`)
        .join('\n')
      writeFileSync(source, `${head}${body}\n.org ${lines.length * SLOT}, ${FILLER}\n`)
      const run = spawnSync(AS, [bits === 64 ? '--64' : '--32', '-o', object, source], { encoding: 'utf8' })
      if (run.status === 0) break
      for (const match of run.stderr.matchAll(/^[^:]+:(\d+): Error: (.*)$/gm)) {
        refused.set(Number(match[1]) - 2, match[2] ?? '')
      }
    }
    execFileSync(OBJCOPY, ['-O', 'binary', '-j', '.text', object, image])
    const bytes = readFileSync(image)
    return lines.map((_, index) => {
      const message = refused.get(index)
      return message ?? new Uint8Array(bytes.subarray(index * SLOT, (index + 1) * SLOT))
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** True where `slot`, from {@link assembleWithGas}, holds `bytes` and filler. */
export function sameBytes(slot: Uint8Array, bytes: Uint8Array): boolean {
  return slot.every((value, index) => value === (bytes[index] ?? FILLER))
}

const SIZES: Readonly<Record<number, string>> = {
  0: '',
  1: 'BYTE PTR ',
  2: 'WORD PTR ',
  4: 'DWORD PTR ',
  6: 'FWORD PTR ',
  8: 'QWORD PTR ',
  10: 'TBYTE PTR ',
  16: 'XMMWORD PTR ',
  32: 'YMMWORD PTR ',
  64: 'ZMMWORD PTR ',
}

function gasMemory(memory: Memory, here: bigint, length: number): string {
  const parts: string[] = []
  if (memory.base !== undefined) parts.push(memory.base.name)
  if (memory.index !== undefined) {
    // 16-bit addresses have no scale, and gas takes none, not even 1.
    parts.push(memory.index.class === 'gp16' ? memory.index.name : `${memory.index.name}*${memory.scale}`)
  }
  const segment = memory.segment === undefined ? '' : `${memory.segment.name}:`
  let disp = memory.disp as bigint
  if (memory.reference === 'rip') {
    parts.push('rip')
    disp -= here + BigInt(length)
  }
  const plain = parts.length === 0 && segment === '' ? 'ds:' : segment
  if (disp !== 0n || parts.length === 0) parts.push(disp.toString())
  return `${SIZES[memory.size]}${plain}[${parts.join('+').replaceAll('+-', '-')}]`
}

/** An operand in the Intel syntax of gas, for an instruction of `length` bytes at `here`. */
export function gasOperand(operand: Operand, here: bigint, length: number): string {
  if (typeof operand === 'number' || typeof operand === 'bigint') return operand.toString()
  if (operand.type === 'target') return `.+${BigInt(operand.target as bigint) - here}`
  switch (operand.type) {
    case 'register':
      return operand.class === 'x87' ? `st(${operand.number})` : operand.name
    case 'masked': {
      const masked = gasOperand(operand.operand, here, length)
      return `${masked}{${operand.mask.name}}${operand.zeroing ? '{z}' : ''}`
    }
    case 'broadcast':
      return `${gasMemory(operand.memory, here, length)}{1to${operand.count}}`
    case 'dfv':
      return formatOperand(operand)
    case 'rounding':
      return operand.mode === 'sae' ? '{sae}' : `{${operand.mode}-sae}`
    case 'memory':
      return gasMemory(operand, here, length)
    case 'far':
      return `${operand.selector}:${operand.offset}`
    default:
      throw new Error(`gas has no ${operand.type}`)
  }
}
