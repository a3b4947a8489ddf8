// What plain JavaScript may hand over by mistake: the answer is a DecoderError, and never an error of the engine's.
import { JUNK, Untyped } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import {
  decode,
  decodeAll,
  decoderOptions,
  DecoderError,
  formatAtt,
  formatIntel,
  formatNasm,
  Instruction,
  operandsOf,
  tokensIntel,
  usedResources,
} from '../src/index.ts'

type Anything = (...args: readonly unknown[]) => unknown

const code = Uint8Array.of(0xe8, 1, 2, 3, 4, 0x90)
const call = decode(code)

/** Makes calls, and returns what was thrown and is no DecoderError. */
function strange(run: Anything, ...argumentLists: readonly (readonly unknown[])[]): string[] {
  const untyped = new Untyped(DecoderError)
  for (const list of argumentLists) untyped.attempt('call', () => run(...list))
  return [...untyped.found]
}

describe('junk is a mistake', () => {
  test.each([
    ['decode', decode as Anything],
    ['decodeAll', ((...args: Parameters<typeof decodeAll>) => [...decodeAll(...args)]) as Anything],
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
    ['formatIntel', formatIntel as Anything],
    ['formatAtt', formatAtt as Anything],
    ['formatNasm', formatNasm as Anything],
    ['tokensIntel', tokensIntel as Anything],
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
    const lists = JUNK.flatMap((junk) => [[junk, 0n], [undefined], [new Instruction(), junk]])
    expect(strange(operandsOf as Anything, ...lists)).toEqual([])
    expect(strange(usedResources as Anything, ...lists)).toEqual([])
    expect(strange(decoderOptions as Anything, ...JUNK.flatMap((junk) => [[junk], [{ vendor: junk }]]))).toEqual([])
  })

  test('that is named', () => {
    expect(() => decodeAll([0x90] as never)).toThrow(expect.objectContaining({ code: 'ERR_BYTES' }))
    expect(() => decode(code, null as never)).toThrow('the options are null')
    expect(() => formatIntel(7 as never)).toThrow(expect.objectContaining({ code: 'ERR_TARGET' }))
    expect(() => formatIntel(call, { spacing: 'wide' as never })).toThrow('spacing "wide"')
    expect(() => formatIntel(call, { mnemonicWidth: -1 })).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
    expect(() => formatIntel(call, { address: 5 as never })).toThrow(expect.objectContaining({ code: 'ERR_ADDRESS' }))
    expect(() => formatIntel(call, { symbols: {} as never })).toThrow('symbols is [object Object]')
  })
})

test('register operands that are equal are one object, which nobody can change', () => {
  const [first, second, other] = [...decodeAll(Uint8Array.of(0x01, 0xc8, 0x01, 0xc8, 0x03, 0xc8))].map(
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
  const addresses = [...decodeAll(code, { address: 0xffff_ffff_ffff_ffffn })].map(({ address }) => address)
  expect(addresses).toEqual([0xffff_ffff_ffff_ffffn, 0n, 2n])
})
