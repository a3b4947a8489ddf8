/** What the page takes of what the playground's Worker says, and what the example answers to the guest. */
import type { DeviceContext, RangeHandler } from '@retrap/device'
import { expect, test, vi } from 'vitest'
import { greeter } from '../src/playground/example-device.ts'
import { readReport } from '../src/playground/report.ts'

test('what the sandbox says is taken for what it is', () => {
  expect(readReport({ kind: 'log', text: 'x' })).toEqual({ kind: 'log', text: 'x' })
  expect(readReport({ kind: 'error', message: 'x', line: 'y' })).toEqual({ kind: 'error', message: 'x', line: null })
  expect(readReport({ kind: 'error', message: 'x', line: 3 })).toEqual({ kind: 'error', message: 'x', line: 3 })
  const long = 'x'.repeat(1_000_000)
  expect(readReport({ kind: 'log', text: long })).toEqual({ kind: 'log', text: long.slice(0, 2000) })
  // Each level has the one below it twice: as text it would be without end.
  let nested: unknown = []
  for (let i = 0; i < 60; i++) nested = [nested, nested]
  expect(readReport({ kind: 'attached', names: ['a', nested, long] })).toEqual({
    kind: 'attached',
    names: ['a', long.slice(0, 2000)],
  })
  // A Worker whose program is refused has an error without a message.
  for (const silent of [{ kind: 'error' }, { kind: 'error', message: '', line: 0 }])
    expect(readReport(silent)).toEqual({ kind: 'error', message: expect.stringMatching(/^This browser /), line: null })
  for (const nonsense of [null, 1, 'log', {}, { kind: 'log' }, { kind: 'attached' }])
    expect(readReport(nonsense)).toBe(null)
  const many = Array.from({ length: 51 }, (_, i) => String(i))
  expect(readReport({ kind: 'attached', names: many })).toEqual({ kind: 'attached', names: many.slice(0, 50) })
})

test('the example answers with its text from any address, over and over', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  let range: RangeHandler
  const mapMmio: DeviceContext['mapMmio'] = (_base, _size, handler) => {
    range = handler
    return undefined as never
  }
  greeter.attach({ mapMmio } as DeviceContext)
  // "Hell", "f", "ro", and "!" at the end with " He" from the start again.
  const answers = await Promise.all([range!.read(0, 4), range!.read(6, 1), range!.read(7, 2), range!.read(21, 4)])
  expect(answers).toEqual([0x6c6c_6548, 0x66, 0x6f72, 0x6548_2021])
  log.mockRestore()
})
