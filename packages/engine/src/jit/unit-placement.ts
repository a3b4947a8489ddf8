import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import type { CodePage, UnitPart } from '../code-page.ts'
import { OP_CROSS, OP_UNIT, RECORD_BYTES, R_LINK, R_OP } from '../record.ts'
import type { FoundPage } from './region-discovery.ts'
import type { CodeInstructions, CodeSource } from './unit-code.ts'

/** Records that decoding one more place may take. */
const ROOM = 64

/** A place at which compiled code is executed. */
export interface UnitPlacement {
  readonly pages: readonly FoundPage[]
  /** The bytes that the code was made from, the page of the place first. */
  readonly parts: readonly UnitPart[]
  /** The words that the code loads: of each page the machine address of its slot table and its distance, then records. */
  readonly words: readonly number[]
  /** Of the instructions of `CodeSource.recordPositions`: the records by which the interpreter begins them. */
  readonly firsts: readonly number[]
  /** Own records. */
  readonly owns: readonly number[]
}

/**
 * Checks whether compiled code matches the instructions at a place, and returns the code's words for it.
 *
 * @param pageAt - the code page that is executed at a distance from the place's page, if it is known
 * @returns undefined where an instruction differs, or a page is not known, or decoded instructions have no room
 */
export function placeCode(
  memory: MachineMemory,
  cache: CodeCache,
  code: CodeSource,
  pageAt: (delta: number) => CodePage | undefined,
): UnitPlacement | undefined {
  const found = new Map<number, FoundPage>()
  for (const delta of code.deltas) {
    const page = pageAt(delta)
    if (page === undefined) return undefined
    found.set(delta, { delta, page })
  }
  const pageOf = (at: number): CodePage => found.get(at - (at & (PAGE_BYTES - 1)))!.page
  if (!isThere(memory, pageOf, code.instructions)) return undefined
  const pages = [...found.values()]
  const words: number[] = []
  for (const { delta, page } of pages) words.push(page.slots, delta)
  const firsts: number[] = []
  const owns: number[] = []
  for (const at of code.recordPositions) {
    const second = found.get(at - (at & (PAGE_BYTES - 1)) + PAGE_BYTES)?.page
    const first = recordAt(memory, cache, pageOf(at), at & (PAGE_BYTES - 1), second)
    if (first === undefined) return undefined
    const own = memory.u16[(first + R_OP) >>> 1] === OP_CROSS ? first + RECORD_BYTES : first
    firsts.push(first)
    owns.push(own)
    words.push(own)
  }
  const parts = pages.map(({ delta, page }) => ({ page, ranges: rangesIn(code, delta) }))
  return { pages, parts, words, firsts, owns }
}

/** The bytes of a page that code was made from: pairs of offsets. */
function rangesIn({ instructions }: CodeSource, delta: number): readonly number[] {
  const ranges: number[] = []
  const { at, from } = instructions
  for (let i = 0; i < at.length; i++) {
    const start = Math.max(at[i]! - delta, 0)
    const end = Math.min(at[i]! + from[i + 1]! - from[i]! - delta, PAGE_BYTES)
    if (start >= end) continue
    if (ranges.at(-1) === start) ranges[ranges.length - 1] = end
    else ranges.push(start, end)
  }
  return ranges
}

/** Whether the bytes at a place are the compiled code's, without breakpoints among its instructions. */
function isThere(
  { u8 }: MachineMemory,
  pageOf: (at: number) => CodePage,
  { at, from, bytes }: CodeInstructions,
): boolean {
  for (let i = 0; i < at.length; i++) {
    let page = pageOf(at[i]!)
    if (page.traps?.has(at[i]! & (PAGE_BYTES - 1)) === true) return false
    for (let n = from[i]!; n < from[i + 1]!; n++) {
      const position = at[i]! + n - from[i]!
      const offset = position & (PAGE_BYTES - 1)
      if (offset === 0) page = pageOf(position)
      if (u8[page.frame * PAGE_BYTES + offset] !== bytes[n]) return false
    }
  }
  return true
}

/** The record by which the interpreter begins an instruction; it is decoded if need be. */
function recordAt(
  { u16, u32 }: MachineMemory,
  cache: CodeCache,
  page: CodePage,
  offset: number,
  second: CodePage | undefined,
): number | undefined {
  if (!cache.hasRoom(ROOM)) return undefined
  let record = cache.record(page, offset)
  if (record === 0) return second && cache.crossing(page, offset, second)
  if (u16[(record + R_OP) >>> 1] === OP_UNIT) record = u32[(record + R_LINK) >>> 2]!
  if (u16[(record + R_OP) >>> 1] !== OP_CROSS) return record
  return second !== undefined && cache.crossesInto(record, second) ? record : undefined
}
