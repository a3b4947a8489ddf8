import { OperandKind, PREFIX_REP, PREFIX_REPNE, codes, operandRegister, type CodeInfo } from '@retrap/x86-decoder'
import { isOffered } from '../../src/model/feature-table.ts'
import { encode, modesOf, type Encoding } from './encode.ts'
import type { Mode } from './layout.ts'
import type { NativeCpu } from './native.ts'
import type { Choice } from './random.ts'

/** Instructions that set flags, all of which are defined, or whose undefined ones are known for certain. */
const PRODUCERS =
  /^(ADD|SUB|ADC|SBB|CMP|NEG|INC|DEC|AND|OR|XOR|TEST|SHL|SHR|SAR|ROL|ROR|RCL|RCR|IMUL|MUL|BT|POPCNT|XADD|CLC|STC|CMC|SAHF|ANDN|BLSR|BZHI|TZCNT|ADCX|ADOX)$/
/** Instructions that depend on them. */
const CONSUMERS =
  /^(SET|CMOV|J(?![A-Z]*CXZ|MP))[A-Z]+$|^(ADC|SBB|RCL|RCR|LAHF|CMC|INC|DEC|ADCX|ADOX|PUSHF[DQ]?|LOOPN?E|SALC)$/
/** Instructions that leave them alone. */
const BYSTANDERS = /^(MOV|MOVZX|MOVSX|MOVSXD|LEA|XCHG|NOT|PUSH|POP|CDQE|CWDE|CDQ|NOP|MULX|RORX|SHLX)$/
const SHIFTS = /^(SHL|SHR|SAR|ROL|ROR|RCL|RCR)$/
const FLAG_OF = 0x800
const FLAG_AF = 0x10
const FLAG_CF = 1
const RSP = 4

/** Several instructions one after the other. */
export interface Sequence extends Encoding {
  readonly instructions: readonly Encoding[]
  /** Flags that are undefined after them all. */
  readonly undefinedAfter: number
  readonly undefinedOnTheWay: number
}

function usable(info: CodeInfo): boolean {
  if (
    !isOffered(info.feature) ||
    info.privileged ||
    info.alias ||
    (info.operandSize === 0 && !/^(CLC|STC|CMC|SAHF|LAHF|SALC)$/.test(info.mnemonic))
  )
    return false
  // Registers, immediates and branches: one instruction at most has a memory operand.
  return !info.operands.some((o) =>
    [
      OperandKind.SEGMENT_REG,
      OperandKind.FIXED_SEGMENT,
      OperandKind.CONTROL_REG,
      OperandKind.DEBUG_REG,
      OperandKind.MOFFS,
    ].includes(o.kind as never),
  )
}

const pool = (names: RegExp): readonly CodeInfo[] => codes.filter((info) => names.test(info.mnemonic) && usable(info))
const producers = pool(PRODUCERS)
const consumers = pool(CONSUMERS)
const bystanders = pool(BYSTANDERS)

/** Whether an instruction that writes flags changes none: SHLD and SHRD by 0, a comparison of nothing. `undefined`: by its operands. */
function mayChangeNothing(info: CodeInfo, insn: Encoding['insn']): boolean | undefined {
  if (/^SH[LR]D$/.test(info.mnemonic))
    return info.operands.at(-1)?.register === 1 ? undefined : (insn.immLo & (info.operandSize === 64 ? 63 : 31)) === 0
  return info.repeat === 'repe' && (insn.prefixes & (PREFIX_REP | PREFIX_REPNE)) !== 0 ? undefined : false
}

/** Flags that are undefined after an instruction that found `before` of them undefined. */
export function undefinedAfter({ info, insn }: Encoding, before: number): number {
  const { mnemonic } = info
  // By CL: the count may be zero, one, or beyond the operand. CF of SHL and SHR is undefined by the size or more.
  if (SHIFTS.test(mnemonic)) {
    const rotation = mnemonic.startsWith('R')
    const last = info.operands.at(-1)
    const count = last?.register === 1 ? -1 : last?.size === 0 ? 1 : insn.immLo & (info.operandSize === 64 ? 63 : 31)
    if (count === 0) return before
    const kept = rotation ? before & ~(count > 0 ? FLAG_CF : 0) : count > 0 ? 0 : before
    const overflow = count === 1 ? 0 : FLAG_OF
    const carry = !rotation && (count < 0 || count >= info.operandSize) ? FLAG_CF : 0
    return (count === 1 ? kept & ~FLAG_OF : kept) | overflow | carry | (rotation ? 0 : FLAG_AF)
  }
  const isUnchanged = mayChangeNothing(info, insn)
  if (isUnchanged === true) return before
  return (isUnchanged === undefined ? before : before & ~info.flagsWritten) | info.flagsUndefined
}

function isMemory({ insn }: Encoding): boolean {
  return insn.isMemory !== 0
}

/** Whether a register that later addresses depend on is written. */
function writesStackPointer({ info, insn }: Encoding): boolean {
  return info.operands.some(
    (o, i) => o.access !== 'r' && operandRegister(insn, i) === RSP && o.kind !== OperandKind.XMM_REG,
  )
}

/**
 * A producer of flags, perhaps others, and a consumer.
 *
 * @param at - where the first instruction lies
 * @param host - what it will run on
 */
export function randomSequence(random: Choice, mode: Mode, at: number, host: NativeCpu): Sequence | undefined {
  const instructions: Encoding[] = []
  let undefinedFlags = 0
  let undefinedOnTheWay = 0
  let end = at
  const add = (from: readonly CodeInfo[]): boolean => {
    for (let attempt = 0; attempt < 40; attempt++) {
      const info = random.pick(from)
      if (!modesOf(info).includes(mode) || !host.has(info.feature) || (info.flagsRead & undefinedFlags) !== 0) continue
      const encoding = encode(random, info, mode, end, host.modes)
      if (encoding === undefined || writesStackPointer(encoding)) continue
      // Its address is made of registers that must still hold what they were given.
      if (isMemory(encoding) && instructions.length > 0) continue
      instructions.push(encoding)
      undefinedFlags = undefinedAfter(encoding, undefinedFlags)
      undefinedOnTheWay |= undefinedFlags
      end += encoding.bytes.length
      return true
    }
    return false
  }
  const others = random.below(3)
  if (!add(producers)) return undefined
  for (let i = 0; i < others; i++)
    if (!add(random.pick([producers, bystanders, bystanders, consumers.filter((c) => c.flow === 'next')])))
      return undefined
  if (!add(consumers)) return undefined
  const [first] = instructions
  if (first === undefined) return undefined
  const bytes = Uint8Array.from(instructions.flatMap((i) => [...i.bytes]))
  return { ...first, bytes, instructions, undefinedAfter: undefinedFlags, undefinedOnTheWay }
}
