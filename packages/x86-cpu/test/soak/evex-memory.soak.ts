/**
 * Memory operands of instructions with EVEX beside registers that hold the same bytes: `npm run -s soak -- evex-memory`. A step is
 * twelve forms; the default count is all of them. Each form runs under masks of all kinds, its operand aligned or not, at the end
 * of a page and over it, where the next page is there or not; interpreted and compiled, with the TLB empty and filled. A form
 * without a register is compared with itself in one aligned place. Bytes that the mask leaves out must not fault, and all others
 * must: SDM vol. 2A, "Exception Classifications of EVEX-Encoded Instructions".
 */
import { loadInstructions } from '@retrap/x86-cpu'
import { OperandKind, type CodeInfo } from '@retrap/x86-decoder'
import { EAGER_JIT } from '@retrap/tooling/jit'
import type { Soak } from '@retrap/tooling/soak'
import { formOf } from '../../src/extended/evex/form.ts'
import * as evex from '../simd/evex-cases.ts'

const CPU = 'everything,+avx10_1,+avx10_2'
const FORMS = 12
/** Rounds after which a loop is compiled. */
const ROUNDS = 4
/** The operand is at RBX - 64; elements that a vector of indices names are at RBX - 128 and up. */
const [OPERAND, INDEXED] = [64, 128]
const OPERAND_AT = evex.MEMORY + evex.MEMORY_BYTES - OPERAND
const RCX = 1
/** ZF and PF, which the end of the loop sets. */
const END_FLAGS = 0x46n
/** Instructions that need their operand aligned. */
const ALIGNED = /^VMOV(AP[SD]|DQA|NT)/
const VECTOR = {
  memory: true,
  long: true,
  addressSize: 0,
  repeat: 'none',
  inPage: 'no',
  noFlags: false,
  lock: false,
} as const

const codes = evex
  .evexCodes((feature) => !/^AVX512(PF|ER|_4)/.test(feature))
  .filter(({ encoding, memory }) => encoding === 'evex' && memory !== 'never')
/** The default count of steps: each form once. */
export const STEPS: number = Math.ceil(codes.length / FORMS)

let interpreted: evex.OurProcessor
let compiled: evex.OurProcessor
let [outcomes, faults] = [0, 0]

const isIndexed = ({ operands }: CodeInfo): boolean => operands.some(({ kind }) => kind === OperandKind.VSIB)
const KINDS: readonly OperandKind[] = [OperandKind.XMM_RM, OperandKind.MEM, OperandKind.RM]
const operandOf = ({ operands }: CodeInfo): number => operands.findIndex(({ kind }) => KINDS.includes(kind))

/** Whether LAHF behind an instruction has not been executed. */
const isFaulted = (image: Uint8Array): boolean => image[evex.GENERAL + 1] === 0

/** The number of the register in ModRM.reg, or in EVEX.vvvv. */
function numberOf(isVvvv: boolean, image: Uint8Array): number {
  const [p0 = 0, p1 = 0, p2 = 0, , modrm = 0] = image.subarray(evex.CODE_AT + 2)
  return isVvvv ? ((~p1 >> 3) & 15) | ((~p2 & 8) << 1) : (~p0 & 16) | ((~p0 >> 4) & 8) | ((modrm >> 3) & 7)
}

/** A state with the code of another. */
function withCode(state: Uint8Array, code: Uint8Array): Uint8Array {
  const out = Uint8Array.from(state)
  out.set(code.subarray(evex.CODE_AT, evex.MEMORY), evex.CODE_AT)
  return out
}

type Pair = ReturnType<typeof pairOf>

/** Draws a form with its operand at RBX - 64, and the same with a register where that exists: a vector, or RCX. */
function pairOf(info: CodeInfo, random: evex.Random) {
  const bytes = evex.encode(info, random, true)
  const indexed = isIndexed(info)
  const [, p0 = 0, , p2 = 0, , modrm = 0] = bytes
  const from = indexed ? -INDEXED : -OPERAND
  for (let i = 0; i < 4; i++) bytes[(indexed ? 7 : 6) + i] = (from >> (8 * i)) & 0xff
  const memory = evex.randomCase(bytes, random, false)
  const view = new DataView(memory.buffer)
  // Indices are small, and so is what a scatter stores.
  if (indexed) for (let at = 0; at < evex.MASKS; at += 8) view.setBigUint64(at, BigInt(random(8)), true)
  // LAHF changes AH: whether an instruction has gone on is to be seen there.
  view.setBigUint64(evex.GENERAL, 0n, true)
  view.setUint32(evex.MXCSR, random(2) === 0 ? 0x1fa0 : view.getUint32(evex.MXCSR, true) | 0x1f80, true)
  const operand = info.operands[operandOf(info)]
  const isRepeated = (p2 & 16) !== 0
  // Bytes of the operand in memory, or of the element that is repeated.
  const size = isRepeated ? info.broadcast : (operand?.memorySize ?? 0)
  const given = { info, form: formOf(info, VECTOR)!.evex!, memory, size, isRepeated, mask: p2 & 7 }
  if (info.memory === 'only') return { ...given, register: undefined, registerAt: 0 }
  // A vector that is not another operand.
  const isGeneral = operand!.kind === OperandKind.RM
  const others = [numberOf(false, memory), numberOf(true, memory)]
  const rm = isGeneral ? RCX : [31, 30, 29].find((number) => !others.includes(number))!
  const changed = [...bytes.slice(0, 5), 0xc0 | (modrm & 0x38) | (rm & 7), ...bytes.slice(10)]
  changed[1] = (p0 & 0x9f) | (isGeneral ? 0x60 : ((~rm & 8) << 2) | ((~rm & 16) << 2))
  changed[3] = p2 & ~16
  const [registerAt, whole] = isGeneral ? [evex.GENERAL + 8 * RCX, 8] : [64 * rm, 64]
  for (let i = 0; i < whole; i++) memory[registerAt + i] = memory[OPERAND_AT + (i % size)]!
  const register = Uint8Array.from(memory)
  register.set([changed.length, ...changed], evex.CODE_AT)
  return { ...given, register, registerAt }
}

/** Compares a result under a mask with that without one: its elements, or what was there before, or zeros. */
function isBlended(pair: Pair, plain: Uint8Array, bits: bigint, after: Uint8Array): boolean {
  const { info, form, memory, registerAt, mask } = pair
  const { kind } = info.operands[0]!
  if (info.masking === 'none') return true
  const isOut = (i: number): boolean => mask !== 0 && ((bits >> BigInt(i)) & 1n) === 0n
  const number = numberOf(kind === OperandKind.XMM_VVVV, memory)
  if (kind === OperandKind.MASK_REG) {
    const at = evex.MASKS + 8 * number
    const [one, other] = [plain, after].map((image) => new DataView(image.buffer).getBigUint64(at, true))
    return other === (mask === 0 ? one : one! & bits)
  }
  const at = kind === OperandKind.XMM_RM ? registerAt : 64 * number
  const bytes = form.elementBytes[0]!
  const left = memory[evex.CODE_AT + 4]! > 127 ? 0 : -1
  return plain.subarray(at, at + 64).every((byte, i) => {
    const isBefore = i < form.elements * bytes && isOut(Math.floor(i / bytes))
    return after[at + i] === (isBefore ? memory[at + i]! & left : byte)
  })
}

/** Bytes from the operand's beginning up to the last that must be accessed under a mask. */
function neededBytes({ info, form, size, isRepeated, mask }: Pair, bits: bigint): number {
  const { elements, elementBytes, isScalar, isPaired, isRepeated: isEach } = form
  if (mask === 0 || info.masking === 'none' || !info.faultSuppression) return size
  const bytes = elementBytes[isEach ? 0 : operandOf(info)]!
  const all = Array.from({ length: isPaired ? elements / 2 : elements }, (_, i) => i)
  const used = all.filter((i) => ((bits >> BigInt(i)) & 1n) !== 0n).map((i) => (isEach ? i % (size / bytes) : i))
  if (used.length > 0 && (isRepeated || isScalar)) return size
  return bytes * (/COMPRESS|EXPAND/.test(info.mnemonic) ? used.length : Math.max(-1, ...used) + 1)
}

/** The state after the form with a register, as it is after the form with memory. */
function translated({ info, register, registerAt, size }: Pair, state: Uint8Array, after: Uint8Array): Uint8Array {
  const out = withCode(after, state)
  if (register === undefined || operandOf(info) !== 0 || info.operands[0]!.access === 'r') return out
  out.set(after.subarray(registerAt, registerAt + size), OPERAND_AT)
  out.set(state.subarray(registerAt, registerAt + (registerAt < evex.MASKS ? 64 : 8)), registerAt)
  return out
}

/** Runs one form everywhere; returns how it differs. */
function compare(pair: Pair, random: evex.Random): string | undefined {
  const { info, form, memory, register = memory, size, mask } = pair
  const over = evex.END + (isIndexed(info) ? INDEXED - random(64) : OPERAND - Math.max(1, random(size)))
  const free = evex.END - 0x200
  const ends = [free, free + random(64), evex.END + OPERAND - size, over]
  const bytes = Math.max(1, ...form.elementBytes.filter((count) => count > 0))
  const low = (1n << BigInt(Math.floor((evex.END + OPERAND - over) / bytes))) - 1n
  const drawn = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
  // The last ones have the elements that are in the first page, and the others.
  const states = [0n, ~0n, 1n << BigInt(random(form.elements + 1)), drawn, low, ~low].map((any) => {
    const [bits, state] = [BigInt.asUintN(64, any), Uint8Array.from(memory)]
    new DataView(state.buffer).setBigUint64(evex.MASKS + 8 * mask, bits, true)
    return [bits, state] as const
  })
  const failure = (bits: bigint, ...texts: readonly string[]): string =>
    [info.form, evex.codeOf(memory), `mask ${bits.toString(16)}`, ...texts].join(', ')
  interpreted.place(free, false)
  const plain = withCode(memory, register)
  plain[evex.CODE_AT + 4]! &= ~0x87
  interpreted.loadLoop([plain])
  const whole = interpreted.again(plain)
  // Some instructions are #UD with two operands that are the same.
  const isOther = isIndexed(info) || isFaulted(whole) || /COMPRESS|EXPAND|BLENDM/.test(info.mnemonic)
  interpreted.loadLoop([register])
  const expected = new Map<string, Uint8Array>()
  for (const rounds of [1, ROUNDS])
    for (const [bits, state] of states) {
      const after = interpreted.again(withCode(state, register), rounds)
      const isWrong = rounds === 1 && !isOther && !isBlended(pair, whole, bits, after)
      if (isWrong) return failure(bits, 'not as without a mask')
      expected.set(`${bits}/${rounds}`, translated(pair, state, after))
    }
  for (const processor of [interpreted, compiled]) processor.loadLoop([memory])
  for (const [end, isNextThere] of [...ends.map((end) => [end, false] as const), [over, true] as const])
    for (const [bits, state] of states) {
      const needed = neededBytes(pair, bits)
      const isOff = ALIGNED.test(info.mnemonic) && needed > 0 && (end & (size - 1)) !== 0
      const isFault = isOff || (!isNextThere && end - OPERAND + needed > evex.END)
      // A gather may have got some of its elements before it faults.
      const isOpen = isIndexed(info) && !isNextThere && end > evex.END
      let first: Uint8Array | undefined
      const unchanged = Uint8Array.from(state)
      new DataView(unchanged.buffer).setBigUint64(evex.FLAGS, END_FLAGS, true)
      for (const [way, processor, rounds, isEmpty] of [
        ['compiled after a round', compiled, ROUNDS, true],
        ['interpreted, TLB empty', interpreted, 1, true],
        ['interpreted, TLB filled', interpreted, 1, false],
        ['compiled, TLB empty', compiled, 1, true],
        ['compiled, TLB filled', compiled, 1, false],
      ] as const) {
        if (isEmpty) processor.place(end, isNextThere)
        const found = processor.again(state, rounds)
        outcomes++
        if (isFaulted(found)) faults++
        if (isOpen && rounds > 1) continue
        const wanted = isOpen ? (first ??= found) : isFault ? unchanged : expected.get(`${bits}/${rounds}`)!
        const different = evex.differences(wanted, found)
        const place = `${end - OPERAND - evex.END} from the end of a page, the next is ${isNextThere ? '' : 'not '}there`
        if (different.length > 0) return failure(bits, place, way, ...different.slice(0, 8))
      }
    }
  return undefined
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'evex-memory',
  count: STEPS,
  async setup() {
    await loadInstructions(CPU)
    interpreted = new evex.OurProcessor(CPU)
    compiled = new evex.OurProcessor(CPU, EAGER_JIT)
  },
  step(rng, index) {
    const random = evex.randomOf(rng.u32())
    for (let i = 0; i < FORMS; i++) {
      // Forms far apart are in one step.
      const info = codes[(index + i * STEPS) % codes.length]!
      const difference = compare(pairOf(info, random), random)
      if (difference !== undefined) return difference
    }
    const { failures } = compiled.jitCounts as { failures: number }
    return failures > 0 ? `${failures} not compiled` : undefined
  },
  summary: () => `${codes.length} forms, ${outcomes} outcomes, ${faults} of them faults`,
}
