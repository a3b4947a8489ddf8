/**
 * Random bytes in every mode, as Intel's and as AMD's processors decode: `npm run -s soak -- decoder`, ten million strings in
 * each of the six. Each is decoded without an exception and with progress; whole, as iced-x86 decodes it, save for the closed
 * list of `differences.ts`; and cut short somewhere, with one thing behind the cut and then with another, to the same result.
 * @programs: llvm-mc llvm-mc-22
 */
import type { Soak } from '@retrap/tooling/soak'
import { Code, Decoder, DecoderOptions, Instruction as IcedInstruction } from 'iced-x86'
import * as decoding from '../../src/index.ts'
import { decodingDifferences, newerThanIced } from '../differences.ts'
import { hexOf } from '../support/bytes.ts'
import { icedOperands, ourOperands, sameMnemonic, sameOperands } from '../support/iced.ts'

/** Strings in a step, for each mode and vendor. */
const BATCH = 10_000
const SLOT = 16
/** Of so many one is compared in its operands and formatted too, which takes as long as all the rest. */
const RARELY = 16

const FIRST_BYTES = [
  0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x67, 0x2e, 0x65, 0xf0, 0x41, 0x4f, 0x38, 0x3a, 0xc4, 0xc5, 0x8f, 0x62, 0xd5,
]
const MODES = [16, 32, 64] as const
const VENDORS = ['intel', 'amd'] as const
/** iced-x86 knows no APX. */
const FEATURES: ReadonlySet<string> = new Set(
  decoding.codes.map(({ feature }) => feature).filter((feature) => !feature.startsWith('APX')),
)

const insn = new decoding.Instruction()
const cut = new decoding.Instruction()
const cutAgain = new decoding.Instruction()
const iced = new IcedInstruction()
const FIELDS = Object.keys(insn) as (keyof decoding.Instruction)[]
const slots = new Uint8Array(BATCH * SLOT + SLOT)

/** xorshift32: a string in a few nanoseconds. */
function randomBytes(seed: number): void {
  let state = seed | 1
  for (let at = 0; at < slots.length; at += 4) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    slots[at] = state
    slots[at + 1] = state >>> 8
    slots[at + 2] = state >>> 16
    slots[at + 3] = state >>> 24
  }
  // Prefixes and escapes are more frequent than chance has them.
  for (let at = 0; at < slots.length; at += SLOT) {
    const head = ((slots[at + 15] as number) * 6) >> 8
    for (let i = 0; i < head; i++) {
      slots[at + i] = FIRST_BYTES[((slots[at + i] as number) * FIRST_BYTES.length) >> 8] as number
    }
  }
}

/** Pairs of our code and iced's whose names agree: what is asked again is known. */
const agreed = new Set<number>()

function differsFromIced(valid: boolean, thorough: boolean): boolean {
  if (valid !== (iced.code !== Code.INVALID))
    return !valid || !newerThanIced.test((decoding.codes[insn.code] as decoding.CodeInfo).feature)
  if (!valid) return false
  if (insn.length !== iced.length) return true
  const pair = insn.code * 0x1_0000 + iced.code
  if (!agreed.has(pair)) {
    if (!sameMnemonic(insn, iced)) return true
    agreed.add(pair)
  }
  return thorough && !sameOperands(insn, iced, 0n)
}

function describe(valid: boolean): string {
  const ours = valid ? (decoding.codes[insn.code] as decoding.CodeInfo).form : 'invalid'
  return `${ours} | ${Code[iced.code] as string}`
}

/** Decodes part of a slot twice, with different bytes behind the cut. Returns what is wrong. */
function checkCut(at: number, options: number, status: number): string | undefined {
  const end = at + 1 + ((slots[at + 15] as number) % 15)
  const behind = slots.slice(end, at + SLOT)
  const first = decoding.decodeInto(slots, at, end, options, cut)
  for (let i = end; i < at + SLOT; i++) slots[i] = ~(slots[i] as number)
  const second = decoding.decodeInto(slots, at, end, options, cutAgain)
  slots.set(behind, end)
  if (first !== second) return `status ${first} and ${second} with other bytes behind the end`
  if (cut.length !== cutAgain.length || cut.code !== cutAgain.code)
    return 'other bytes behind the end change the result'
  if (first === decoding.TRUNCATED)
    return cut.length > end - at ? undefined : `wants ${cut.length} bytes of ${end - at}`
  if (cut.length > end - at && first === 0) return `takes ${cut.length} bytes of ${end - at}`
  if (first !== status && status === 0) return `status ${first} of ${end - at} bytes, ${status} of all`
  if (first !== 0) return undefined
  for (const field of FIELDS) if (cut[field] !== cutAgain[field]) return `other bytes behind the end change ${field}`
  return undefined
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'decoder',
  count: 1000,
  step(rng) {
    const seed = rng.u32()
    randomBytes(seed)
    for (const mode of MODES) {
      for (const vendor of VENDORS) {
        const options = mode | decoding.decoderOptions({ vendor, features: FEATURES })
        const decoder = new Decoder(mode, slots, DecoderOptions.MPX | (vendor === 'amd' ? DecoderOptions.AMD : 0))
        for (let i = 0; i < BATCH; i++) {
          const at = i * SLOT
          const status = decoding.decodeInto(slots, at, at + 15, options, insn)
          const valid = status === 0
          const thorough = i % RARELY === 0
          decoder.position = at
          decoder.ip = 0n
          decoder.decodeOut(iced)
          let problem: string | undefined
          if (insn.length < 1 || insn.length > 15) problem = `length ${insn.length}`
          else if (differsFromIced(valid, thorough)) {
            const where = describe(valid)
            if (!decodingDifferences.some((row) => row.where.test(where))) {
              problem = `${where}, lengths ${insn.length} and ${iced.length}, operands ${valid ? ourOperands(insn, 0n) : '-'} and ${icedOperands(iced)}`
            }
          }
          if (thorough && valid) {
            decoding.formatIntel(insn)
            decoding.formatAtt(insn)
            decoding.formatNasm(insn)
          }
          problem ??= checkCut(at, options, status)
          if (problem === undefined) continue
          decoder.free()
          return `${mode}-bit mode, ${vendor}: ${hexOf(slots.subarray(at, at + 15))}: ${problem}`
        }
        decoder.free()
      }
      // With APX there is nothing to compare with, but it must not read too far either.
      for (let at = 0; at < BATCH * SLOT; at += SLOT) {
        const status = decoding.decodeInto(slots, at, at + 15, mode, insn)
        const problem = checkCut(at, mode, status)
        if (problem !== undefined) return `${mode}-bit mode, APX: ${hexOf(slots.subarray(at, at + 15))}: ${problem}`
        if (status !== 0 || at % (RARELY * SLOT) !== 0) continue
        decoding.formatIntel(insn)
        decoding.formatAtt(insn)
        decoding.formatNasm(insn)
      }
    }
    return undefined
  },
}
