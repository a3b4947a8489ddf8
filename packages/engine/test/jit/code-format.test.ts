// Compiled code as bytes: what is kept comes back, and nothing else does.
import { PAGE_BYTES } from '@retrap/memory'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeCode, encodeCode, sealCode } from '../../src/jit/kept/code-format.ts'
import type { MissAction } from '../../src/jit/memory-sites.ts'
import type { CodeSource } from '../../src/jit/unit-code.ts'

const WASM = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
/** Words of the head that are not counts: magic, checksum, key, mode. */
const FREE_WORDS = 4

const word = fc.integer({ min: 0, max: 0xffff_ffff })
const sizes = fc.constantFrom(1, 2, 4, 8)

/** Some of the elements, in their order. */
const some = (positions: readonly number[]): fc.Arbitrary<number[]> => fc.subarray([...positions])

const sources: fc.Arbitrary<CodeSource> = fc
  .record({
    gaps: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 20 }),
    lengths: fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 20, maxLength: 20 }),
    start: fc.integer({ min: 0, max: PAGE_BYTES - 1 }),
    bytes: fc.uint8Array({ minLength: 300, maxLength: 300 }),
  })
  .chain(({ gaps, lengths, start, bytes }) => {
    const at: number[] = [start]
    for (const [i, gap] of gaps.slice(1).entries()) at.push(at[i]! + lengths[i]! + gap)
    const from = [0]
    for (let i = 0; i < at.length; i++) from.push(from[i]! + lengths[i]!)
    const pages = Math.ceil((at.at(-1)! + lengths[at.length - 1]!) / PAGE_BYTES)
    const deltas = Array.from({ length: pages }, (_, i) => i * PAGE_BYTES)
    return some(at).chain((recordPositions) =>
      fc.record({
        key: word,
        mode: fc.nat(0xffff),
        offset: fc.constant(start),
        assumptions: fc.array(
          fc
            .tuple(fc.nat(0xffff), sizes, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
            .map(([offset, size, value]) => ({ offset, bytes: size, value: BigInt.asUintN(8 * size, value) })),
          { maxLength: 5 },
        ),
        deltas: fc.constant(deltas),
        instructions: fc.constant({
          at: Int32Array.from(at),
          from: Uint32Array.from(from),
          bytes: bytes.slice(0, from.at(-1)),
        }),
        recordPositions: fc.constant(recordPositions),
        branches: fc.array(
          fc.record({
            at: fc.constantFrom(...(recordPositions.length > 0 ? recordPositions : [start])),
            delta: fc.constantFrom(...deltas),
            isReturn: fc.boolean(),
            targets: fc.array(fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }), { maxLength: 4 }),
          }),
          { maxLength: recordPositions.length > 0 ? 4 : 0 },
        ),
        actions: fc
          .array(fc.tuple(fc.constantFrom(...at), fc.constantFrom<MissAction>('fill', 'call', 'leave')), {
            maxLength: 4,
          })
          .map((actions) => new Map(actions)),
      }),
    )
  })

const modules = fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from([...WASM, ...bytes]))

describe('kept code', () => {
  test('comes back as it was, wherever its bytes lie', () => {
    fc.assert(
      fc.property(sources, modules, fc.nat(9), (source, module, before) => {
        const code = encodeCode(source, module)
        const moved = new Uint8Array(code.length + before)
        moved.set(code, before)
        expect(decodeCode(moved.subarray(before))).toEqual({ source, module })
      }),
    )
  })

  test('that is damaged, cut or longer than it was is none', () => {
    fc.assert(
      fc.property(sources, modules, fc.nat(), fc.integer({ min: 1, max: 255 }), (source, module, where, bits) => {
        const code = encodeCode(source, module)
        const at = where % code.length
        expect(decodeCode(code.slice(0, at))).toBeUndefined()
        expect(decodeCode(Uint8Array.from([...code, ...Array(1 + (where % 9)).fill(0)]))).toBeUndefined()
        code[at]! ^= bits
        expect(decodeCode(code)).toBeUndefined()
      }),
    )
  })

  test('whose checksum is right may be anything, and is checked', () => {
    let refused = 0
    const changes = fc.array(fc.tuple(fc.nat(), fc.oneof(word, fc.nat(40))), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(sources, modules, changes, (source, module, changed) => {
        const code = encodeCode(source, module)
        const words = new Uint32Array(code.buffer)
        for (const [at, value] of changed) words[2 + (at % (words.length - 2))] = value
        const found = decodeCode(sealCode(code))
        if (found === undefined) return void refused++
        const { at, from, bytes } = found.source.instructions
        const pages = new Set(found.source.deltas)
        expect(found.source.deltas[0]).toBe(0)
        expect([at.length + 1, from.at(-1)]).toEqual([from.length, bytes.length])
        for (const [i, position] of at.entries()) {
          expect(from[i + 1]! - from[i]!).toBeGreaterThan(0)
          expect(pages.has(position & -PAGE_BYTES)).toBe(true)
          expect(pages.has((position + from[i + 1]! - from[i]! - 1) & -PAGE_BYTES)).toBe(true)
        }
        const { recordPositions, branches, actions, offset, assumptions } = found.source
        for (const position of [...recordPositions, ...actions.keys(), offset]) expect(at.includes(position)).toBe(true)
        for (const branch of branches)
          expect([recordPositions.includes(branch.at), pages.has(branch.delta)]).toEqual([true, true])
        for (const { bytes: size } of assumptions) expect([1, 2, 4, 8]).toContain(size)
        expect([...actions.values()].every((action) => typeof action === 'string')).toBe(true)
        expect([...found.module.subarray(0, 8)]).toEqual(WASM)
      }),
      { numRuns: 500 },
    )
    expect(refused).toBeGreaterThan(100)
  })

  test('of counts beyond all bounds is none, and takes no memory', () => {
    const [source] = fc.sample(sources, { numRuns: 1, seed: 1 }) as [CodeSource]
    const code = encodeCode(source, Uint8Array.from(WASM))
    for (let at = FREE_WORDS; at < 16; at++) {
      for (const count of [0xffff_ffff, 0xffff_fffd, 0x8000_0000, 0x4000_0000]) {
        const other = code.slice()
        new Uint32Array(other.buffer)[at] = count
        expect(decodeCode(sealCode(other))).toBeUndefined()
      }
    }
  })
})
