/** Words and marks around the operands that the syntaxes share: prefixes, masks, rounding, sizes that nothing else shows. */
import type { CodeInfo } from './code-info.ts'
import type { MemoryOperand, Operand } from './decode.ts'
import type { Instruction } from './instruction.ts'
import * as K from './kinds.ts'
import { OperandKind } from './kinds.ts'
import { displacementField } from './fields.ts'
import { segmentRegisterName } from './registers.ts'
import { commonWriting } from './table/writing.ts'
import type { LineWriter } from './line-writer.ts'

const lowerCase: Map<string, string> = /*#__PURE__*/ new Map()

/** Returns a mnemonic in lower case. Cached, because there are few. */
function lowerCaseMnemonic({ mnemonic }: CodeInfo): string {
  let text = lowerCase.get(mnemonic)
  if (text === undefined) {
    text = mnemonic.toLowerCase()
    lowerCase.set(mnemonic, text)
  }
  return text
}

/** How an instruction is written: words of a table of `table/writing.ts`, with their values. */
type Writing = ReadonlyMap<string, string>

const NOTHING: Writing = /*#__PURE__*/ new Map()

/** Returns the look-up in tables of how instructions are written, which are read when the first instruction is asked for. */
export function writingIn(...tables: readonly string[]): (info: CodeInfo) => Writing {
  let known: Map<string, Map<string, string>> | undefined
  const read = (): Map<string, Map<string, string>> => {
    const writings = new Map<string, Map<string, string>>()
    for (const line of tables.join('').split('\n')) {
      const [words = '', mnemonics = ''] = line.split(/ {2,}/)
      for (const mnemonic of mnemonics.split(' ')) {
        const writing = writings.get(mnemonic) ?? new Map<string, string>()
        writings.set(mnemonic, writing)
        for (const word of words.split(' ')) writing.set(word.replace(/=.*/, ''), word.replace(/^\w+=?/, ''))
      }
    }
    return writings
  }
  return ({ mnemonic }) => (known ??= read()).get(mnemonic) ?? NOTHING
}

/** Returns the name of an instruction that is written so. */
export const nameOf = (info: CodeInfo, writing: Writing): string => writing.get('name') ?? lowerCaseMnemonic(info)

/** Words that all syntaxes write alike. */
export const commonOf: (info: CodeInfo) => Writing = /*#__PURE__*/ writingIn(commonWriting)

/** A prefix of the address size that no operand shows: that of LOOP's counter. */
export function hasHiddenAddressSize({ insn, info }: LineWriter): boolean {
  return (insn.prefixes & K.PREFIX_ADDRESS_SIZE) !== 0 && info.addressSize === 0 && commonOf(info).has('counter')
}

/**
 * The operand size in bits if neither operands nor mnemonic show it and it is not the mode's default; otherwise 0. An
 * example is a relative branch whose target is truncated to that size.
 */
export function hiddenOperandSize({ insn, info, operands }: LineWriter): number {
  const { mnemonic } = info
  const first = operands[0]
  const isShown =
    !commonOf(info).has('hidden') &&
    !(first?.kind === 'branch' && info.flow !== 'transaction') &&
    first?.kind !== 'far-pointer' &&
    !(mnemonic === 'PUSH' && first?.kind === 'immediate') &&
    info.operands[0]?.kind !== OperandKind.FIXED_SEGMENT
  if (isShown) return 0
  const usual = info.default64 || info.force64 ? insn.mode : Math.min(insn.mode, 32)
  return insn.operandSize === usual ? 0 : insn.operandSize
}

/** Whether to show a segment prefix before a memory operand: it is present and effective. */
export function hasSegmentPrefix({ insn }: LineWriter, operand: MemoryOperand): boolean {
  return insn.segmentOverride >= 0 && segmentRegisterName(insn.segmentOverride) === operand.segment
}

/** Indexed by `Instruction.rounding`. */
const ROUNDING_WORDS = [undefined, '{rn-sae}', '{rd-sae}', '{ru-sae}', '{rz-sae}', '{sae}'] as const

/** Writes after a memory operand how often its element is repeated, and after the destination its mask; AT&T has a sigil. */
export function writeDecorations(out: LineWriter, operand: Operand, position: number, sigil: '' | '%'): void {
  const { insn } = out
  if (insn.evex === 0) return
  if (operand.kind === 'memory' && operand.broadcast !== 0) out.word('keyword', `{1to${operand.broadcast}}`)
  if (position !== 0 || insn.maskRegister === 0) return
  out.punctuation(`{${sigil}`)
  out.word('register', `k${insn.maskRegister}`)
  out.punctuation('}')
  if (insn.zeroing) out.word('keyword', '{z}')
}

/** Writes the default flags of CCMP and CTEST, which stand before the operands. */
function writeDefaultFlags(out: LineWriter): void {
  const { insn, info } = out
  if (info.condition < 0) return
  const names = ['of', 'sf', 'zf', 'cf'].filter((_, i) => ((insn.imm2 << i) & 8) !== 0)
  out.operandGap()
  out.word('keyword', `{dfv=${names.join()}}`)
}

/** The operand beside which the rounding stands: the last that is no immediate; -1 if there is no rounding. */
function roundedOperand({ insn, operands }: LineWriter): number {
  return insn.rounding === 0 ? -1 : operands.findLastIndex(({ kind }) => kind !== 'immediate')
}

/** Positions of the operands that are written, in Intel's order. The manual writes FCOM ST(i): the table has ST(0) too. */
export function writtenOperands({ operands, info }: LineWriter): number[] {
  const order = operands.map((_, i) => i)
  const isShort = operands.length === 2 && (info.mnemonic === 'FCOM' || info.mnemonic === 'FCOMP')
  if (isShort || info.condition >= 0) order.shift()
  return order
}

/** Writes operands one behind the other. @param write - given the rounding at the operand that it stands beside */
export function writeOperands(
  out: LineWriter,
  order: readonly number[],
  write: (operand: Operand, position: number, rounding: string | undefined) => void,
): void {
  writeDefaultFlags(out)
  const rounding = ROUNDING_WORDS[out.insn.rounding]
  const rounded = roundedOperand(out)
  order.forEach((position, i) => {
    if (i === 0) out.operandGap()
    else out.comma()
    write(out.operands[position]!, position, position === rounded ? rounding : undefined)
  })
}

/** Writes base, index and displacement of an address as a sum. */
export function writeSum(out: LineWriter, { base, index, scale }: MemoryOperand): void {
  const { insn } = out
  if (base !== undefined) out.word('register', base)
  if (index !== undefined) {
    if (base !== undefined) out.sign('+')
    out.word('register', index)
    // 16-bit addresses have no scale. Other addresses always show it, to distinguish base and index.
    if (insn.addressSize !== 16) {
      out.punctuation('*')
      out.add('number', String(scale))
    }
  }
  if (insn.dispSize !== 0) out.field(displacementField)
}

/** An instruction of APX with nothing that its legacy or VEX form cannot say. */
const isPromoted = ({ feature, encoding, evexNd, condition, operation, mnemonic }: CodeInfo): boolean =>
  feature.startsWith('APX_F') && encoding === 'evex' && evexNd !== 1 && condition < 0 && operation === mnemonic

/** Without a mask, broadcast, rounding, 512 bits and registers above 15 VEX says the same. */
function isVexPossible(insn: Instruction, { hasVex, vexL, map, opcode }: CodeInfo): boolean {
  if (!hasVex || insn.evex !== 0 || vexL === 2 || insn.reg > 15 || insn.vvvv > 15) return false
  if (insn.isMemory === 0) return insn.rm < 16
  // VEX shifts by an immediate registers alone.
  const isShift = map === 1 && opcode >= 0x71 && opcode <= 0x73
  return !isShift && (insn.base < 16 || insn.base === K.REGISTER_RIP) && insn.index < 16
}

/** Features whose instructions came to AVX-512 first. */
const SHARED_WITH_EVEX: ReadonlySet<string> = /*#__PURE__*/ new Set(['AVX_VNNI', 'AVX_IFMA', 'AVX_NE_CONVERT'])

const WORTH_A_WORD = K.PREFIX_LOCK | K.PREFIX_REP | K.PREFIX_REPNE | K.PREFIX_SEGMENT
const NO_WORDS: readonly string[] = []

function isElided(elision: CodeInfo['elision'], locked: boolean, rep: boolean): boolean {
  return elision === 'always' || (elision === 'locked' && locked) || (elision === 'release' && rep)
}

/** Returns words for prefixes that change what the instruction does, or that are hints. */
export function prefixWords({ insn, info }: LineWriter): readonly string[] {
  const { prefixes } = insn
  if ((prefixes & WORTH_A_WORD) === 0 && (info.encoding === 'legacy' || info.encoding === 'xop')) return NO_WORDS
  const words: string[] = []
  const repne = (prefixes & K.PREFIX_REPNE_LAST) !== 0
  const rep = !repne && (prefixes & K.PREFIX_REP) !== 0
  const mandatory = info.prefix === 'F2' || info.prefix === 'F3'
  const memory = insn.isMemory !== 0
  if (insn.segmentOverride === 3 && info.flow.startsWith('indirect') && !commonOf(info).has('far')) {
    // Only for near branches: far ones are always tracked.
    words.push('notrack')
  }
  if (!mandatory && (rep || repne)) {
    if (info.repeat === 'rep') words.push(repne ? 'repne' : 'rep')
    else if (info.repeat === 'repe') words.push(repne ? 'repne' : 'repe')
    else if (memory && isElided(info.elision, (prefixes & K.PREFIX_LOCK) !== 0, rep)) {
      words.push(repne ? 'xacquire' : 'xrelease')
    } else if (
      repne &&
      (info.flow === 'branch' || info.flow.endsWith('jump') || info.flow.endsWith('call') || info.mnemonic === 'RET') &&
      !commonOf(info).has('far') &&
      !commonOf(info).has('counter')
    ) {
      words.push('bnd')
    }
  }
  // Before MOV CR0 it is part of CR8's encoding.
  if ((prefixes & K.PREFIX_LOCK) !== 0 && info.lockable) words.push('lock')
  if (insn.noFlags && info.noFlags === 'possible') words.push('{nf}')
  // Without it an assembler takes the shorter legacy or VEX form.
  else if (info.encoding === 'evex' && (isPromoted(info) || isVexPossible(insn, info))) words.push('{evex}')
  // AVX-512 has instructions of the same names, which assemblers prefer.
  if (info.encoding === 'vex' && SHARED_WITH_EVEX.has(info.feature)) words.push('{vex}')
  return words
}
