import { I32, I64, extractLane, numeric, replaceLane, type V128 } from '@retrap/wasm-emitter'
import { OperandKind, type CodeInfo } from '@retrap/x86-decoder'
import { SLOW_STACK } from '../../state/host.ts'
import { R_REG0 } from '../../state/record.ts'
import { FLAGS_ARITHMETIC, FLAGS_SUB } from '../../state/state-layout.ts'
import type { Context, Semantics, SemanticsTable } from '../../semantics/context.ts'
import { checkTarget, control } from '../../semantics/control.ts'
import { flagParts, type FlagParts } from '../../semantics/flag-parts.ts'
import { instructionSemantics } from '../../semantics/index.ts'
import { choose, signExtend, zeroExtend } from '../../semantics/integer.ts'
import { CONDITIONS } from '../../semantics/move.ts'

/**
 * APX: the operations of older instructions with a destination of their own, without flags, or with zeroed upper bits; and the
 * few that are new.
 *
 * Source: Intel APX Architecture Specification.
 */

const RSP = 4
const PAIR_BYTES = 16

/** Writes a register, all of whose upper bits become 0; or memory. */
function writeWhole(c: Context, value: I64): void {
  const size = c.form.operands[0]!.size
  if (c.form.operands[0]!.kind !== 'reg') c.write(0, value)
  else c.f.store('i64.store', c.registerAddress(0), zeroExtend(value, size), 0)
}

/** Changes in the context of an older operation, which is the instruction's own: the next one gets another. */
interface View {
  /** No flags are written. */
  readonly noFlags: boolean
  /** The upper bits of a register that is written become 0. */
  readonly whole: boolean
  /** Operand 0 is the destination, and the operation's own operands follow. */
  readonly destination: boolean
}

/** Has an operation see the operands of a promoted instruction as its own. */
function changeView(c: Context, { noFlags, whole, destination }: View): void {
  const nothing = (): void => undefined
  if (noFlags) {
    const setters = ['flagsAdd', 'flagsSub', 'flagsLogic', 'flagsResult', 'flagsExplicit', 'changeFlags'] as const
    for (const name of setters) c[name] = nothing
  }
  const [sizeOf, kindOf] = [c.sizeOf.bind(c), c.kindOf.bind(c)]
  const [readS, readU] = [c.readS.bind(c), c.readU.bind(c)]
  const write = c.write.bind(c)
  if (whole) {
    c.write = (i, value) => {
      if (kindOf(0) === 'reg') writeWhole(c, value)
      else write(i, value)
    }
  }
  if (!destination) return
  c.sizeOf = (i) => sizeOf(i + 1)
  c.kindOf = (i) => kindOf(i + 1)
  c.readS = (i) => readS(i + 1)
  c.readU = (i) => readU(i + 1)
  c.modify = (_, compute) => writeWhole(c, compute(readS(1)))
}

/**
 * CFCMOVcc: where the condition does not hold, memory is not accessed at all. A register becomes 0 then, or what the first
 * source is if there are two.
 */
function moveConditionally(c: Context, code: number): void {
  const { operands } = c.form
  const holds = c.condition(code)
  const source = operands.length - 1
  if (operands[0]!.kind === 'mem') {
    c.f.if(holds, () => c.write(0, c.readS(1)))
    return
  }
  const value = c.f.local('i64')
  c.f.set(value, operands.length === 3 ? c.readS(1) : I64.of(0))
  c.f.if(holds, () => c.f.set(value, c.readS(source)))
  writeWhole(c, value.get)
}

/** The default flags OF, SF, ZF, CF in bits 3 to 0. PF becomes what CF does, and AF 0. */
function defaultFlags(bits: I64): FlagParts {
  const bit = (i: number): I32 => bits.toI32().shrU(i).and(1)
  return { carry: bit(0), parity: bit(0), adjust: I32.of(0), zero: bit(1), sign: bit(2), overflow: bit(3) }
}

/** EVEX.SC in place of P and NP: always, never. */
const ALWAYS = 10
const NEVER = 11

/** CCMPcc and CTESTcc: the flags of a comparison where the condition holds, else the instruction's default flags. */
function compareConditionally(c: Context, code: number, test: boolean): void {
  const [left, right] = [c.readS(1), c.readS(2)]
  const size = c.sizeOf(1)
  const holds = code === ALWAYS ? I32.of(1) : code === NEVER ? I32.of(0) : c.condition(code)
  const [a, b] = test ? [c.let(left.and(right)), I64.of(0)] : [left, right]
  const result = c.let(signExtend(a.sub(b), size))
  const given = c.let(c.f.loadExpression('i64.load16_u', c.record, R_REG0))
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    from: [a, b, result, given, c.let(holds.toI64U())],
    flags: (x: I64, y: I64, difference: I64, bits: I64, isMet: I64) => {
      const [compared, others] = [flagParts(FLAGS_SUB, x, y, difference), defaultFlags(bits)]
      const pick = (name: 'carry' | 'parity' | 'adjust' | 'zero' | 'sign' | 'overflow'): I32 =>
        choose(isMet.toI32(), compared[name].toI64U(), others[name].toI64U()).toI32()
      return {
        carry: pick('carry'),
        parity: pick('parity'),
        adjust: pick('adjust'),
        zero: pick('zero'),
        sign: pick('sign'),
        overflow: pick('overflow'),
      }
    },
  })
}

/** PUSH2: the register in EVEX.vvvv comes first, and lies higher. */
const pushPair: Semantics = {
  emit: (c) => {
    const at = c.let(c.gprU(RSP, 8).sub(PAIR_BYTES))
    c.requireAligned(at, PAIR_BYTES)
    const both = replaceLane('i64x2.replace_lane', numeric('i64x2.splat', c.readU(1)), 1, c.readU(0))
    c.storeMemory('v128.store', at, PAIR_BYTES, c.let(both), SLOW_STACK)
    c.setGpr(RSP, 8, at)
  },
}

const popPair: Semantics = {
  emit: (c) => {
    const at = c.gprU(RSP, 8)
    c.requireAligned(at, PAIR_BYTES)
    const both: V128 = c.let(c.loadMemory('v128.load', at, PAIR_BYTES, SLOW_STACK))
    c.setGpr(RSP, 8, at.add(PAIR_BYTES))
    c.write(0, extractLane('i64x2.extract_lane', both, 0))
    c.write(1, extractLane('i64x2.extract_lane', both, 1))
  },
}

/** A jump to the 64 bits in the instruction. */
const jumpAbsolute: Semantics = {
  emit: (c) => {
    const target = c.let(c.immediate())
    checkTarget(c, target)
    c.jumpLinear(target)
  },
}

/** Suffixes of conditional compares, by EVEX.SC. */
const SOURCE_CONDITIONS = CONDITIONS.map((suffix, code) => (code === ALWAYS ? 'T' : code === NEVER ? 'F' : suffix))

/** PPX is a hint that a pair of PUSH and POP belongs together. */
export const apx: SemanticsTable = {
  ...Object.fromEntries(
    CONDITIONS.map((suffix, code) => [
      `CFCMOV${suffix}`,
      { direct: true, emit: (c: Context) => moveConditionally(c, code) },
    ]),
  ),
  ...Object.fromEntries(
    SOURCE_CONDITIONS.flatMap((suffix, code) =>
      [false, true].map((test) => [
        `${test ? 'CTEST' : 'CCMP'}${suffix}`,
        { direct: true, emit: (c: Context) => compareConditionally(c, code, test) },
      ]),
    ),
  ),
  PUSHP: control['PUSH']!,
  POPP: control['POP']!,
  PUSH2: pushPair,
  PUSH2P: pushPair,
  POP2: popPair,
  POP2P: popPair,
  JMPABS: jumpAbsolute,
}

/** The operation of an instruction that APX has in EVEX, if it is an older one's or in a table. */
export function promotedSemantics(info: CodeInfo, noFlags: boolean, table: SemanticsTable): Semantics | undefined {
  const own = apx[info.mnemonic]
  if (own !== undefined) return own
  const { operation } = info
  const older = instructionSemantics[operation] ?? table[operation]
  if (older === undefined) return undefined
  const whole = info.evexNd === 1
  // IMUL has had three operands before.
  const destination = whole && info.operands[0]!.kind === OperandKind.VVVV_REG && operation !== 'IMUL'
  return {
    ...older,
    emit: (c) => {
      // Those of VEX need what they need there: moves of masks have a gate.
      if (info.map !== 4) c.requireVex()
      changeView(c, { noFlags, whole, destination })
      older.emit(c)
    },
  }
}
