import { Interpreters, unpackInterpreters, usePacked } from '@retrap/engine'
import { describe, expect, test } from 'vitest'
import type { FormSource } from '../src/semantics/form-context.ts'
import { interpreters, formOfCode, packInterpreters, useInterpreters } from '../src/engine.ts'

const packed = packInterpreters()
const unpacked = unpackInterpreters(packed, formOfCode)

/** The same with a text of its description replaced by one of the same length. */
function changed(text: string, by: string): Uint8Array {
  const bytes = packed.slice()
  const buffer = Buffer.from(bytes.buffer)
  for (let at = buffer.indexOf(text); at >= 0; at = buffer.indexOf(text, at + 1)) buffer.write(by, at)
  return bytes
}

describe('interpreters generated ahead', () => {
  test.each([false, true])('are those that a machine generates; shared memory: %s', (shared) => {
    const { code } = unpacked.find((one) => one.shared === shared)!
    const { code: expected } = interpreters.of({ shared, hot: true })
    expect(Buffer.from(code.bytes).equals(expected.bytes)).toBe(true)
    expect(code.codes).toEqual(expected.codes)
    expect(code.sharedEntries).toEqual(expected.sharedEntries)
    expect(code).toMatchObject({ tableEntries: expected.tableEntries, mainBytes: expected.mainBytes })

    const differing: string[] = []
    for (const [key, { op, fn }] of expected.codes) {
      const [is, should] = [code.formOf(op, fn), expected.formOf(op, fn)]
      if (JSON.stringify(is) !== JSON.stringify(should)) differing.push(key)
      if (String(is?.semantics.emit) !== String(should?.semantics.emit)) differing.push(`${key}: semantics`)
      if (code.functionBytes(op, fn) !== expected.functionBytes(op, fn)) differing.push(`${key}: bytes`)
      if (code.formOf(op, fn) !== is) differing.push(`${key}: another object`)
    }
    expect(differing).toEqual([])
    for (const [op, fn] of [
      [0x7fff, 0],
      [2, 0x7fff],
    ] as const) {
      expect([code.formOf(op, fn), code.functionBytes(op, fn)]).toEqual([undefined, 0])
    }
  })

  test('are taken by the first machine of their kind, and not by later ones', () => {
    const unused = new Interpreters<FormSource>(() => expect.fail('generated'))
    usePacked(unused, packed, formOfCode)
    const first = unused.of({ shared: false, hot: true })
    expect(Buffer.from(first.code.bytes).equals(unpacked[0]!.code.bytes)).toBe(true)
    usePacked(unused, packed, formOfCode)
    expect(unused.of({ shared: false, hot: true })).toBe(first)
  })

  test.each([
    ['nothing', new Uint8Array()],
    ['a part', packed.subarray(0, packed.length - 1)],
    ['other bytes', new Uint8Array(4096).fill(0x7b)],
    ['a length beyond the end', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7b, 0x7d)],
    ['another version', changed('"version":2', '"version":0')],
  ])('%s is refused', (_, bytes) => {
    expect(() => useInterpreters(bytes)).toThrow(expect.objectContaining({ code: 'ERR_PACKED_INTERPRETERS' }))
  })
})
