import type { Tlb } from '@retrap/engine'
import { beforeEach, expect, test } from 'vitest'
import { PagesBesideCode } from '../src/access/pages-beside-code.ts'
import { SLOW_IMPLICIT, SLOW_MODIFY, SLOW_PROBE, SLOW_WRITE } from '../src/state/host.ts'
import { S_TLB } from '../src/state/state-layout.ts'

const tlb = { changes: 3, writableDrops: 5 }
const u32 = new Uint32Array((S_TLB >>> 2) + 1)
let pages: PagesBesideCode

beforeEach(() => {
  pages = new PagesBesideCode(tlb as unknown as Tlb, u32)
  pages.remember(0xffff_9000, 0xffff_ffff, 0x8765_4000)
})

const find = (lo: number, flags: number, hi = -1): number => pages.find(lo | 0, hi, flags)

test('a page that was written beside code is found again, for stores and for loads of what will be stored', () => {
  expect(find(0xffff_9123, 4 | SLOW_WRITE)).toBe(0x8765_4123)
  expect(find(0xffff_9ffc, 4 | SLOW_MODIFY)).toBe(0x8765_4ffc)
  expect(find(0xffff_9000, 4 | SLOW_WRITE | SLOW_PROBE)).toBe(0x8765_4000)
})

test.each([
  ['a load', 0xffff_9123, 4],
  ['an access of the processor itself', 0xffff_9123, 4 | SLOW_WRITE | SLOW_IMPLICIT],
  ['a store that ends in the next page', 0xffff_9ffd, 4 | SLOW_WRITE],
  ['another page in the same place', 0xffff_1123, 4 | SLOW_WRITE],
  ['a page that has the same low word', 0xffff_9123, 4 | SLOW_WRITE, 0],
  ['a page that was not written', 0xffff_a123, 4 | SLOW_WRITE],
])('%s is none of it', (_, lo, flags, hi = -1) => {
  expect(find(lo, flags, hi)).toBe(0)
})

test.each([
  ['the TLB has changed', () => tlb.changes++],
  ['write entries were dropped', () => tlb.writableDrops++],
  ['the mode is another one', () => u32[S_TLB >>> 2]!++],
])('nothing is found when %s', (_, change) => {
  change()
  expect(find(0xffff_9123, 4 | SLOW_WRITE)).toBe(0)
  // Nor is what was there before when another page is remembered.
  pages.remember(0x1000, 0, 0x2000)
  expect(find(0xffff_9123, 4 | SLOW_WRITE)).toBe(0)
  expect(find(0x1004, 4 | SLOW_WRITE, 0)).toBe(0x2004)
})
