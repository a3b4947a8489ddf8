import { describe, expect, test } from 'vitest'
import { bootsFromNetwork, checkImages } from '../../src/flags/images.ts'

describe('a boot from a network', () => {
  test.each([
    { given: { boot: { order: 'n' } }, boots: true },
    { given: { boot: { order: 'cdn' } }, boots: true },
    { given: { boot: { order: 'cd' } }, boots: false },
    { given: { boot: {} }, boots: false },
    { given: {}, boots: false },
    // The kernel is started instead, by itself or by firmware.
    { given: { boot: { order: 'n' }, kernel: 'vmlinuz' }, boots: false },
  ])('$given: $boots', ({ given, boots }) => expect(bootsFromNetwork(given)).toBe(boots))

  test('is something to run', () => {
    expect(() => checkImages({ boot: { order: 'n' } })).not.toThrow()
    expect(() => checkImages({ boot: { order: 'c' } })).toThrow('nothing to run')
  })
})
