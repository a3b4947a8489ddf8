import { R_SCALE } from '../state/record.ts'
import { STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT, S_AVX_GATE } from '../state/state-layout.ts'
import { locateIndexed, startElements } from './element-address.ts'
import { registerOffset, sizeOf, type Handler } from './operands.ts'
import { Abandon, type System } from './system.ts'

/** Widths in bytes. The mnemonic has them: VPGATHERQD has quadword indices and doubleword elements. */
interface Shape {
  readonly index: 4 | 8
  readonly element: 4 | 8
}

/** The registers as they are to be: destination and mask, 32 bytes each. */
const destination = new Uint32Array(8)
const mask = new Uint32Array(8)

function take(s: System, offset: number, into: Uint32Array): void {
  for (let i = 0; i < 8; i++) into[i] = s.get(offset + 4 * i)
}

/** Writes a vector register, whose upper half of 512 bits becomes zero. */
export function give(s: System, offset: number, from: Uint32Array): void {
  for (let i = 0; i < 16; i++) s.set(offset + 4 * i, from[i] ?? 0)
}

/**
 * VPGATHERDD and its like: loads the elements whose mask element has its top bit set, from the lowest on, each with an
 * access of its own, and clears the mask.
 *
 * A fault ends it with all elements below done and their mask elements clear, which the instruction finds when it starts
 * again. So does an event that has come up while a device had to be waited for, once the element that was asked for is
 * there: what a device has answered is never asked for again.
 *
 * Source: Intel SDM vol. 2C, VPGATHERDD/VPGATHERQD, VGATHERDPS/VGATHERQPS and their pages.
 */
function gather({ index, element }: Shape): Handler {
  const words = element >> 2
  return (s, record, form) => {
    const vector = s.get(S_AVX_GATE)
    if (vector !== 0) s.raisePlain(vector)
    const to = registerOffset(s, record, 0)
    const indices = registerOffset(s, record, 1)
    const from = registerOffset(s, record, 2)
    const scale = s.cpu.memory.u8[record + R_SCALE]!
    const count = Math.min(sizeOf(form, 0) / element, sizeOf(form, 1) / index)
    take(s, to, destination)
    take(s, from, mask)
    // Every element of the mask becomes all ones or all zeros, and so it is found after a fault.
    for (let i = 0; i < count; i++) mask.fill(-(mask[(i + 1) * words - 1]! >>> 31), i * words, (i + 1) * words)
    mask.fill(0, count * words)
    startElements(s, record)
    let fresh = false
    for (let i = 0; i < count; i++) {
      if (mask[i * words] === 0) continue
      if (fresh && s.cpu.mayEndGather()) {
        give(s, to, destination)
        give(s, from, mask)
        return STATUS_CONTINUE
      }
      try {
        const at = indices + i * index
        const lo = s.get(at)
        locateIndexed(s, record, lo, index === 8 ? s.get(at + 4) : (lo | 0) >> 31, scale, element)
        s.readElement(s.linLo, s.linHi, element, i)
      } catch (error) {
        if (error instanceof Abandon && error.status === STATUS_FAULT) {
          give(s, to, destination)
          give(s, from, mask)
        }
        throw error
      }
      destination[i * words] = s.lo
      if (words === 2) destination[i * words + 1] = s.hi
      mask.fill(0, i * words, (i + 1) * words)
      fresh = true
    }
    destination.fill(0, count * words)
    give(s, to, destination)
    give(s, from, mask)
    return STATUS_DONE
  }
}

export const gatherHandlers: Readonly<Record<string, Handler>> = {
  VPGATHERDD: gather({ index: 4, element: 4 }),
  VPGATHERDQ: gather({ index: 4, element: 8 }),
  VPGATHERQD: gather({ index: 8, element: 4 }),
  VPGATHERQQ: gather({ index: 8, element: 8 }),
}
