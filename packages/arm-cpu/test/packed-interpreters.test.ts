import { Interpreters, unpackInterpreters, usePacked } from '@retrap/engine'
import { describe, expect, test } from 'vitest'
import type { FormSource } from '../src/semantics/semantics.ts'
import { interpreters, formOfKey, packInterpreters } from '../src/engine.ts'
import { generateArmInterpreter } from '../src/interpreter/interpreter.ts'

const packed = packInterpreters()
const unpacked = unpackInterpreters(packed, formOfKey)

describe('interpreters generated ahead', () => {
  test.each([false, true])('are those that a machine generates; shared memory: %s', (shared) => {
    const { code } = unpacked.find((one) => one.shared === shared)!
    const { code: expected } = interpreters.of({ shared, hot: true })
    expect(Buffer.from(code.bytes).equals(expected.bytes)).toBe(true)
    expect(code.codes).toEqual(expected.codes)
    expect(code.sharedEntries).toEqual(expected.sharedEntries)
    expect(code).toMatchObject({ tableEntries: expected.tableEntries, mainBytes: expected.mainBytes })
    const differing = [...expected.codes].filter(
      ([, { op, fn }]) =>
        code.formOf(op, fn) !== expected.formOf(op, fn) ||
        code.functionBytes(op, fn) !== expected.functionBytes(op, fn),
    )
    expect(differing).toEqual([])
  })

  test('are the same each time that they are generated', () => {
    const { bytes } = generateArmInterpreter({ shared: false, hot: true })
    expect(Buffer.from(unpacked[0]!.code.bytes).equals(bytes)).toBe(true)
  })

  test('are taken by the first machine of their kind, and not by later ones', () => {
    const unused = new Interpreters<FormSource>(() => expect.fail('generated'))
    usePacked(unused, packed, formOfKey)
    const first = unused.of({ shared: false, hot: true })
    expect(Buffer.from(first.code.bytes).equals(unpacked[0]!.code.bytes)).toBe(true)
    usePacked(unused, packed, formOfKey)
    expect(unused.of({ shared: false, hot: true })).toBe(first)
  })
})
