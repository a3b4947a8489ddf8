import type { Label } from '@retrap/x86-assembler'
import type { Guest } from './guest.ts'
import { SELECTOR } from './memory-map.ts'

// SDM vol. 3A, "Segment Descriptors": bits of the upper doubleword. The accessed bits are set in advance, because the
// table is in ROM, where the processor could not set them.
const PRESENT = 1 << 15
const CODE_OR_DATA = 1 << 12
const EXECUTABLE = 1 << 11
const WRITABLE_OR_READABLE = 1 << 9
const ACCESSED = 1 << 8
const GRANULARITY = 1 << 23
const DEFAULT_32 = 1 << 22
const LONG = 1 << 21

/** A flat segment: base 0, limit 4 GiB. */
function flat(kind: number): [low: number, high: number] {
  const LIMIT_HIGH = 0xf << 16
  const common = PRESENT | CODE_OR_DATA | WRITABLE_OR_READABLE | ACCESSED | GRANULARITY | LIMIT_HIGH
  return [0xffff, common | kind]
}

/** The global descriptor table, and the operand of LGDT. */
export function emitDescriptors(guest: Guest): { pointer: Label } {
  const entries = {
    [SELECTOR.code32]: flat(EXECUTABLE | DEFAULT_32),
    [SELECTOR.data]: flat(DEFAULT_32),
    [SELECTOR.code64]: flat(EXECUTABLE | LONG),
  }
  const table = guest.constant('gdt', 8, (asm) => {
    asm.dq(0)
    // Numeric keys come in ascending order.
    for (const [low, high] of Object.values(entries)) asm.dd(low, high)
  })
  const bytes = 8 * (1 + Object.keys(entries).length)
  const pointer = guest.constant('gdt.pointer', 4, (asm) => asm.dw(bytes - 1).dd(table))
  return { pointer }
}
