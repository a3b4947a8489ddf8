const PAGE_BYTES = 4096

/** The memory of a machine with Linux. */
export interface LinuxMemory {
  /** Machine memory. */
  readonly memory: { readonly u8: Uint8Array }
  /** Where guest-physical memory lies in machine memory. */
  readonly domain: {
    /** The map of guest frames; a leaf covers 2^order frames. */
    readonly p2m: {
      leaves(): Iterable<{ readonly gfn: number; readonly order: number; readonly type: number }>
      isRam(type: number): boolean
    }
    /** Where a guest-physical address is in machine memory; below 0: nowhere. */
    readonly secondLevel: { peek(gpa: number): number }
  }
}

/** Guest RAM by guest-physical addresses. */
export interface GuestRam {
  /** Ranges of RAM, in ascending order. */
  readonly stretches: readonly { readonly from: number; readonly bytes: number }[]
  /** Reads bytes, copied if they lie in several pieces of machine memory; undefined if not all are RAM. */
  read(from: number, bytes: number): Uint8Array | undefined
}

/** Guest-physical addresses that lie together in machine memory too. */
interface Piece {
  readonly from: number
  readonly at: number
  bytes: number
}

/** The RAM of a machine as its map is now. */
export function ramOf({ domain, memory }: LinuxMemory): GuestRam {
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
  return { stretches, read: (from, bytes) => read(pieces, memory.u8, from, bytes) }
}

function read(pieces: readonly Piece[], u8: Uint8Array, from: number, bytes: number): Uint8Array | undefined {
  let low = 0
  let high = pieces.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (pieces[middle]!.from <= from) low = middle + 1
    else high = middle
  }
  let copy: Uint8Array | undefined
  for (let done = 0, i = low - 1; ; i++) {
    const piece = pieces[i]
    const start = from + done
    if (piece === undefined || start < piece.from || start >= piece.from + piece.bytes) return undefined
    const count = Math.min(bytes - done, piece.from + piece.bytes - start)
    const at = piece.at + start - piece.from
    if (count === bytes) return u8.subarray(at, at + bytes)
    copy ??= new Uint8Array(bytes)
    copy.set(u8.subarray(at, at + count), done)
    done += count
    if (done === bytes) return copy
  }
}
