import { PREFIX_LOCK, REGISTER_RIP, type CodeInfo } from '@retrap/x86-decoder'
import { CaseBuilder } from './cases.ts'
import { compare } from './compare.ts'
import type { Mismatch } from './compare.ts'
import { RELATIVE, encode, modesOf } from './encode.ts'
import type { Encoding } from './encode.ts'
import { CODE, IN_BYTES, IN_GPR, OUT_BYTES, OUT_VECTOR, WINDOW, WINDOW_BYTES } from './layout.ts'
import type { Batch, Mode } from './layout.ts'
import type { TestMachine } from './machine.ts'
import type { NativeCpu } from './native.ts'
import { quadOf } from './observation.ts'
import type { Choice } from './random.ts'
import { randomSequence } from './sequences.ts'

/** Bytes of code per encoding; branches get room around them, all INT3. */
const SLOT = 32
const BRANCH_SLOT = 256
/** Encodings stay clear of the first page: jumps go there. */
const FIRST = 0x100
const ATTEMPTS = 60
const REX_W = 0x48
/** Bytes of 16-bit code that fit its segment, with an end that nothing runs into. */
const SEGMENT_16 = 0xff00
/** What the INT3 after each instruction raises. */
const VECTOR_BP = 3

/** What a run of cases found. */
export interface Report {
  readonly cases: number
  /** Of which so many ended without a fault. */
  readonly completed: number
  readonly mismatches: readonly Mismatch[]
  /** Forms of which no encoding could be made. */
  readonly notEncoded: readonly string[]
}

/** Sees every case, in the layouts of layout.ts. */
export type Observer = (encoding: Encoding, input: Uint8Array, expected: Uint8Array, actual: Uint8Array) => void

/** How often a case is made again whose LOCK has to be within a cache line. */
const REBUILDS = 40
const LINE = 64
const NO_REGISTERS = new Uint8Array(IN_BYTES)

/** Whether an instruction locks the bus for an operand across a cache line, by the registers that a case has at first. */
export function locksBus({ info, insn, at, mode }: Encoding, input: Uint8Array): boolean {
  if (insn.isMemory === 0 || ((insn.prefixes & PREFIX_LOCK) === 0 && info.mnemonic !== 'XCHG')) return false
  const register = (number: number): bigint =>
    number === REGISTER_RIP ? BigInt(at + insn.length) : number < 0 ? 0n : quadOf(input, IN_GPR + 8 * number)
  const offset = register(insn.base) + (register(insn.index) << BigInt(insn.scale)) + BigInt(insn.dispLo)
  const linear = Number(BigInt.asUintN(insn.addressSize, offset)) + (mode === 16 ? WINDOW : 0)
  const size = Math.max(...info.operands.map((o) => o.memorySize))
  // What is not mapped faults before.
  if (linear < WINDOW || linear + size > WINDOW + WINDOW_BYTES) return false
  // A bit’s offset counts in operands.
  if (info.mnemonic.startsWith('BT')) return linear % size !== 0
  return linear % LINE > LINE - size
}

/** Random encodings of forms, one after the other. */
function encodings(
  random: Choice,
  forms: readonly CodeInfo[],
  { modes: possible, trapsBusLocks }: NativeCpu,
  perForm: number,
  notEncoded: string[],
): { list: Encoding[]; code: Uint8Array } {
  const list: Encoding[] = []
  let end = FIRST
  // 16-bit code first: its segment has 64 KiB.
  for (const mode of [16, 64, 32] as const) {
    if (!possible.includes(mode)) continue
    for (const info of forms) {
      const modes = modesOf(info).filter((one) => possible.includes(one))
      if (!modes.includes(mode)) continue
      const relative = info.operands.some((o) => (RELATIVE as readonly number[]).includes(o.kind))
      let made = 0
      const wanted = Math.max(1, Math.ceil(perForm / modes.length))
      for (let attempt = 0; attempt < ATTEMPTS + wanted && made < wanted; attempt++) {
        const slot = relative ? BRANCH_SLOT : SLOT
        // Some cross a page.
        const at = relative
          ? end + slot / 2
          : random.chance(1, mode === 16 ? 64 : 16)
            ? (end | 0xfff) - random.below(4)
            : end
        const encoding = encode(random, info, mode, CODE + at, possible)
        if (encoding === undefined || (trapsBusLocks && locksBus(encoding, NO_REGISTERS))) continue
        list.push(encoding)
        made++
        end = relative ? end + slot : Math.max(end + slot, at + slot)
      }
      if (mode === 16 && end > SEGMENT_16)
        throw new RangeError(`${forms.length} forms have ${end} bytes of 16-bit code`)
      if (made === 0) notEncoded.push(`${info.form}, ${mode}-bit mode`)
    }
  }
  const code = new Uint8Array(end + SLOT).fill(0xcc)
  for (const { at, bytes } of list) code.set(bytes, at - CODE)
  return { list, code }
}

/**
 * Runs random cases of forms on both CPUs and compares.
 *
 * @param casesPerForm - at least so many of each form
 */
export function check(
  native: NativeCpu,
  machine: TestMachine,
  random: Choice,
  forms: readonly CodeInfo[],
  casesPerForm: number,
  encodingsPerForm: number,
  observe?: Observer,
): Report {
  const notEncoded: string[] = []
  const { list, code } = encodings(random, forms, native, encodingsPerForm, notEncoded)
  return compareAll(native, machine, random, list, code, casesPerForm, notEncoded, observe)
}

/** The same for instructions that follow one another: lazy flags, and what is decided from them. */
export function checkSequences(
  native: NativeCpu,
  machine: TestMachine,
  random: Choice,
  mode: Mode,
  count: number,
  casesEach: number,
): Report {
  const list: Encoding[] = []
  let end = FIRST
  for (let attempt = 0; attempt < 2 * count && list.length < count; attempt++) {
    const sequence = randomSequence(random, mode, CODE + end + BRANCH_SLOT / 2, native)
    if (sequence === undefined) continue
    list.push(sequence)
    end += BRANCH_SLOT
  }
  const code = new Uint8Array(end + SLOT).fill(0xcc)
  for (const { at, bytes } of list) code.set(bytes, at - CODE)
  return compareAll(native, machine, random, list, code, casesEach * list.length, [])
}

/**
 * Code in which no far pointer has an offset of 64 bits. AMD's processors have none: they ignore REX.W before CALLF, JMPF,
 * LFS, LGS and LSS (APM vol. 3, CALL (Far): m16:16 and m16:32), so the instruction without REX.W is what they execute.
 */
function withoutWidePointers(list: readonly Encoding[], code: Uint8Array): Uint8Array {
  const narrow = code.slice()
  for (const { at, bytes, info, long } of list) {
    if (!long || !info.operands.some((o) => o.memorySize === 10) || info.feature.startsWith('FPU')) continue
    narrow[at - CODE + bytes.findIndex((byte) => (byte & 0xf8) === REX_W)]! &= ~8
  }
  return narrow
}

function compareAll(
  native: NativeCpu,
  machine: TestMachine,
  random: Choice,
  list: readonly Encoding[],
  code: Uint8Array,
  casesPerForm: number,
  notEncoded: readonly string[],
  observe?: Observer,
): Report {
  const keyOf = (encoding: Encoding): unknown => (encoding.instructions === undefined ? encoding.info : 'sequence')
  const perForm = new Map<unknown, number>()
  for (const encoding of list) perForm.set(keyOf(encoding), (perForm.get(keyOf(encoding)) ?? 0) + 1)
  const owners: Encoding[] = []
  for (const encoding of list) {
    const each = Math.ceil(casesPerForm / (perForm.get(keyOf(encoding)) as number))
    for (let i = 0; i < each; i++) owners.push(encoding)
  }
  const cases = new Uint8Array(owners.length * IN_BYTES)
  for (const [i, encoding] of owners.entries()) {
    const input = cases.subarray(i * IN_BYTES, (i + 1) * IN_BYTES)
    const isTrapped = (): boolean =>
      native.trapsBusLocks && (encoding.instructions ?? [encoding]).some((one) => locksBus(one, input))
    for (let built = 0; built === 0 || (built < REBUILDS && isTrapped()); built++)
      new CaseBuilder(random, encoding, input.fill(0)).build()
  }
  const batch: Batch = { code, count: owners.length, cases }
  const expected = native.run(batch)
  const actual = machine.run({
    ...batch,
    code: /^(AuthenticAMD|HygonGenuine)$/.test(native.vendor) ? withoutWidePointers(list, code) : code,
  })
  const mismatches: Mismatch[] = []
  let completed = 0
  for (const [i, encoding] of owners.entries()) {
    if (expected[i * OUT_BYTES + OUT_VECTOR] === VECTOR_BP) completed++
    const input = cases.subarray(i * IN_BYTES, (i + 1) * IN_BYTES)
    const from = i * OUT_BYTES
    const to = from + OUT_BYTES
    observe?.(encoding, input, expected.subarray(from, to), actual.subarray(from, to))
    const differences = compare(encoding, input, expected.subarray(from, to), actual.subarray(from, to))
    if (differences.length > 0) mismatches.push({ encoding, differences, input })
  }
  return { cases: owners.length, completed, mismatches, notEncoded }
}
