import { R_ADDRESS, ADDRESS_16, ADDRESS_32 } from '../record.ts'
import { CS, STATUS_DONE, S_FTAG_EMPTY, S_FTOP, S_MMX_GATE, S_SSE_GATE } from '../state-layout.ts'
import { ATTR_DB, RDI } from './architecture.ts'
import { checkPendingX87 } from './fpu-environment.ts'
import { registerOffset, segmentOf, type Handler } from './operands.ts'
import type { System } from './system.ts'

/** Bytes of rDI: of the address-size bits in the record, or else of the mode. */
function addressSize(s: System, record: number): number {
  const kind = s.cpu.memory.u8[record + R_ADDRESS] as number
  if ((kind & ADDRESS_32) !== 0) return 4
  if ((kind & ADDRESS_16) !== 0) return 2
  return s.mode64 ? 8 : (s.attributes(CS) & ATTR_DB) !== 0 ? 4 : 2
}

/**
 * Stores those bytes of operand 0 whose mask byte in operand 1 has its top bit set, at DS:rDI.
 *
 * Source: SDM vol. 2B, "MASKMOVQ", "MASKMOVDQU". Bytes that are not stored are not accessed, and cannot fault.
 */
function maskedMove(bytes: number, gate: number): Handler {
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
    for (let i = 0; i < bytes; i++) {
      if (((s.u8[mask + i] as number) & 0x80) === 0) continue
      const sum = base + i
      const lo = size === 2 ? sum & 0xffff : sum >>> 0
      s.linear(segment, lo, size === 8 && sum > 0xffff_ffff ? baseHi + 1 : baseHi, 1, true)
      s.write(s.linLo, s.linHi, 1, s.u8[data + i] as number, 0, 0)
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

export const maskedMoveHandlers: Readonly<Record<string, Handler>> = {
  MASKMOVDQU: maskedMove(16, S_SSE_GATE),
  MASKMOVQ: maskedMove(8, S_MMX_GATE),
}
