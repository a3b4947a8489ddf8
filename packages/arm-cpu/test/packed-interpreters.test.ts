import { unpackInterpreters } from '@retrap/engine'
import { FIXED_MA } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { interpreters, formOfKey, packInterpreters, useInterpreters } from '../src/engine.ts'
import { generateArmInterpreter } from '../src/interpreter/interpreter.ts'

const packed = packInterpreters()
const unpacked = unpackInterpreters(packed, formOfKey)

describe('interpreters generated ahead', () => {
  test.each([false, true])('are those that a machine generates; shared memory: %s', (shared) => {
    const { code } = unpacked.find((one) => one.shared === shared)!
    const { code: expected } = interpreters.of({ shared, hotAt: FIXED_MA })
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
    const { bytes } = generateArmInterpreter({ shared: false, hotAt: FIXED_MA })
    expect(Buffer.from(unpacked[0]!.code.bytes).equals(bytes)).toBe(true)
  })

  test('are taken by the first machine of their kind, and not by later ones', () => {
    // No machine of this process has its counters there.
    const elsewhere = FIXED_MA + 8
    const bytes = packed.slice()
    const buffer = Buffer.from(bytes.buffer)
    const [text, by] = [`"hotAt":${FIXED_MA}`, `"hotAt":${elsewhere}`]
    for (let at = buffer.indexOf(text); at >= 0; at = buffer.indexOf(text, at + 1)) buffer.write(by, at)
    useInterpreters(bytes)
    const first = interpreters.of({ shared: false, hotAt: elsewhere })
    expect(Buffer.from(first.code.bytes).equals(unpacked[0]!.code.bytes)).toBe(true)
    useInterpreters(bytes)
    expect(interpreters.of({ shared: false, hotAt: elsewhere })).toBe(first)
  })
})
