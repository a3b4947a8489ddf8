import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { GatedMachine } from '../machine/machine-gate.ts'
import type { ReplayGate } from './replay-gate.ts'
import type { StartingPoint } from './saved-checkpoints.ts'

/** Host time that devices of a machine that is put back may take to come to rest; with less, another one is made. */
const DEADLINE_MS = 2000

/** A machine of a recording, with its gate and its recording. */
export interface Rebuilt<K extends MachineKind, M extends Machine<K>> {
  readonly machine: M
  readonly gate: ReplayGate
  readonly gated: GatedMachine<K>
}

/**
 * The one machine in which a recording is run again. It is put back from checkpoint to checkpoint, as long as it can be: code
 * that it has compiled stays.
 */
export class PastMachine<K extends MachineKind, M extends Machine<K>> {
  readonly #build: (from?: StartingPoint) => Promise<Rebuilt<K, M>>
  readonly #onClosing: () => void
  #current: Rebuilt<K, M> | undefined
  /** The point that the machine was put back to. */
  #from: StartingPoint | undefined

  /**
   * @param build - makes a machine at a starting point; default at power-on
   * @param onClosing - called before the current machine is closed
   */
  constructor(build: (from?: StartingPoint) => Promise<Rebuilt<K, M>>, onClosing: () => void) {
    this.#build = build
    this.#onClosing = onClosing
  }

  /** The machine as it is now; undefined before the first one is made. */
  get current(): Rebuilt<K, M> | undefined {
    return this.#current
  }

  /** Returns the machine at a checkpoint; undefined: at power-on. An earlier machine is reused or closed. */
  async at(from?: StartingPoint): Promise<Rebuilt<K, M>> {
    const [here, former] = [this.#current, this.#from]
    this.#from = from
    if (here !== undefined && from !== undefined && (await isPutBack(here, from, former))) return here
    this.close()
    this.#current = await this.#build(from)
    if (from !== undefined) await (await this.#current.gated.snapshots()).noteSince(from.pages)
    return this.#current
  }

  /** Closes the current machine; the next call of `at` makes a new one. */
  close(): void {
    this.#onClosing()
    this.#current?.machine.close()
  }
}

/** @returns false for a machine that is of no more use */
async function isPutBack<K extends MachineKind>(
  { gate, gated }: Pick<Rebuilt<K, Machine<K>>, 'gate' | 'gated'>,
  from: StartingPoint,
  former: StartingPoint | undefined,
): Promise<boolean> {
  if (!gate.canRestore(from.parties)) return false
  try {
    await gate.leave()
    gate.willRestore(from.parties, from.impaired)
    const snapshots = await gated.snapshots()
    const atRest = (): void => gate.goesOnAt(from.position)
    const { pc: state, pages } = from
    const before = former && { pages: former.pages, differing: differing(former.pages, pages) }
    await snapshots.restore({ state, pages }, { deadlineMs: DEADLINE_MS, atRest }, before)
    gate.restored(from)
    return true
  } catch {
    // A device is busy, or has ended; an error of the recording shows again.
    return false
  }
}

/** Returns the numbers of frames whose contents may differ. */
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
