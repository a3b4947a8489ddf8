import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import * as decoder from '../src/index.ts'

const modes = fc.constantFrom(16, 32, 64) as fc.Arbitrary<16 | 32 | 64>

/** Random bytes that start with prefixes and escapes more often than chance has it. */
const code = fc
  .tuple(
    fc.array(fc.constantFrom(0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x48, 0x41, 0x4f, 0xc4, 0xc5, 0x0f), {
      maxLength: 6,
    }),
    fc.uint8Array({ minLength: 0, maxLength: 20, size: 'max' }),
  )
  .map(([head, tail]) => Uint8Array.from([...head, ...tail]))

/** All fields, in order. */
const fields = (insn: decoder.Instruction): number[] => Object.values(insn) as number[]

describe('any bytes at all', () => {
  test('come to an end within 15 bytes, with small integers in every field', () => {
    const insn = new decoder.Instruction()
    fc.assert(
      fc.property(code, modes, (bytes, mode) => {
        const status = decoder.decodeInto(bytes, 0, bytes.length, mode, insn)
        expect([decoder.DECODED, decoder.INVALID, decoder.TRUNCATED]).toContain(status)
        expect(insn.length).toBeLessThanOrEqual(15)
        if (status === decoder.TRUNCATED) expect(insn.length).toBeGreaterThan(bytes.length)
        else expect(insn.length).toBeLessThanOrEqual(bytes.length)
        if (status === decoder.DECODED) {
          expect(insn.length).toBeGreaterThan(0)
          for (const value of fields(insn)) expect(value).toBe(value | 0)
        } else expect(insn.code).toBe(0)
      }),
      { numRuns: slicedCount(5000, 5) },
    )
  })

  test('are read only up to the end', () => {
    const insn = new decoder.Instruction()
    const other = new decoder.Instruction()
    fc.assert(
      fc.property(code, modes, fc.nat(40), fc.integer({ min: 1, max: 255 }), (bytes, mode, cut, noise) => {
        const end = Math.min(cut, bytes.length)
        const changed = bytes.slice()
        for (let i = end; i < changed.length; i++) changed[i] = (changed[i] as number) ^ noise
        const status = decoder.decodeInto(bytes, 0, end, mode, insn)
        expect(decoder.decodeInto(changed, 0, end, mode, other)).toBe(status)
        expect(other.length).toBe(insn.length)
        if (status === decoder.DECODED) expect(fields(other)).toEqual(fields(insn))
      }),
      { numRuns: slicedCount(5000, 5) },
    )
  })

  test('that are truncated decode once they have the length that was asked for, or ask for more', () => {
    const insn = new decoder.Instruction()
    fc.assert(
      fc.property(code, modes, (bytes, mode) => {
        const whole = decoder.decodeInto(bytes, 0, bytes.length, mode, insn)
        fc.pre(whole === decoder.DECODED)
        const { length } = insn
        let have = 0
        while (decoder.decodeInto(bytes, 0, have, mode, insn) === decoder.TRUNCATED) {
          expect(insn.length).toBeGreaterThan(have)
          expect(insn.length).toBeLessThanOrEqual(length)
          have = insn.length
        }
        expect(have).toBe(length)
      }),
      { numRuns: slicedCount(5000, 5) },
    )
  })

  test('give the same record whatever the record held before, and at any offset', () => {
    const insn = new decoder.Instruction()
    fc.assert(
      fc.property(code, code, modes, (before, bytes, mode) => {
        decoder.decodeInto(before, 0, before.length, mode, insn)
        const shifted = Uint8Array.from([...before, ...bytes])
        const fresh = new decoder.Instruction()
        const status = decoder.decodeInto(bytes, 0, bytes.length, mode, fresh)
        expect(decoder.decodeInto(shifted, before.length, shifted.length, mode, insn)).toBe(status)
        if (status === decoder.DECODED) expect(fields(insn)).toEqual(fields(fresh))
        else expect(insn.length).toBe(fresh.length)
      }),
      { numRuns: slicedCount(5000, 5) },
    )
  })

  test('print, and are walked over to the last', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100, size: 'max' }), modes, (bytes, mode) => {
        let at = 0
        for (const decoded of decoder.decodeAll(bytes, { mode })) {
          for (const format of [decoder.formatIntel, decoder.formatAtt, decoder.formatNasm]) {
            expect(format(decoded)).not.toMatch(/undefined|NaN|\s$/)
          }
          expect(decoded.address).toBe(BigInt(at))
          at += decoded.status === 'invalid' ? 1 : decoded.length
        }
        expect(at).toBeGreaterThanOrEqual(bytes.length)
      }),
      { numRuns: slicedCount(1000, 5) },
    )
  })
})

describe("a caller's mistakes", () => {
  test.each([
    { options: { mode: 48 as 64 }, code: 'ERR_MODE' },
    { options: { offset: -1 }, code: 'ERR_OFFSET' },
    { options: { offset: 3 }, code: 'ERR_OFFSET' },
    { options: { offset: 0.5 }, code: 'ERR_OFFSET' },
    { options: { address: 0x1000 as unknown as bigint }, code: 'ERR_ADDRESS' },
    { options: { vendor: 'via' as 'amd' }, code: 'ERR_OPTION' },
    { options: { features: ['BMI1'] as unknown as ReadonlySet<string> }, code: 'ERR_OPTION' },
  ])('$options throws $code', ({ options, code: expected }) => {
    expect(() => decoder.decode(Uint8Array.of(0x90), options)).toThrow(expect.objectContaining({ code: expected }))
    expect(() => [...decoder.decodeAll(Uint8Array.of(0x90), options)]).toThrow(
      expect.objectContaining({ code: expected }),
    )
  })

  test.each([undefined, [0x90], '\x90', new Uint16Array(1)])('%j is no bytes', (bytes) => {
    expect(() => decoder.decode(bytes as unknown as Uint8Array)).toThrow(expect.objectContaining({ code: 'ERR_BYTES' }))
  })
})

test('addresses wrap at 2^64', () => {
  const decoded = [...decoder.decodeAll(Uint8Array.of(0xeb, 0x10, 0x90), { address: 0xffff_ffff_ffff_ffffn })]
  expect(decoded.map(({ address }) => address)).toEqual([0xffff_ffff_ffff_ffffn, 1n])
  expect(decoded[0]?.operands[0]).toMatchObject({ target: 0x11n })
})
