/**
 * Sequences of random instructions, natively and here, interpreted and compiled. Nothing but a part of the architectural state is set
 * between two of them, so that what one leaves behind shows in another.
 */
import { formatIntel } from '@retrap/x86-decoder'
import { compare, describeMismatch, type Difference } from './compare.ts'
import * as L from './layout.ts'
import type { TestMachine } from './machine.ts'
import type { NativeCpu } from './native.ts'
import { BP, quadOf, vectorOf } from './observation.ts'
import type { Choice } from './random.ts'
import { FIRST, GAP, INT3, type LongSequence, SequenceMaker } from './sequence-maker.ts'

/** What a run of sequences found. */
export interface SequenceReport {
  readonly sequences: number
  readonly instructions: number
  /** Sequences that differ in what is accepted alone, by its name. */
  readonly accepted: ReadonlyMap<string, number>
  /** What differs otherwise. */
  readonly mismatches: readonly string[]
}

const resultOf = (all: Uint8Array, i: number): Uint8Array => all.subarray(i * L.OUT_BYTES, (i + 1) * L.OUT_BYTES)

/** Takes over what the sequence before has left on the host. */
function takeOver(input: Uint8Array, before: Uint8Array | undefined): void {
  const keep = new DataView(input.buffer, input.byteOffset).getUint32(L.IN_KEEP, true)
  const copy = (from: number, to: number, bytes: number): void => input.set(before!.subarray(from, from + bytes), to)
  if ((keep & L.KEEP_GPR) !== 0) copy(L.OUT_GPR, L.IN_GPR, 128)
  if ((keep & L.KEEP_VECTORS) !== 0) copy(L.OUT_FX, L.IN_FX, L.FX_BYTES + L.YMM_BYTES)
  if ((keep & L.KEEP_BAND) !== 0) copy(L.OUT_BAND, L.IN_BAND, L.BAND_BYTES)
}

/** The state that a result is, as the input of the instruction at an address. */
function inputOf(input: Uint8Array, result: Uint8Array, at: number): Uint8Array {
  const next = input.slice()
  const view = new DataView(next.buffer)
  view.setUint32(L.IN_KEEP, L.KEEP_GPR | L.KEEP_VECTORS | L.KEEP_BAND, true)
  takeOver(next, result)
  next.set(result.subarray(L.OUT_RFLAGS, L.OUT_RFLAGS + 4), L.IN_RFLAGS)
  view.setUint32(L.IN_KEEP, 0, true)
  view.setUint32(L.IN_RIP, at, true)
  return next
}

/** The flags that are undefined where a result was taken. */
function undefinedAt({ items }: LongSequence, result: Uint8Array): number {
  const rip = Number(quadOf(result, L.OUT_RIP)) - (vectorOf(result) === BP ? 1 : 0)
  const last = items.findLast(({ encoding }) => encoding.at < rip)
  // Any instruction may have been the last one before a jump away.
  return last === undefined || rip > items.at(-1)!.encoding.at + GAP
    ? items.reduce((all, one) => all | one.undefined, 0)
    : last.undefined
}

/** Runs sequences on the host and on processors here, and compares. */
export class SequenceCheck {
  readonly #native: NativeCpu
  readonly #interpreter: TestMachine
  readonly #compiler: TestMachine | undefined
  readonly #maker: SequenceMaker

  constructor(random: Choice, native: NativeCpu, interpreter: TestMachine, compiler?: TestMachine) {
    this.#native = native
    this.#interpreter = interpreter
    this.#compiler = compiler
    this.#maker = new SequenceMaker(random, native)
  }

  /**
   * @param count - of sequences
   * @param times - how often each is executed, in a random order: compiled from the second time on
   */
  run(random: Choice, count: number, times: number): SequenceReport {
    const modes = this.#native.modes.filter((mode) => mode !== 16)
    this.#maker.reset()
    const made = Array.from({ length: count }, () => this.#maker.make(random.pick(modes)))
    const order = Array.from({ length: times }, () => made).flat()
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.below(i + 1)
      ;[order[i], order[j]] = [order[j]!, order[i]!]
    }
    const cases = new Uint8Array(order.length * L.IN_BYTES)
    for (const [i, sequence] of order.entries()) {
      const keeps = i > 0 && order[i - 1]!.mode === sequence.mode
      const keep = keeps ? random.below(8) : 0
      cases.set(sequence.input, i * L.IN_BYTES)
      new DataView(cases.buffer).setUint32(i * L.IN_BYTES + L.IN_KEEP, keep, true)
    }
    const code = this.#maker.code.slice(0, this.#maker.end)
    const batch = { code, count: order.length, cases }
    const expected = this.#native.run(batch)
    const inputs = order.map((_, i) => cases.subarray(i * L.IN_BYTES, (i + 1) * L.IN_BYTES))
    for (const [i, input] of inputs.entries()) takeOver(input, i > 0 ? resultOf(expected, i - 1) : undefined)
    const actual = this.#interpreter.run(batch)
    const compiled = this.#compiler?.run(batch)
    const accepted = new Map<string, number>()
    const mismatches: string[] = []
    for (const [i, sequence] of order.entries()) {
      const [input, theirs, ours] = [inputs[i]!, resultOf(expected, i), resultOf(actual, i)]
      const both = compiled && this.#compare(sequence, input, ours, resultOf(compiled, i))
      if (both !== undefined && both.length > 0) mismatches.push(describe(sequence, both, 'compiled'))
      const found = this.#compare(sequence, input, theirs, ours)
      if (found.length === 0) continue
      const { name, first } = this.#judge(sequence, input, code)
      if (name === undefined) mismatches.push([...first, describe(sequence, found, 'interpreted')].join('\n'))
      else accepted.set(name, (accepted.get(name) ?? 0) + 1)
    }
    const instructions = order.reduce((sum, { items }) => sum + items.length, 0)
    return { sequences: order.length, instructions, accepted, mismatches }
  }

  #compare(sequence: LongSequence, input: Uint8Array, expected: Uint8Array, actual: Uint8Array): Difference[] {
    const flags = undefinedAt(sequence, expected)
    const { instructions: _, ...one } = { ...sequence, undefinedAfter: flags, undefinedOnTheWay: flags }
    return compare(one, input, expected, actual)
  }

  /** Finds the instruction after which the two differ. @returns the accepted difference, or what differs first */
  #judge(sequence: LongSequence, input: Uint8Array, code: Uint8Array): { name?: string; first: readonly string[] } {
    const { items } = sequence
    let [same, differs] = [0, items.length]
    while (differs - same > 1) {
      const middle = (same + differs) >> 1
      const [theirs, ours] = this.#prefix(sequence, input, code, items[middle]!.from)
      if (this.#compare(sequence, input, theirs, ours).length > 0) differs = middle
      else same = middle
    }
    const { encoding } = items[same]!
    const [before] = this.#prefix(sequence, input, code, encoding.at)
    const [theirs, ours] = this.#prefix(
      sequence,
      input,
      code,
      items[differs]?.from ?? sequence.at + sequence.bytes.length,
    )
    const from = inputOf(input, before, encoding.at)
    if (this.#compare(sequence, input, theirs, ours).length === 0) return { first: ['not found again in a part'] }
    const one = {
      ...encoding,
      undefinedAfter: items[same]!.undefined,
      undefinedOnTheWay: items[same - 1]?.undefined ?? 0,
    }
    const names = new Set<string>()
    const differences = compare(one, from, theirs, ours, (name) => names.add(name))
    if (differences.length === 0 && names.size > 0) return { name: [...names].join(', '), first: [] }
    return { first: [describeMismatch({ encoding, input: from, differences })] }
  }

  /** Runs the part of a sequence that lies before an address. */
  #prefix(sequence: LongSequence, input: Uint8Array, code: Uint8Array, end: number): [Uint8Array, Uint8Array] {
    const from = sequence.at - L.CODE
    const part = code.slice(0, from + sequence.bytes.length)
    part.fill(INT3, FIRST, from)
    part.fill(INT3, end - L.CODE)
    const cases = input.slice()
    new DataView(cases.buffer).setUint32(L.IN_KEEP, 0, true)
    const batch = { code: part, count: 1, cases }
    return [this.#native.run(batch), this.#interpreter.run(batch)]
  }
}

function describe(sequence: LongSequence, differences: readonly Difference[], tier: string): string {
  const { mode, at, bytes, items } = sequence
  const lines = [
    `${mode}-bit mode, ${tier}: ${Buffer.from(bytes).toString('hex')} at ${at.toString(16)}`,
    ...items.map(
      ({ encoding }) => `  ${encoding.at.toString(16)} ${formatIntel(encoding.insn, { address: BigInt(encoding.at) })}`,
    ),
    ...differences.map(({ what, expected, actual }) => `  ${what}: expected ${expected}, got ${actual}`),
  ]
  return lines.join('\n')
}
