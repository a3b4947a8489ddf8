import type { RebuiltPc } from './who-wrote.ts'
import type { StartingPoint } from './saved-checkpoints.ts'

/** Host time that devices of a machine that is put back may take to come to rest; with less, another one is made. */
const DEADLINE_MS = 2000

/**
 * The machine in which places of a recording are looked at, beside the replay's own. It is put back from checkpoint to
 * checkpoint, as long as it can be: code that it has compiled stays.
 */
export class SearchMachine {
  readonly #build: (from?: StartingPoint) => Promise<RebuiltPc>
  #current: RebuiltPc | undefined
  /** Where the machine was put back to. */
  #from: StartingPoint | undefined

  /** @param build - makes one; default at power-on */
  constructor(build: (from?: StartingPoint) => Promise<RebuiltPc>) {
    this.#build = build
  }

  /** Returns the machine at a checkpoint; undefined: at power-on. The one that was returned before is that one, or ended. */
  async at(from?: StartingPoint): Promise<RebuiltPc> {
    const here = this.#current
    const former = this.#from
    this.#from = from
    if (here !== undefined && from !== undefined && (await isPutBack(here, from, former))) return here
    this.close()
    return (this.#current = await this.#build(from))
  }

  /** Ends the machine: the next one is another. */
  close(): void {
    this.#current?.pc.close()
    this.#current = undefined
  }
}

/** @returns false for a machine that is of no more use */
async function isPutBack(
  { gate, machine }: RebuiltPc,
  from: StartingPoint,
  former: StartingPoint | undefined,
): Promise<boolean> {
  if (!gate.canRestore(from.parties)) return false
  try {
    await gate.leave()
    gate.willRestore(from.parties)
    const snapshots = await machine.snapshots()
    const atRest = (): void => gate.goesOnAt(from.position)
    const { pc: state, pages } = from
    const before = former && { pages: former.pages, differing: differing(former.pages, pages) }
    await snapshots.restore({ state, pages }, { deadlineMs: DEADLINE_MS, atRest }, before)
    gate.restored(from.retired)
    return true
  } catch {
    // A device is busy, or has ended; what is wrong with the recording shows again.
    return false
  }
}

/** Frames whose contents may not be the same. */
function* differing(one: Pages, other: Pages): Generator<number, void, undefined> {
  const isKnown = one.source === other.source
  const [some, more] = [one.gfns, other.gfns]
  for (let i = 0, j = 0; i < some.length || j < more.length;) {
    const [a, b] = [some[i] ?? Infinity, more[j] ?? Infinity]
    if (a !== b || !isKnown || one.identity(i) !== other.identity(j)) yield Math.min(a, b)
    if (a <= b) i++
    if (b <= a) j++
  }
}

type Pages = StartingPoint['pages']
