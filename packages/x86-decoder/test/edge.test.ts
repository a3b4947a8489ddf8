// What plain JavaScript may hand over by mistake: the answer is a DecoderError, and never an error of the engine's.
import { JUNK, Untyped } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import * as decoder from '../src/index.ts'

type Anything = (...args: readonly unknown[]) => unknown

const code = Uint8Array.of(0xe8, 1, 2, 3, 4, 0x90)
const call = decoder.decode(code)

/** Makes calls, and returns what was thrown and is no DecoderError. */
function strange(run: Anything, ...argumentLists: readonly (readonly unknown[])[]): string[] {
  const untyped = new Untyped(decoder.DecoderError)
  for (const list of argumentLists) untyped.attempt('call', () => run(...list))
  return [...untyped.found]
}

describe('junk is a mistake', () => {
  test.each([
    ['decode', decoder.decode as Anything],
    ['decodeAll', ((...args: Parameters<typeof decoder.decodeAll>) => [...decoder.decodeAll(...args)]) as Anything],
  ])('of who calls %s', (_, run) => {
    const lists = JUNK.flatMap((junk) => [
      [junk],
      [undefined],
      [code, junk],
      ...['mode', 'address', 'offset', 'vendor', 'features'].map((option) => [code, { [option]: junk }]),
    ])
    expect(strange(run, ...lists)).toEqual([])
  })

  test.each([
    ['formatIntel', decoder.formatIntel as Anything],
    ['formatAtt', decoder.formatAtt as Anything],
    ['formatNasm', decoder.formatNasm as Anything],
    ['tokensIntel', decoder.tokensIntel as Anything],
  ])('of who calls %s', (_, run) => {
    const lists = JUNK.flatMap((junk) => [
      [junk],
      [undefined],
      [call, junk],
      [call.instruction, junk],
      ...['address', 'symbols', 'hex', 'upperCase', 'spacing', 'mnemonicWidth'].map((o) => [call, { [o]: junk }]),
    ])
    expect(strange(run, ...lists)).toEqual([])
  })

  test('of who calls operandsOf, usedResources, decoderOptions', () => {
    const lists = JUNK.flatMap((junk) => [[junk, 0n], [undefined], [new decoder.Instruction(), junk]])
    expect(strange(decoder.operandsOf as Anything, ...lists)).toEqual([])
    expect(strange(decoder.usedResources as Anything, ...lists)).toEqual([])
    expect(
      strange(decoder.decoderOptions as Anything, ...JUNK.flatMap((junk) => [[junk], [{ vendor: junk }]])),
    ).toEqual([])
  })

  test('that is named', () => {
    expect(() => decoder.decodeAll([0x90] as never)).toThrow(expect.objectContaining({ code: 'ERR_BYTES' }))
    expect(() => decoder.decode(code, null as never)).toThrow('the options are null')
    expect(() => decoder.formatIntel(7 as never)).toThrow(expect.objectContaining({ code: 'ERR_TARGET' }))
    expect(() => decoder.formatIntel(call, { spacing: 'wide' as never })).toThrow('spacing "wide"')
    expect(() => decoder.formatIntel(call, { mnemonicWidth: -1 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    )
    expect(() => decoder.formatIntel(call, { address: 5 as never })).toThrow(
      expect.objectContaining({ code: 'ERR_ADDRESS' }),
    )
    expect(() => decoder.formatIntel(call, { symbols: {} as never })).toThrow('symbols is [object Object]')
  })
})

test('register operands that are equal are one object, which nobody can change', () => {
  const [first, second, other] = [...decoder.decodeAll(Uint8Array.of(0x01, 0xc8, 0x01, 0xc8, 0x03, 0xc8))].map(
    ({ operands }) => operands,
  )
  expect(second![1]).toBe(first![1])
  expect(Object.isFrozen(first![0])).toBe(true)
  // The same register, used otherwise.
  expect([other![1], first![0]]).toEqual([
    { kind: 'register', name: 'eax', register: 0, size: 4, access: 'r' },
    { kind: 'register', name: 'eax', register: 0, size: 4, access: 'rw' },
  ])
})

test('addresses go on from 0 behind the end', () => {
  const code = Uint8Array.of(0x90, 0x0f, 0x0b, 0x90)
  const addresses = [...decoder.decodeAll(code, { address: 0xffff_ffff_ffff_ffffn })].map(({ address }) => address)
  expect(addresses).toEqual([0xffff_ffff_ffff_ffffn, 0n, 2n])
})
