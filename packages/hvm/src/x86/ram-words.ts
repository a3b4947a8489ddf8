import { STATUS_DONE, type Words } from '@retrap/x86-cpu'
import type { Domain } from '../domain.ts'

/** Reads up to 8 bytes of RAM that the map has in one frame, where the processor takes it for a device. */
export function readRam({ memory, p2m }: Domain, gpa: number, size: number, into: Words): typeof STATUS_DONE {
  const ma = p2m.translate(gpa)
  let lo = 0
  let hi = 0
  for (let i = 0; i < size; i++) {
    const byte = memory.u8[ma + i]!
    if (i < 4) lo |= byte << (8 * i)
    else hi |= byte << (8 * (i - 4))
  }
  into.lo = lo >>> 0
  into.hi = hi >>> 0
  return STATUS_DONE
}
