/**
 * Random programs of APX beside programs of older instructions that do the same: each has the same steps, and other names for its
 * registers.
 */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler, Operand } from '@retrap/x86-assembler'
import type { Rng } from '@retrap/tooling/soak'
import { codes, OperandKind, type CodeInfo, type OperandSpec } from '@retrap/x86-decoder'
import { isOffered } from '../../src/model/feature-table.ts'
import { CONDITIONS } from '../../src/semantics/move.ts'
import { STACK, slowDevice, type BareCpu } from './bare-cpu.ts'
import { handler, runBothWays } from './both-ways.ts'

export const APX_CPU = 'everything'
/** XCR0 with APX. */
export const APX_STATE = 7 | (1 << 19)
const DATA = 0x6_8000
const DEVICE = 0x2_0000
/** No page is there. */
const NOTHING = 0x4000_0000
const OUT = 0x7_0000
const RESUME = 0x7_8000
const FAULTS = 0x7_8010
const COUNT = 0x7_8020
const INDEX_VALUE = 16
const TIMES = 3
const [DE, GP, PF] = [0, 13, 14]

/** RAX, RCX, RDX and RBX, which instructions imply, then those that have other names in APX. */
const OLDER = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 5]
const VALUES = 10
const BASES = [10, 11, 12]
const INDEX = 13
const SCRATCH = 15
const CLASSES = { 1: 'gp8', 2: 'gp16', 4: 'gp32', 8: 'gp64' } as const
type Size = keyof typeof CLASSES

type Names = readonly number[]
/** An operand of a step, as each of the programs names it. */
type Drawn = (names: Names) => Operand

interface Step {
  readonly info: CodeInfo
  readonly noFlags: boolean
  readonly operands: readonly Drawn[]
  /** The flags are stored behind it. */
  readonly isSeen: boolean
  readonly dfv: number
}

const gpr = (number: number, size: number): Operand => x86.registerOf(CLASSES[size as Size], number)!
const scratch = (size: number): Operand => gpr(SCRATCH, size)

const MEMORY: Partial<Record<number, (place: typeof x86.rax, options: x86.MemoryOptions) => Operand>> = {
  ...{ 1: x86.byte, 2: x86.word, 4: x86.dword, 8: x86.qword, 16: x86.xmmword },
}

/** Whether a test draws a code: from the tables of APX, or older ones that REX2 gives further registers. */
export function isDrawn(info: CodeInfo): boolean {
  const { encoding, feature, operands, map, mnemonic } = info
  if (operands.some(({ kind }) => kind >= OperandKind.MASK_REG && kind <= OperandKind.TILE_VVVV)) return false
  if (!isOffered(feature)) return false
  // These take an address from a register, want an MSR first, have tests of their own, or are NOP with some operands.
  const isLeftOut = /^(MOVDIR64B|ENQCMDS?|U(RD|WR)MSR|INVPCID|JMPABS|PUSHP|POPP)$/.test(mnemonic)
  if (isLeftOut || (mnemonic === 'XCHG' && info.opcodeRegister)) return false
  if (encoding === 'evex') return feature.startsWith('APX')
  if (encoding !== 'legacy' || map > 1 || (info.modes & 4) === 0 || !REX2.test(mnemonic)) return false
  return !info.alias && operands.every(({ kind }) => KINDS.has(kind))
}

const REX2 =
  /^(ADC|ADD|AND|BS[FRW].*|CMOV.*|CMP|CMPXCHG.*|DEC|DIV|IDIV|IMUL|INC|LEA|MOV|MOVNTI|MOV[SZ]X.?|MUL|NEG|NOT|OR|[LT]ZCNT|POPCNT|RC[LR]|RO[LR]|S[AH][LR]|SBB|SET.*|SH[LR]D|SUB|TEST|XADD|XCHG|XOR|CVTSI2S[DS]|MOVAPS|MOVD|MOVQ|PADDB|PEXTRW|PINSRW|MOVMSKP[SD])$/
const KINDS: ReadonlySet<number> = new Set([
  ...[OperandKind.REG, OperandKind.RM, OperandKind.RM_REG, OperandKind.MEM, OperandKind.OPCODE_REG, OperandKind.ONE],
  ...[OperandKind.FIXED_REG, OperandKind.IMM8, OperandKind.IMM8_SX, OperandKind.IMM16, OperandKind.IMM32],
  ...[OperandKind.IMM32_SX, OperandKind.IMM64, OperandKind.XMM_REG, OperandKind.XMM_RM, OperandKind.XMM_RM_REG],
])

export const drawnCodes: readonly CodeInfo[] = codes.filter(isDrawn)

const EDGES = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0x7fff_ffffn, 0x8000_0000n, 2n ** 63n, -1n]
const drawValue = (rng: Rng): bigint => BigInt.asUintN(64, rng.chance(1, 3) ? rng.pick(EDGES) : rng.u64())

/** An immediate of so many bits, with a sign or without. */
const drawImmediate = (rng: Rng, bits: number, signed: boolean): Drawn => {
  const drawn = drawValue(rng)
  const value = signed ? BigInt.asIntN(bits, drawn) : BigInt.asUintN(bits, drawn)
  return () => value
}

function drawMemory(rng: Rng, { memorySize }: OperandSpec): Drawn {
  const base = rng.pick([0, 0, 0, 0, 0, 0, 1, 2])
  const disp = 16 * rng.below(8) + (rng.chance(1, 4) ? rng.below(16) : 0)
  const scale = rng.pick([1, 2, 4, 8] as const)
  const isIndexed = rng.chance(1, 3)
  const make = MEMORY[memorySize] ?? x86.ptr
  return (names) =>
    make(x86.registerOf('gp64', names[BASES[base]!]!)!, {
      disp,
      ...(isIndexed && { index: x86.registerOf('gp64', names[INDEX]!)!, scale }),
    })
}

function drawOperand(rng: Rng, spec: OperandSpec, info: CodeInfo): Drawn {
  const inMemory = spec.kind === OperandKind.MEM || (info.memory !== 'never' && rng.chance(1, 2))
  switch (spec.kind) {
    case OperandKind.FIXED_REG:
      return () => gpr(spec.register, spec.size)
    case OperandKind.ONE:
      return () => 1
    case OperandKind.IMM8:
      return drawImmediate(rng, 8, false)
    case OperandKind.IMM8_SX:
      return drawImmediate(rng, 8, true)
    case OperandKind.IMM16:
      return drawImmediate(rng, 16, true)
    case OperandKind.IMM32:
    case OperandKind.IMM32_SX:
      return drawImmediate(rng, 32, true)
    case OperandKind.IMM64:
      return drawImmediate(rng, 64, false)
    case OperandKind.MEM:
    case OperandKind.RM:
    case OperandKind.XMM_RM:
      if (inMemory) return drawMemory(rng, spec)
  }
  const value = rng.below(VALUES)
  const isVector = spec.kind >= OperandKind.XMM_REG && spec.kind <= OperandKind.XMM_RM_REG
  return isVector ? () => x86.registerOf('xmm', value)! : (names) => gpr(names[value]!, spec.size)
}

function drawStep(rng: Rng): Step {
  const info = rng.pick(drawnCodes)
  const dfv = rng.below(16)
  const flags = (['cf', 'zf', 'sf', 'of'] as const).filter((_, i) => ((dfv >> i) & 1) === 1)
  const drawn = info.operands.map((spec): Drawn =>
    spec.kind === OperandKind.DFV ? () => x86.dfv(...flags) : drawOperand(rng, spec, info),
  )
  // The two registers of POP2 must differ.
  const operands = info.distinct ? [(names: Names) => gpr(names[0]!, 8), (names: Names) => gpr(names[5]!, 8)] : drawn
  const noFlags = info.noFlags === 'always' || (info.noFlags === 'possible' && rng.chance())
  return { info, dfv, noFlags: noFlags && info.noFlags === 'possible', operands, isSeen: rng.chance() }
}

const isMemory = (operand: Operand): boolean =>
  typeof operand === 'object' && 'type' in operand && operand.type === 'memory'

/** Emits what APX has one instruction for. */
function emitOlder(asm: Assembler, { info, noFlags, operands: drawn, dfv }: Step, i: number): void {
  const [end, other] = [asm.label(`end${i}`), asm.label(`other${i}`)]
  const operands = drawn.map((operand) => operand(OLDER))
  const [first, second, third] = operands as [Operand, Operand, Operand]
  const { mnemonic } = info
  const size = info.operands[0]!.size
  const suffix = /^(?:CFCMOV|SETZU|CCMP|CTEST)(.*)$/.exec(mnemonic)?.[1]
  const skipped = (): string => `j${CONDITIONS[CONDITIONS.indexOf(suffix as 'O') ^ 1]!}`
  /** Gives the destination what the scratch register has. */
  const give = (): void => {
    if (size < 4) asm.instruction('movzx', gpr(numberOf(first), 4), scratch(size))
    else asm.instruction('mov', first, scratch(size))
  }
  if (noFlags) asm.pushfq()
  if (suffix !== undefined && mnemonic.startsWith('CFCMOV')) {
    const [from, otherwise] = operands.length === 3 ? [third, second] : [second, 0]
    if (isMemory(first)) asm.instruction(skipped(), end).instruction('mov', first, from)
    else {
      asm.instruction('mov', scratch(size), otherwise).instruction(skipped(), other)
      asm.instruction('mov', scratch(size), from).bind(other)
      give()
    }
  } else if (suffix !== undefined && mnemonic.startsWith('SETZU')) {
    const to = isMemory(first) ? first : scratch(1)
    asm.instruction(`set${suffix}`, to)
    if (to !== first) give()
  } else if (suffix !== undefined) {
    const width = info.operands[1]!.size
    const compared = [second, third].map((operand) => {
      if (!isMemory(operand)) return operand
      asm.instruction('mov', scratch(width), operand)
      return scratch(width)
    })
    if (suffix === 'F') asm.jmp(other)
    else if (suffix !== 'T') asm.instruction(skipped(), other)
    asm.instruction(mnemonic.startsWith('CCMP') ? 'cmp' : 'test', ...compared).jmp(end)
    const [cf, zf, sf, of] = [0, 1, 2, 3].map((i) => (dfv >> i) & 1) as [number, number, number, number]
    asm.bind(other).push(2 | (5 * cf) | (zf << 6) | (sf << 7) | (of << 11))
    asm.popfq()
  } else if (/^(PUSH|POP)2/.test(mnemonic)) {
    const name = mnemonic
      .slice(0, -1)
      .replace('2', '')
      .toLowerCase()
      .replace(/^(push|pop).*/, '$1')
    asm.instruction(name, first).instruction(name, second)
  } else if (mnemonic === 'IMULZU') {
    asm.instruction('imul', scratch(size), second, third)
    give()
  } else if (info.evexNd === 1) {
    asm.instruction('mov', scratch(size), second).instruction(mnemonic, scratch(size), ...operands.slice(2))
    give()
  } else if (info.encoding === 'legacy') asm.form(info.code, ...operands)
  else asm.instruction(mnemonic, ...operands)
  asm.bind(end)
  if (noFlags) asm.popfq()
}

const numberOf = (operand: Operand): number => (operand as { readonly number: number }).number

function emit(asm: Assembler, names: Names, start: readonly bigint[], steps: readonly Step[]): void {
  for (const [i, value] of start.entries()) asm.mov(gpr(names[i]!, 8) as typeof x86.rax, value)
  for (const [i, at] of [DATA, DEVICE, NOTHING, INDEX_VALUE].entries())
    asm.mov(gpr(names[VALUES + i]!, 8) as typeof x86.rax, at)
  asm.mov(x86.dword(COUNT), TIMES)
  const next = asm.here('next')
  for (const [i, step] of steps.entries()) {
    const { info, noFlags, operands, isSeen } = step
    const after = asm.label(`after${i}`)
    const pair = /^(PUSH|POP)2/.exec(info.mnemonic)?.[1]
    if (info.memory !== 'never' || /DIV/.test(info.mnemonic))
      asm.lea(x86.r15, x86.qword(x86.rip(after))).mov(x86.qword(RESUME), x86.r15)
    if (pair === 'POP') asm.push(x86.rcx).push(x86.rbx)
    if (names === OLDER) emitOlder(asm, step, i)
    else (noFlags ? asm.nf() : asm).form(info.code, ...operands.map((operand) => operand(names)))
    asm.bind(after)
    for (let word = pair === 'PUSH' ? 2 : 0; word > 0; word--) asm.pop(x86.r15).mov(x86.qword(OUT + 8 * word), x86.r15)
    if (isSeen)
      asm
        .pushfq()
        .pop(x86.r15)
        .mov(x86.qword(OUT + 0x100 + 8 * i), x86.r15)
  }
  for (let i = 0; i < VALUES; i++) asm.mov(x86.qword(OUT + 0x20 + 8 * i), gpr(names[i]!, 8) as typeof x86.rax)
  for (let i = 0; i < VALUES; i++) asm.movups(x86.xmmword(OUT + 0x800 + 16 * i), x86.registerOf('xmm', i)!)
  asm.dec(x86.dword(COUNT)).jnz(next).hlt()
}

function prepare(pc: BareCpu): void {
  pc.enableState(APX_STATE)
  pc.host.devices.set(DEVICE >>> 12, slowDevice())
  for (const vector of [DE, GP, PF])
    handler(pc, vector, (asm) => {
      if (vector !== DE) asm.pop(x86.r15).add(x86.qword(FAULTS), x86.r15)
      asm.mov(x86.r15, x86.cr2).add(x86.qword(FAULTS + 8), x86.r15)
      asm.mov(x86.r15, x86.qword(RESUME)).mov(x86.qword(x86.rsp), x86.r15)
      asm
        .mov(x86.r15, STACK)
        .mov(x86.qword(x86.rsp, { disp: 24 }), x86.r15)
        .iretq()
    })
}

/**
 * Runs a random program and its equal, each interpreted and compiled.
 *
 * @returns what each has left in memory and at the device
 */
export function runEquals(rng: Rng, count: number): readonly unknown[] {
  const pool = Array.from({ length: 27 }, (_, i) => i + 5).filter((number) => number !== SCRATCH)
  const names = OLDER.map((number, i) => (i < 4 ? number : pool.splice(rng.below(pool.length), 1)[0]!))
  const start = Array.from({ length: VALUES }, () => drawValue(rng))
  const steps = Array.from({ length: count }, () => drawStep(rng))
  rng.note('steps', () => steps.map(({ info, noFlags }) => info.form + (noFlags ? ' {nf}' : '')).join('; '))
  rng.note('names', names.join(' '))
  return [OLDER, names].map((each) => {
    const [pc] = runBothWays({ cpu: APX_CPU, code: (asm) => emit(asm, each, start, steps), prepare })
    const words = [
      [DATA - 0x40, DATA + 0x200],
      [OUT, OUT + 0x1000],
      [FAULTS, FAULTS + 16],
    ].flatMap(([from, to]) =>
      Array.from(
        { length: (to! - from!) / 8 },
        (_, i) => `${(from! + 8 * i).toString(16)}: ${pc.read64(from! + 8 * i).toString(16)}`,
      ),
    )
    return { words, seen: pc.host.seen }
  })
}
