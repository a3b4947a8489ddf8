import { R_MASK, R_SCALE } from '../../state/record.ts'
import { STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT, S_ELEMENT, S_EVEX_GATE } from '../../state/state-layout.ts'
import { locateIndexed, startElements } from '../../system/element-address.ts'
import { give } from '../../system/gather.ts'
import { registerOffset, sizeOf, type Handler } from '../../system/operands.ts'
import { Abandon } from '../../system/system.ts'

/**
 * Gathers and scatters under an opmask: an access for each element whose bit is set, from the lowest on. The bit of an element
 * is cleared when it is done. A fault, or an event that has come up while a device had to be waited for, ends the instruction
 * with all elements below done: it finds that when it starts again, and what a device has answered is never asked for again.
 *
 * Source: Intel SDM vol. 2C, VPGATHERDD/VPGATHERDQ, VPSCATTERDD/VPSCATTERDQ/VPSCATTERQD/VPSCATTERQQ and their pages.
 */

/** The vector register as it is to be, 64 bytes. */
const vector = new Uint32Array(16)

/** Gathers, or scatters. @param index - bytes of an index @param element - bytes of an element */
function indexed(write: boolean, index: 4 | 8, element: 4 | 8): Handler {
  const words = element >> 2
  return (s, record, form) => {
    const gate = s.get(S_EVEX_GATE)
    if (gate !== 0) s.raisePlain(gate)
    const [vectors, indexes] = write ? [1, 0] : [0, 1]
    const at = registerOffset(s, record, vectors)
    const indices = registerOffset(s, record, indexes)
    const mask = s.cpu.memory.u16[(record + R_MASK) >>> 1]!
    const scale = s.cpu.memory.u8[record + R_SCALE]!
    const count = Math.min(sizeOf(form, vectors) / element, sizeOf(form, indexes) / index)
    let left = s.get(mask)
    for (let i = 0; i < 16; i++) vector[i] = s.get(at + 4 * i)
    let isFresh = false
    /** Writes what is done by now. */
    const keep = (): void => {
      if (!isFresh) return
      vector.fill(0, Math.max(sizeOf(form, vectors), sizeOf(form, indexes)) >> 2)
      if (!write) give(s, at, vector)
      s.set(mask, left)
    }
    startElements(s, record)
    for (let i = 0; i < count; i++) {
      if (((left >>> i) & 1) === 0) continue
      if (isFresh && s.cpu.mayEndGather()) {
        keep()
        return STATUS_CONTINUE
      }
      try {
        const lo = s.get(indices + i * index)
        const hi = index === 8 ? s.get(indices + i * index + 4) : (lo | 0) >> 31
        locateIndexed(s, record, lo, hi, scale, element, write)
        if (write) {
          s.write(s.linLo, s.linHi, element, vector[i * words]!, words === 2 ? vector[i * words + 1]! : 0, 0)
          s.set(S_ELEMENT, i)
          s.commit()
        } else s.readElement(s.linLo, s.linHi, element, i)
      } catch (error) {
        s.set(S_ELEMENT, 0)
        if (error instanceof Abandon && error.status === STATUS_FAULT) {
          keep()
          // The writes of a logged pass are made if its instruction goes on. The fault is found again.
          if (write && isFresh) return STATUS_CONTINUE
        }
        throw error
      }
      s.set(S_ELEMENT, 0)
      if (!write) {
        vector[i * words] = s.lo
        if (words === 2) vector[i * words + 1] = s.hi
      }
      left &= ~(1 << i)
      isFresh = true
    }
    vector.fill(0, count * words)
    if (!write) give(s, at, vector)
    s.set64(mask, 0, 0)
    return STATUS_DONE
  }
}

export const evexGathers: Readonly<Record<string, Handler>> = {
  VPGATHERDD: indexed(false, 4, 4),
  VPGATHERDQ: indexed(false, 4, 8),
  VPGATHERQD: indexed(false, 8, 4),
  VPGATHERQQ: indexed(false, 8, 8),
  VPSCATTERDD: indexed(true, 4, 4),
  VPSCATTERDQ: indexed(true, 4, 8),
  VPSCATTERQD: indexed(true, 8, 4),
  VPSCATTERQQ: indexed(true, 8, 8),
}
