// decode(assemble(form, operands)) is that form with those operands: every code, every mode.
import * as decoder from '@retrap/x86-decoder'
import { TEST_LONG } from '@retrap/tooling/long'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { Assembler, type Memory, type Operand } from '../src/index.ts'
import type { Form, Slot } from '../src/form.ts'
import { formOfCode } from '../src/forms.ts'
import { withoutRounding } from '../src/match.ts'
import { BRANCH_TARGET, Random, randomOperands } from './support/random-operands.ts'

const CASES_PER_FORM = slicedCount(16, 4)
const ADDRESS = 0x1000
/** By `Instruction.rounding`. */
const ROUNDINGS = ['none', 'rn', 'rd', 'ru', 'rz', 'sae']

function signed64(insn: decoder.Instruction, field: 'disp' | 'imm'): bigint {
  const lo = field === 'disp' ? insn.dispLo : insn.immLo
  const hi = field === 'disp' ? insn.dispHi : insn.immHi
  return (BigInt(hi) << 32n) | BigInt(lo >>> 0)
}

/** The effective address of a memory operand, for registers of arbitrary but different values. */
function addressOf(base: number, index: number, scale: number, disp: bigint, bits: number): bigint {
  const value = (register: number): bigint => (register < 0 ? 0n : 0x9e37_79b9_7f4a_7c15n * BigInt(register * 2 + 3))
  return BigInt.asUintN(bits, value(base) + (value(index) << BigInt(scale)) + disp)
}

function memoryDiffers(memory: Memory, insn: decoder.Instruction, mode: number): string | undefined {
  const bits = insn.addressSize
  let base = insn.base
  let disp = signed64(insn, 'disp')
  if (base === decoder.REGISTER_RIP) {
    base = -1
    disp += BigInt(ADDRESS + insn.length)
  }
  const scale = [1, 2, 4, 8].indexOf(memory.scale)
  const expected = addressOf(memory.base?.number ?? -1, memory.index?.number ?? -1, scale, memory.disp as bigint, bits)
  const got = addressOf(base, insn.index, insn.scale, disp, bits)
  if (expected !== got) return `address ${got.toString(16)}, not ${expected.toString(16)}`
  const baseNumber = memory.base?.number
  const usual =
    memory.base?.class === 'gp16' ? (baseNumber === 5 ? 2 : 3) : baseNumber === 4 || baseNumber === 5 ? 2 : 3
  const segment = memory.segment?.number ?? usual
  // In 64-bit mode ES, CS, SS and DS are all flat, whatever is reported.
  if (mode === 64 ? (segment >= 4 || insn.segment >= 4) && segment !== insn.segment : segment !== insn.segment) {
    return `segment ${insn.segment}, not ${segment}`
  }
  return undefined
}

function slotDiffers(
  slot: Slot,
  operand: Operand,
  index: number,
  insn: decoder.Instruction,
  mode: number,
): string | undefined {
  if (typeof operand === 'object' && operand.type === 'masked') {
    if (insn.maskRegister !== operand.mask.number) return `mask k${insn.maskRegister}`
    if (insn.zeroing !== operand.zeroing) return `zeroing ${insn.zeroing}`
    return slotDiffers(slot, operand.operand, index, insn, mode)
  }
  if (typeof operand === 'object' && operand.type === 'broadcast') {
    return insn.broadcast ? memoryDiffers(operand.memory, insn, mode) : 'no broadcast'
  }
  if (typeof operand === 'number' || typeof operand === 'bigint') {
    if (slot.kind === 'one') return undefined
    if (slot.kind === 'relative') {
      const target = BigInt(ADDRESS + insn.length) + signed64(insn, 'imm')
      return target === BigInt(operand) ? undefined : `target ${target}`
    }
    if (slot.kind === 'absolute') return signed64(insn, 'imm') === BigInt(operand) ? undefined : 'another target'
    if (slot.kind === 'nibble')
      return (insn.immLo & 15) === Number(operand) ? undefined : `immediate ${insn.immLo & 15}`
    if (slot.kind !== 'immediate') return `${slot.kind} for a number`
    // The second of two immediates is ENTER's level or a second byte.
    const isSecond = insn.immSize > slot.size && index === (formOfCode(insn.code)?.slots.length ?? 0) - 1
    const value = isSecond ? BigInt(insn.imm2) : signed64(insn, 'imm')
    return BigInt.asUintN(slot.size * 8, value) === BigInt.asUintN(slot.size * 8, BigInt(operand))
      ? undefined
      : `immediate ${value}, not ${operand}`
  }
  if (operand.type === 'register') {
    const number = decoder.operandRegister(insn, index)
    const wanted = operand.class === 'gp8High' ? operand.number + 32 : operand.number
    return number === wanted ? undefined : `register ${number}, not ${operand.name}`
  }
  if (operand.type === 'far') {
    const offset = signed64(insn, 'imm')
    return offset === operand.offset && BigInt(insn.imm2) === operand.selector
      ? undefined
      : `far ${insn.imm2}:${offset}`
  }
  if (operand.type === 'dfv') return insn.imm2 === operand.bits ? undefined : `flags ${insn.imm2}`
  if (operand.type !== 'memory') return `unexpected ${operand.type}`
  if (!decoder.operandIsMemory(insn, index)) return 'not memory'
  if (slot.kind === 'implied') return undefined
  if (slot.kind === 'moffs') return signed64(insn, 'disp') === operand.disp ? undefined : 'another offset'
  return memoryDiffers(operand, insn, mode)
}

const WITHOUT_MPX = decoder.decoderOptions({
  features: new Set(decoder.codes.map(({ feature }) => feature).filter((name) => name !== 'MPX')),
})

function differs(form: Form, given: readonly Operand[], bytes: Uint8Array, mode: 16 | 32 | 64): string | undefined {
  const insn = new decoder.Instruction()
  // 0F 1A and 0F 1B are no-operations where there is no MPX.
  const isBounds = form.alias && form.map === 1 && (form.opcode === 0x1a || form.opcode === 0x1b)
  const status = decoder.decodeInto(bytes, 0, bytes.length, isBounds ? mode | WITHOUT_MPX : mode, insn)
  if (status !== decoder.DECODED) return `status ${status}, reason ${insn.reason}`
  if (insn.length !== bytes.length) return `length ${insn.length}`
  // Reserved no-operations (0F 18 to 0F 1F) overlap with the hints in their space, which stand above them in the table.
  const decoded = formOfCode(insn.code)
  if (form.alias && form.mnemonic === 'NOP' && decoded?.opcode === form.opcode && decoded.map === 1) return undefined
  if (insn.code !== form.code) return `code ${decoder.codes[insn.code]?.form}`
  const found = given.find((operand) => typeof operand === 'object' && operand.type === 'rounding')
  const rounding = found?.mode ?? 'none'
  const operands = withoutRounding(given)
  if (insn.rounding !== ROUNDINGS.indexOf(rounding)) return `rounding ${insn.rounding}`
  if (
    insn.maskRegister !== 0 &&
    !operands.some((operand) => typeof operand === 'object' && operand.type === 'masked')
  ) {
    return `mask k${insn.maskRegister}`
  }
  for (const [index, slot] of form.slots.entries()) {
    const operand = operands[index]
    const difference = operand === undefined ? 'no operand' : slotDiffers(slot, operand, index, insn, mode)
    if (difference !== undefined) return `operand ${index}: ${difference}`
  }
  return undefined
}

describe('what is assembled decodes to the same form and operands', () => {
  test.each([16, 32, 64] as const)('in %i-bit mode', { timeout: 60_000 }, (mode) => {
    const random = new Random(0xdec0de + mode)
    const wrong: string[] = []
    const never: string[] = []
    let compared = 0
    for (let code = 1; code < decoder.codes.length; code++) {
      const form = formOfCode(code) as Form
      if (form.sizing[mode] === undefined) continue
      let written = 0
      for (let index = 0; index < CASES_PER_FORM; index++) {
        const operands = randomOperands(form, mode, random).map((operand) =>
          operand === BRANCH_TARGET ? ADDRESS + 64 : operand,
        )
        const asm = new Assembler({ bits: mode, address: ADDRESS })
        try {
          asm.form(code, ...operands)
        } catch (error) {
          // AH with REX; an address size that the form has not; MOV to CS; LWPINS with all prefixes.
          if (/REX prefix|no such form|must differ|cs cannot be loaded|longer than 15/.test(String(error))) continue
          throw error
        }
        written++
        const program = asm.assemble()
        const difference = differs(form, operands, program.bytes, mode)
        if (difference !== undefined)
          wrong.push(`${decoder.codes[code]?.form}: ${program.listing().split('\n')[1]}: ${difference}`)
        compared++
      }
      if (written === 0) never.push(decoder.codes[code]?.form ?? '')
    }
    expect(wrong.slice(0, 30)).toEqual([])
    // Of few cases, all may have registers that must differ and do not.
    if (TEST_LONG) expect(never).toEqual([])
    expect(compared).toBeGreaterThan(TEST_LONG ? 10_000 : 5000)
  })
})
