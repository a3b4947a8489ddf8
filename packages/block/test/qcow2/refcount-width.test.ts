/** Counts of all widths (qcow2 specification, "Host cluster management", refcount_order). */
import { expect, test } from 'vitest'
import { RefcountWidth } from '../../src/qcow2/refcount-width.ts'

const BLOCK = 512

/** A count by the specification: big-endian where it has bytes, the first one in the lowest bits of a byte otherwise. */
function countAt(block: Uint8Array, bits: number, index: number): bigint {
  if (bits < 8) {
    const perByte = 8 / bits
    return (
      (BigInt(block[Math.floor(index / perByte)]!) >> BigInt((index % perByte) * bits)) & ((1n << BigInt(bits)) - 1n)
    )
  }
  let count = 0n
  for (let i = 0; i < bits / 8; i++) count = (count << 8n) | BigInt(block[(index * bits) / 8 + i]!)
  return count
}

test.each([0, 1, 2, 3, 4, 5, 6])('order %i', (order) => {
  const width = new RefcountWidth(order)
  const bits = 1 << order
  const entries = (BLOCK * 8) / bits
  expect(width.entriesIn(BLOCK)).toBe(entries)
  // No file has room for more references than 2^52.
  expect(width.most).toBe(bits === 64 ? 2 ** 52 : 2 ** bits - 1)
  for (const index of [0, 1, 2, 3, 7, 8, 9, entries - 2, entries - 1]) {
    for (const count of [width.most, 0, 1, Math.floor(width.most / 3)]) {
      for (const others of [0, 0xff]) {
        const block = new Uint8Array(BLOCK).fill(others)
        const view = new DataView(block.buffer)
        expect(width.write(view, index, count)).toBe(Math.floor((index * bits) / 8))
        expect([countAt(block, bits, index), width.read(view, index)]).toEqual([BigInt(count), count])
        // Neighbours stay.
        const neighbour = index === 0 ? 1 : index - 1
        expect(countAt(block, bits, neighbour)).toBe(others === 0 ? 0n : (1n << BigInt(bits)) - 1n)
      }
    }
  }
})
