/** Names of a guest's code while it executes. */
import { expect, test } from 'vitest'
import { CodeNames } from '../../src/machine/profile/guest-names.ts'

test('memory is searched for a kernel’s names now and then, for addresses of kernels alone', () => {
  let searches = 0
  const memory = { u8: new Uint8Array(0) }
  const p2m = {
    leaves: () => {
      searches++
      return []
    },
    isRam: () => true,
  }
  const names = new CodeNames()
  names.attach({ memory, domain: { p2m, secondLevel: { peek: () => -1 } } }, undefined)
  const look = (address: bigint, times: number): number => {
    for (let i = 0; i < times; i++) expect(names.nameOf(address)).toBeUndefined()
    return searches
  }
  expect(look(0x40_0000n, 1000)).toBe(0)
  expect(look(0xffff_ffff_8100_0000n, 1)).toBe(1)
  expect(look(0xffff_ffff_8100_0000n, 98)).toBe(1)
  expect(look(0xffff_ffff_8100_0000n, 1)).toBe(2)
})
