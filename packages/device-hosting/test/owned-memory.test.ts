/** Memory of a model: what a model may ask of it, and what is refused. JavaScript hands over anything. */
import { DeviceError, type OwnedMemory, type OwnedMemoryOptions } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { makeMachine } from './machine.ts'

const PAGE = 4096
const BYTES = 40 * PAGE

/** Makes a model's memory; the other options are as they should be. */
function make(options: object = {}): OwnedMemory {
  let memory: OwnedMemory | undefined
  makeMachine({}, [
    {
      name: 'card',
      attach(context) {
        memory = context.ownMemory({ name: 'vram', bytes: BYTES, ...options } as OwnedMemoryOptions)
      },
    },
  ])
  return memory!
}

function codeOf(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error
    expect(error.message).toMatch(/^card: memory /)
    return error.code
  }
}

describe('memory is made of options that make sense alone', () => {
  test.each([
    { what: 'no name', options: { name: '' } },
    { what: 'a name that is none', options: { name: 7 } },
    { what: 'no bytes', options: { bytes: 0 } },
    { what: 'less than a page', options: { bytes: PAGE / 2 } },
    { what: 'a page and a half', options: { bytes: 1.5 * PAGE } },
    { what: 'more than 2 GiB', options: { bytes: 2 ** 31 + PAGE } },
    { what: 'bytes that are no number', options: { bytes: `${PAGE}` } },
    { what: 'another kind', options: { kind: 'flash' } },
    { what: 'another mode', options: { mode: 'hidden' } },
    { what: 'contents that are none', options: { contents: [1, 2] } },
    { what: 'contents that are larger', options: { contents: new Uint8Array(BYTES + 1) } },
  ])('not of $what', ({ options }) => {
    expect(codeOf(() => make(options))).toBe('ERR_INVALID')
  })

  test.each([
    { what: 'one page', options: { bytes: PAGE } },
    { what: '2 GiB', options: { bytes: 2 ** 31 } },
    { what: 'ROM', options: { kind: 'rom' } },
    { what: 'RAM', options: { kind: 'ram' } },
    { what: 'mode memory', options: { mode: 'memory' } },
    { what: 'mode trapped', options: { mode: 'trapped' } },
    { what: 'contents for all of it', options: { contents: new Uint8Array(PAGE), bytes: PAGE } },
  ])('but of $what', ({ options }) => {
    const refused = codeOf(() => {
      try {
        make(options)
      } catch (error) {
        // The test's machine has less than 2 GiB.
        if (!(error instanceof RangeError)) throw error
      }
    })
    expect(refused).toBeUndefined()
  })
})

describe('a part of it', () => {
  const parts = [
    { offset: 0, bytes: 0, ok: true },
    { offset: 0, bytes: BYTES, ok: true },
    { offset: BYTES, bytes: 0, ok: true },
    { offset: BYTES - 1, bytes: 1, ok: true },
    { offset: BYTES, bytes: 1, ok: false },
    { offset: 0, bytes: BYTES + 1, ok: false },
    { offset: -1, bytes: 1, ok: false },
    { offset: 0.5, bytes: 1, ok: false },
    { offset: NaN, bytes: 1, ok: false },
    { offset: 2 ** 53, bytes: 0, ok: false },
  ]
  test.each(parts)('of $bytes bytes at $offset: $ok', async ({ offset, bytes, ok }) => {
    const memory = make()
    const expected = ok ? undefined : 'ERR_INVALID'
    expect(codeOf(() => memory.read(offset, new Uint8Array(bytes)))).toBe(expected)
    expect(codeOf(() => memory.write(offset, new Uint8Array(bytes)))).toBe(expected)
    expect(codeOf(() => memory.modified(offset, bytes))).toBe(expected)
    for (const wait of [
      memory.readAsync(offset, new Uint8Array(bytes)),
      memory.writeAsync(offset, new Uint8Array(bytes)),
    ]) {
      if (ok) await wait
      else await expect(wait).rejects.toMatchObject({ code: 'ERR_INVALID' })
    }
  })

  test('that is marked as modified has bytes', () => {
    expect(codeOf(() => make().modified(0, -1))).toBe('ERR_INVALID')
  })
})

describe('dirty pages', () => {
  test.each([
    { offset: 0, bytes: BYTES, words: 2, ok: true },
    { offset: PAGE, bytes: 32 * PAGE, words: 1, ok: true },
    // The last page may be asked for in part.
    { offset: PAGE, bytes: 31 * PAGE + 1, words: 1, ok: true },
    { offset: 0, bytes: BYTES, words: 1, ok: false },
    { offset: PAGE, bytes: 32 * PAGE + 1, words: 1, ok: false },
    { offset: 0, bytes: 0, words: 1, ok: false },
    { offset: 1, bytes: PAGE, words: 1, ok: false },
    { offset: PAGE, bytes: BYTES, words: 2, ok: false },
  ])('of $bytes bytes at $offset in $words words: $ok', async ({ offset, bytes, words, ok }) => {
    const memory = make()
    memory.logWrites(true)
    const take = (): number => memory.takeDirty(offset, bytes, new Uint32Array(words))
    const wait = memory.takeDirtyAsync(offset, bytes, new Uint32Array(words))
    if (ok) expect([take(), await wait]).toEqual([0, 0])
    else {
      expect(codeOf(take)).toBe('ERR_INVALID')
      await expect(wait).rejects.toMatchObject({ code: 'ERR_INVALID' })
    }
  })

  test('are known only while writes are logged', () => {
    const memory = make()
    const take = (): number => memory.takeDirty(0, PAGE, new Uint32Array(1))
    expect(codeOf(take)).toBe('ERR_INVALID')
    memory.logWrites(true)
    memory.modified(0, 1)
    expect(take()).toBe(1)
    memory.logWrites(false)
    expect(codeOf(take)).toBe('ERR_INVALID')
  })
})

test.each(['memory', 'trapped'] as const)('its mode can become %s, and no other', (mode) => {
  const memory = make()
  memory.setMode(mode)
  expect(memory.mode).toBe(mode)
  expect(codeOf(() => memory.setMode('hidden' as never))).toBe('ERR_INVALID')
  expect(memory.mode).toBe(mode)
})
