import { OperandKind, codes, type CodeInfo } from '@retrap/x86-decoder'
import * as host from './interpreted.ts'

/** Cases for one form: what is encoded, and the states it starts from. */

/** An encodable form: a row of the decoder's table with its ModRM naming a register or memory. */
export interface Subject {
  readonly info: CodeInfo
  readonly memory: boolean
  /** Bytes of the memory operand. */
  readonly memorySize: number
  readonly writesMemory: boolean
  readonly mmx: boolean
  readonly xmm: boolean
  readonly name: string
}

const MEMORY_KINDS: ReadonlySet<number> = new Set([
  OperandKind.RM,
  OperandKind.MEM,
  OperandKind.MMX_RM,
  OperandKind.XMM_RM,
])

export function subjects(): Subject[] {
  const found: Subject[] = []
  for (const info of codes) {
    if (!host.isInteger(info)) continue
    const spec = info.operands.find((o) => MEMORY_KINDS.has(o.kind))
    const isMmx = (kind: number): boolean => kind >= OperandKind.MMX_REG && kind <= OperandKind.MMX_RM_REG
    const isXmm = (kind: number): boolean => kind >= OperandKind.XMM_REG && kind <= OperandKind.XMM_RM_REG
    for (const memory of [true, false]) {
      if (info.memory === (memory ? 'never' : 'only') || (memory && spec === undefined)) continue
      // A vector that can be in memory is a register only where it is not.
      const registers = info.operands.filter((o) => !memory || o !== spec)
      found.push({
        info,
        memory,
        memorySize: memory ? (spec?.memorySize ?? 0) : 0,
        writesMemory: memory && spec?.access === 'w',
        mmx: info.mnemonic === 'EMMS' || registers.some((o) => isMmx(o.kind)),
        xmm: registers.some((o) => isXmm(o.kind)),
        name: `${info.form}${memory ? ', memory' : ''}`,
      })
    }
  }
  return found
}

/** A small generator, so that a failure can be run again (xorshift32). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 1
  }
  word(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }
  below(limit: number): number {
    return this.word() % limit
  }
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

/** All but RBX, RSP, RBP and R15, which the harness needs. */
const GENERAL = [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14]
function registerOf(random: Random, kind: number): number {
  if (kind === OperandKind.REG || kind === OperandKind.RM || kind === OperandKind.RM_REG) return random.pick(GENERAL)
  if (kind === OperandKind.MMX_REG || kind === OperandKind.MMX_RM || kind === OperandKind.MMX_RM_REG)
    return random.below(8)
  return random.below(16)
}

const IN_REG: ReadonlySet<number> = new Set([OperandKind.REG, OperandKind.MMX_REG, OperandKind.XMM_REG])

/** The instruction's bytes, with registers, displacement and immediate at random. */
export function encode(subject: Subject, random: Random, displacement: number): number[] {
  const { info, memory } = subject
  const bytes: number[] = []
  if (info.prefix === '66' || info.prefix === 'F3' || info.prefix === 'F2') bytes.push(Number.parseInt(info.prefix, 16))
  let rex = info.sizeClass === 'y' && info.operandSize === 64 ? 0x48 : 0
  let reg = info.extension
  let rm = memory ? 3 : -1
  for (const { kind } of info.operands) {
    const register = registerOf(random, kind)
    if (IN_REG.has(kind)) reg = register
    else if (rm < 0 && kind !== OperandKind.XMM_FIXED) rm = register
  }
  if (reg >= 8) rex |= 0x44
  if (rm >= 8) rex |= 0x41
  if (rex !== 0) bytes.push(rex)
  bytes.push(0x0f)
  if (info.map === 2) bytes.push(0x38)
  if (info.map === 3) bytes.push(0x3a)
  bytes.push(info.opcode)
  if (info.modrm) {
    if (memory) bytes.push(0x40 | ((reg & 7) << 3) | 3, displacement)
    else bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7))
  }
  if (info.operands.some((o) => o.kind === OperandKind.IMM8)) {
    // Mostly what selects something: shift counts, lanes, controls.
    bytes.push(random.below(3) === 0 ? random.below(256) : random.below(72))
  }
  return bytes
}

/** Writes a state by chance. */
export function writeCase(random: Random, view: DataView): void {
  for (let at = 0; at < host.CASE_BYTES; at += 4) view.setUint32(at, random.word(), true)
  view.setUint16(host.FX_FCW, 0x37f, true)
  view.setUint16(host.FX_FSW, random.below(8) << 11, true)
  view.setUint32(host.FX_MXCSR, 0x1f80, true)
  // Arithmetic flags only; IF and the fixed bit as they are in a process.
  view.setUint32(host.CASE_FLAGS, (random.word() & 0x8d5) | 0x202, true)
}
