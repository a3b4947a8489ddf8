import { type GuestRam, type LinuxSymbol, readKallsyms } from './kallsyms.ts'

const PAGE_BYTES = 4096

/** The memory of a machine with Linux. */
export interface LinuxMemory {
  /** Machine memory. */
  readonly memory: { readonly u8: Uint8Array }
  /** Where guest-physical memory lies in machine memory. */
  readonly domain: {
    /** The map of guest frames; a leaf has 2^order of them. */
    readonly p2m: {
      leaves(): Iterable<{ readonly gfn: number; readonly order: number; readonly type: number }>
      isRam(type: number): boolean
    }
    /** Where a guest-physical address is in machine memory; below 0: nowhere. */
    readonly secondLevel: { peek(gpa: number): number }
  }
}

/** Symbols of a Linux kernel that runs in a machine, as its memory has them; none where no kernel is found. */
export const linuxSymbols = (machine: LinuxMemory): LinuxSymbol[] => readKallsyms(ramOf(machine))

/** Guest-physical addresses that lie together in machine memory too. */
interface Piece {
  readonly from: number
  readonly at: number
  bytes: number
}

function ramOf({ domain, memory }: LinuxMemory): GuestRam {
  const pieces: Piece[] = []
  const stretches: { readonly from: number; bytes: number }[] = []
  // Contents that a restored machine has not needed yet are brought, which changes the map.
  const leaves = [...domain.p2m.leaves()].filter(({ type }) => domain.p2m.isRam(type)).sort((a, b) => a.gfn - b.gfn)
  for (const { gfn, order } of leaves) {
    const from = gfn * PAGE_BYTES
    const at = domain.secondLevel.peek(from)
    if (at < 0) continue
    const bytes = 2 ** order * PAGE_BYTES
    const last = pieces.at(-1)
    if (last !== undefined && last.from + last.bytes === from && last.at + last.bytes === at) last.bytes += bytes
    else pieces.push({ from, at, bytes })
    const stretch = stretches.at(-1)
    if (stretch !== undefined && stretch.from + stretch.bytes === from) stretch.bytes += bytes
    else stretches.push({ from, bytes })
  }
  const copy = (from: number, bytes: number): Uint8Array => {
    const into = new Uint8Array(bytes)
    for (const piece of pieces) {
      const start = Math.max(from, piece.from)
      const end = Math.min(from + bytes, piece.from + piece.bytes)
      const at = piece.at + start - piece.from
      if (start < end) into.set(memory.u8.subarray(at, at + end - start), start - from)
    }
    return into
  }
  return {
    stretches,
    read(from, bytes) {
      const piece = pieces.find((each) => from >= each.from && from + bytes <= each.from + each.bytes)
      if (piece === undefined) return copy(from, bytes)
      const at = piece.at + from - piece.from
      return memory.u8.subarray(at, at + bytes)
    },
  }
}
