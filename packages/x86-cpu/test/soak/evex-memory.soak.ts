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
import { formOf } from '../../src/extended/evex-form.ts'
import type { EvexForm } from '../../src/state/form.ts'
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

/** A form with its operand at RBX - 64, and the same with a register where that exists: a vector, or RCX. */
interface Pair {
  readonly info: CodeInfo
  readonly form: EvexForm
  readonly memory: Uint8Array
  readonly register: Uint8Array | undefined
  /** Where the register is in a case. */
  readonly registerAt: number
  /** Bytes of the operand in memory, or of the element that is repeated. */
  readonly size: number
  readonly isRepeated: boolean
}

function pairOf(info: CodeInfo, random: evex.Random): Pair {
  const bytes = evex.encode(info, random, true)
  const indexed = isIndexed(info)
  const [, p0 = 0, , p2 = 0, , modrm = 0] = bytes
  const from = indexed ? -INDEXED : -OPERAND
  for (let i = 0; i < 4; i++) bytes[(indexed ? 7 : 6) + i] = (from >> (8 * i)) & 0xff
  const isRepeated = (p2 & 16) !== 0
  const memory = evex.randomCase(bytes, random, false)
  const view = new DataView(memory.buffer)
  // Indices are small, and so is what a scatter stores.
  if (indexed) for (let at = 0; at < evex.MASKS; at += 8) view.setBigUint64(at, BigInt(random(8)), true)
  // LAHF changes AH: whether an instruction has gone on is to be seen there.
  view.setBigUint64(evex.GENERAL, 0n, true)
  view.setUint32(evex.MXCSR, random(2) === 0 ? 0x1fa0 : view.getUint32(evex.MXCSR, true) | 0x1f80, true)
  const operand = info.operands[operandOf(info)]
  const size = isRepeated ? info.broadcast : (operand?.memorySize ?? 0)
  const { evex: form } = formOf(info, VECTOR)!
  const given = { info, form: form!, memory, size, isRepeated }
  if (info.memory === 'only') return { ...given, register: undefined, registerAt: 0 }
  // A vector that is not another operand.
  const others = [OperandKind.XMM_REG, OperandKind.XMM_VVVV].map((kind) => numberOf(kind, memory))
  const isGeneral = operand!.kind === OperandKind.RM
  const rm = isGeneral ? RCX : [31, 30, 29].find((number) => !others.includes(number))!
  const changed = [...bytes.slice(0, 5), 0xc0 | (modrm & 0x38) | (rm & 7), ...bytes.slice(10)]
  changed[1] = (p0 & 0x9f) | (isGeneral ? 0x60 : ((~rm & 8) << 2) | ((~rm & 16) << 2))
  changed[3] = p2 & ~16
  const registerAt = isGeneral ? evex.GENERAL + 8 * RCX : 64 * rm
  const whole = isGeneral ? 8 : 64
  for (let i = 0; i < whole; i++) memory[registerAt + i] = memory[OPERAND_AT + (i % size)]!
  const register = Uint8Array.from(memory)
  register[evex.CODE_AT] = changed.length
  register.set(changed, evex.CODE_AT + 1)
  return { ...given, register, registerAt }
}

/** Whether LAHF behind an instruction has not been executed. */
const isFaulted = (image: Uint8Array): boolean => image[evex.GENERAL + 1] === 0

const numberOf = (kind: OperandKind, image: Uint8Array): number => {
  const [p0 = 0, p1 = 0, p2 = 0, , modrm = 0] = image.subarray(evex.CODE_AT + 2)
  if (kind === OperandKind.XMM_VVVV) return ((~p1 >> 3) & 15) | ((~p2 & 8) << 1)
  return (~p0 & 16) | ((~p0 >> 4) & 8) | ((modrm >> 3) & 7)
}

/**
 * Compares results under a mask with those without one: the elements of those, or what was there before, or zeros.
 *
 * @param outcomes - masks, and states after the same instruction under them
 */
function underMasks(pair: Pair, state: Uint8Array, outcomes: readonly (readonly [bigint, Uint8Array])[]): string[] {
  const { info, form, register, memory, registerAt } = pair
  const { kind } = info.operands[0]!
  const { elements, elementBytes } = form
  if (info.masking === 'none' || isIndexed(info) || /COMPRESS|EXPAND|BLENDM/.test(info.mnemonic)) return []
  const plain = Uint8Array.from(state)
  plain.set((register ?? memory).subarray(evex.CODE_AT, evex.MEMORY), evex.CODE_AT)
  const mask = plain[evex.CODE_AT + 4]! & 7
  const isZeroing = plain[evex.CODE_AT + 4]! > 127
  plain[evex.CODE_AT + 4]! &= ~0x87
  interpreted.loadLoop([plain])
  const whole = interpreted.again(plain)
  // Two operands that must not be the same are.
  if (isFaulted(whole)) return []
  const isMask = kind === OperandKind.MASK_REG
  const number = numberOf(kind, memory)
  const at = isMask ? evex.MASKS + 8 * (number & 7) : kind === OperandKind.XMM_RM ? registerAt : 64 * number
  return outcomes.flatMap(([bits, after]) => {
    const expected = whole.slice(at, at + (isMask ? 8 : 64))
    const view = new DataView(expected.buffer)
    const isOut = (i: number): boolean => mask !== 0 && ((bits >> BigInt(i)) & 1n) === 0n
    if (isMask && mask !== 0) view.setBigUint64(0, view.getBigUint64(0, true) & bits, true)
    else if (!isMask)
      for (let i = 0; i < elements * elementBytes[0]!; i++)
        if (isOut(Math.floor(i / elementBytes[0]!))) expected[i] = isZeroing ? 0 : state[at + i]!
    const found = after.subarray(at, at + expected.length)
    const wrong = expected.findIndex((byte, i) => byte !== found[i])
    return wrong < 0 ? [] : [`under mask ${bits.toString(16)} byte ${wrong} is not that without a mask, or before`]
  })
}

/** Bytes from the operand's beginning up to the last that must be accessed under a mask. */
function neededBytes({ info, form, memory, size, isRepeated }: Pair, mask: bigint): number {
  const { elements, elementBytes, isScalar, isPaired } = form
  const number = memory[evex.CODE_AT + 4]! & 7
  const bits = mask & ((1n << BigInt(elements)) - 1n)
  if (number === 0 || info.masking === 'none' || !info.faultSuppression) return size
  const isEach = /BROADCAST/.test(info.mnemonic)
  const bytes = isEach ? elementBytes[0]! : elementBytes[operandOf(info)]!
  let last = -1
  const count = isPaired ? elements / 2 : elements
  for (let i = 0; i < count; i++)
    if (((bits >> BigInt(i)) & 1n) !== 0n) last = Math.max(last, isEach ? i % (size / bytes) : i)
  if (last < 0) return 0
  if (isRepeated || isScalar) return size
  if (/COMPRESS|EXPAND/.test(info.mnemonic)) last = [...bits.toString(2)].filter((bit) => bit === '1').length - 1
  return bytes * (last + 1)
}

/** Masks of all kinds; the last ones have the elements of the first `first` bytes, and the others. */
function masksOf({ form }: Pair, first: number, random: evex.Random): bigint[] {
  const drawn = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
  const bytes = Math.max(1, ...form.elementBytes.filter((count) => count > 0))
  const low = (1n << BigInt(Math.floor(first / bytes))) - 1n
  return [0n, ~0n, 1n << BigInt(random(form.elements + 1)), drawn, low, ~low].map((mask) => BigInt.asUintN(64, mask))
}

/** The ends of memory: with the operand aligned, not aligned, at the end of a page, over it. */
function placesOf({ info, size }: Pair, random: evex.Random): (readonly [end: number, isNextThere: boolean])[] {
  const free = evex.END - 0x200
  if (isIndexed(info)) {
    const over = evex.END + INDEXED - random(64)
    return [
      [free, false],
      [free + random(64), false],
      [over, true],
      [over, false],
    ] as const
  }
  const over = evex.END + OPERAND - Math.max(1, random(size))
  return [
    [free, false],
    [free + random(64), false],
    [evex.END + OPERAND - size, false],
    [over, true],
    [over, false],
  ] as const
}

/** The state after the form with a register, as it is after the form with memory. */
function translated(pair: Pair, state: Uint8Array, after: Uint8Array): Uint8Array {
  const { info, registerAt, size } = pair
  const out = Uint8Array.from(after)
  out.set(state.subarray(evex.CODE_AT, evex.MEMORY), evex.CODE_AT)
  if (operandOf(info) !== 0 || info.operands[0]!.access === 'r') return out
  out.set(after.subarray(registerAt, registerAt + size), OPERAND_AT)
  out.set(state.subarray(registerAt, registerAt + (registerAt < evex.MASKS ? 64 : 8)), registerAt)
  return out
}

/** Runs one form everywhere; returns how it differs. */
function compare(pair: Pair, random: evex.Random): string | undefined {
  const { info, memory, register } = pair
  const number = memory[evex.CODE_AT + 4]! & 7
  const places = placesOf(pair, random)
  const states = masksOf(pair, evex.END + OPERAND - places.at(-1)![0], random).map((mask) => {
    const state = Uint8Array.from(memory)
    new DataView(state.buffer).setBigUint64(evex.MASKS + 8 * number, number === 0 ? 0n : mask, true)
    return [mask, state] as const
  })
  const expected = new Map<string, Uint8Array>()
  const reference = register ?? memory
  interpreted.place(evex.END - 0x200, false)
  interpreted.loadLoop([reference])
  const once: (readonly [bigint, Uint8Array])[] = []
  for (const rounds of [1, ROUNDS])
    for (const [mask, state] of states) {
      const given = Uint8Array.from(state)
      given.set(reference.subarray(evex.CODE_AT, evex.MEMORY), evex.CODE_AT)
      const after = interpreted.again(given, rounds)
      if (rounds === 1) once.push([mask, after])
      expected.set(`${mask}/${rounds}`, register === undefined ? after : translated(pair, state, after))
    }
  const [wrong] = underMasks(pair, memory, once)
  if (wrong !== undefined) return [info.form, evex.codeOf(reference), wrong].join(', ')
  for (const processor of [interpreted, compiled]) processor.loadLoop([memory])
  for (const [end, isNextThere] of places)
    for (const [mask, state] of states) {
      const needed = neededBytes(pair, mask)
      const isOff = ALIGNED.test(info.mnemonic) && needed > 0 && (end & (pair.size - 1)) !== 0
      const isFault = isOff || (!isNextThere && end - OPERAND + needed > evex.END)
      // A gather may have got some of its elements before it faults.
      const isOpen = isIndexed(info) && !isNextThere && end > evex.END
      let first: Uint8Array | undefined
      const unchanged = Uint8Array.from(state)
      new DataView(unchanged.buffer).setBigUint64(evex.FLAGS, END_FLAGS, true)
      const check = (way: string, processor: evex.OurProcessor, rounds: number): string | undefined => {
        const found = processor.again(state, rounds)
        const wanted = isOpen ? (first ??= found) : isFault ? unchanged : expected.get(`${mask}/${rounds}`)!
        const different = evex.differences(wanted, found)
        outcomes++
        if (isFaulted(found)) faults++
        if (different.length === 0) return
        const place = `${(end - OPERAND - evex.END).toString()} from the end of a page, the next is ${isNextThere ? '' : 'not '}there`
        return [info.form, evex.codeOf(memory), `mask ${mask.toString(16)}`, place, way, ...different.slice(0, 8)].join(
          ', ',
        )
      }
      const ways = [
        ['compiled after a round', compiled, ROUNDS, true],
        ['interpreted, TLB empty', interpreted, 1, true],
        ['interpreted, TLB filled', interpreted, 1, false],
        ['compiled, TLB empty', compiled, 1, true],
        ['compiled, TLB filled', compiled, 1, false],
      ] as const
      for (const [way, processor, rounds, isEmpty] of isOpen ? ways.slice(1) : ways) {
        if (isEmpty) processor.place(end, isNextThere)
        const difference = check(way, processor, rounds)
        if (difference !== undefined) return difference
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
  summary() {
    const { executed, units } = compiled.jitCounts as Record<string, number>
    return `${codes.length} forms, ${outcomes} outcomes, ${faults} of them faults; ${executed} instructions in ${units} units`
  },
}
