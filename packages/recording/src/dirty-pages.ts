/** Dirty frames of a guest with the numbers of their pages, from low to high; 0: a page of zeros. */
export interface DirtyPages {
  /** Numbers of the frames. */
  readonly gfns: Uint32Array
  /** Number of each frame's page. */
  readonly pages: Uint32Array
}

/**
 * Overlays earlier frames with later ones.
 *
 * @param replaced - called for each page that was replaced
 */
export function applied(
  earlier: DirtyPages,
  later: DirtyPages,
  replaced: (page: number) => void = () => undefined,
): DirtyPages {
  const gfns = new Uint32Array(earlier.gfns.length + later.gfns.length)
  const pages = new Uint32Array(gfns.length)
  let [i, j, count] = [0, 0, 0]
  while (i < earlier.gfns.length || j < later.gfns.length) {
    const [one, other] = [earlier.gfns[i] ?? Infinity, later.gfns[j] ?? Infinity]
    gfns[count] = Math.min(one, other)
    pages[count++] = other <= one ? later.pages[j]! : earlier.pages[i]!
    if (one === other) replaced(earlier.pages[i]!)
    if (one <= other) i++
    if (other <= one) j++
  }
  return { gfns: gfns.slice(0, count), pages: pages.slice(0, count) }
}

/** Returns the frames that are not zeros, from low to high. */
export function nonZero(all: ReadonlyMap<number, number>): DirtyPages {
  const gfns = new Uint32Array(all.size)
  let count = 0
  for (const [gfn, page] of all) if (page !== 0) gfns[count++] = gfn
  const found = gfns.subarray(0, count).sort().slice()
  return { gfns: found, pages: found.map((gfn) => all.get(gfn)!) }
}

/** Overlays earlier frames with later ones, in a map by frame. */
export function putOver(all: Map<number, number>, { gfns, pages }: DirtyPages): void {
  for (let i = 0; i < gfns.length; i++) all.set(gfns[i]!, pages[i]!)
}
