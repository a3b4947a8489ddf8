import { R_ADDRESS, ADDRESS_16, ADDRESS_32 } from '../state/record.ts'
import { VECTOR_GP, VECTOR_SS } from '../state/vectors.ts'
import { CS, SS, STATUS_DONE, S_AVX_GATE, S_FTAG_EMPTY, S_FTOP, S_MMX_GATE, S_SSE_GATE } from '../state/state-layout.ts'
import { ATTR_DB, RDI } from '../state/architecture.ts'
import { checkPendingX87 } from './fpu/fpu-environment.ts'
import { locatePart, startElements } from './element-address.ts'
import { give } from './gather.ts'
import { isMemory, locating, registerOffset, segmentOf, sizeOf, type Handler } from './operands.ts'
import type { System } from './system.ts'

/** Bytes of a register that is an address: of the address-size bits in the record, or else of the mode. */
export function addressSize(s: System, record: number): number {
  const kind = s.cpu.memory.u8[record + R_ADDRESS]!
  if ((kind & ADDRESS_32) !== 0) return 4
  if ((kind & ADDRESS_16) !== 0) return 2
  return s.mode64 ? 8 : (s.attributes(CS) & ATTR_DB) !== 0 ? 4 : 2
}

/**
 * Stores those bytes of operand 0 whose mask byte in operand 1 has its top bit set, at DS:rDI.
 *
 * Source: SDM vol. 2B, "MASKMOVQ", "MASKMOVDQU". Bytes that are not stored are not accessed, and cannot fault.
 */
function maskedByteMove(bytes: number, gate: number): Handler {
  return (s, record) => {
    const vector = s.get(gate)
    if (vector !== 0) s.raisePlain(vector)
    const mmx = bytes === 8
    if (mmx) checkPendingX87(s)
    const data = registerOffset(s, record, 0)
    const mask = registerOffset(s, record, 1)
    const size = addressSize(s, record)
    const segment = segmentOf(s, record)
    const base = size === 2 ? s.gpr(RDI) & 0xffff : s.gpr(RDI)
    const baseHi = size === 8 ? s.gprHi(RDI) : 0
    // Segmentation comes before paging, for the operand as a whole.
    for (let checking = 1; checking >= 0; checking--) {
      for (let i = 0; i < bytes; i++) {
        if ((s.u8[mask + i]! & 0x80) === 0) continue
        const sum = base + i
        // Beyond any limit.
        if (sum > 0xffff_ffff && !s.mode64) s.raise(segment === SS ? VECTOR_SS : VECTOR_GP, 0)
        s.linear(segment, sum >>> 0, size === 8 && sum > 0xffff_ffff ? baseHi + 1 : baseHi, 1, true)
        if (checking === 0) s.write(s.linLo, s.linHi, 1, s.u8[data + i]!, 0, 0)
      }
    }
    s.commit()
    if (mmx) {
      // An MMX instruction: TOP becomes 0 and every register is valid.
      s.set(S_FTOP, 0)
      s.set(S_FTAG_EMPTY, 0)
    }
    return STATUS_DONE
  }
}

/**
 * VMASKMOVPS and its like: loads or stores the elements whose mask element, in operand 1, has its top bit set. Loads zero
 * the others. Elements that are left out are not accessed, and cannot fault.
 *
 * Source: SDM vol. 2C, "VMASKMOV", "VPMASKMOV".
 */
function maskedMove(element: 4 | 8): Handler {
  return (s, record, form) => {
    const vector = s.get(S_AVX_GATE)
    if (vector !== 0) s.raisePlain(vector)
    const store = isMemory(form, 0)
    const data = registerOffset(s, record, store ? 2 : 0)
    const mask = registerOffset(s, record, 1)
    const bytes = sizeOf(form, 1)
    loaded.fill(0)
    startElements(s, record)
    for (let at = 0; at < bytes; at += element) {
      if (s.get(mask + at + element - 4) >>> 31 === 0) continue
      locatePart(s, record, at, element, store)
      if (store) s.write(s.linLo, s.linHi, element, s.get(data + at), element === 8 ? s.get(data + at + 4) : 0, 0)
      else {
        s.readElement(s.linLo, s.linHi, element, at / element)
        loaded[at >> 2] = s.lo
        if (element === 8) loaded[(at >> 2) + 1] = s.hi
      }
    }
    if (store) s.commit()
    else give(s, data, loaded)
    return STATUS_DONE
  }
}

const loaded = new Uint32Array(8)

export const maskedMoveHandlers: Readonly<Record<string, Handler>> = {
  MASKMOVDQU: locating(maskedByteMove(16, S_SSE_GATE)),
  VMASKMOVDQU: locating(maskedByteMove(16, S_AVX_GATE)),
  MASKMOVQ: locating(maskedByteMove(8, S_MMX_GATE)),
  VMASKMOVPS: locating(maskedMove(4)),
  VMASKMOVPD: locating(maskedMove(8)),
  VPMASKMOVD: locating(maskedMove(4)),
  VPMASKMOVQ: locating(maskedMove(8)),
}
