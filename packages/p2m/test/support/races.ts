import { INVALID_MFN, P2mType, type P2m } from '../../src/index.ts'

/** Guest frames that are raced for: four regions of 2 MiB. */
export const FRAMES = 0x800
/** Word of machine memory, in a frame of its own, that ends the threads. */
export const STOP = 0
/** Word that counts threads that have begun. */
export const BEGUN = 1
/** The first word of those that count what each thread has done. */
export const DONE = 2

/** What may be at a guest frame: which machine frame as which type. */
export interface State {
  readonly mfn: number
  readonly type: number
}

const HOLE: State = { mfn: INVALID_MFN, type: P2mType.MMIO_DM }

/** All that a frame can be at any time; no two of them share a machine frame and differ in rights by chance alone. */
export function statesOf(gfn: number): readonly State[] {
  const a = { mfn: 0x1000 + gfn, type: P2mType.RAM_RW }
  const b = { mfn: 0x2000 + gfn, type: P2mType.RAM_RO }
  switch (gfn >>> 9) {
    case 0:
    case 1:
      return [a, b]
    case 2:
      return [a, HOLE]
    default:
      return [a, { ...a, type: P2mType.RAM_LOGDIRTY }]
  }
}

/** Everything in its first state, in leaves of 2 MiB. */
export function fill(p2m: P2m): void {
  for (let gfn = 0; gfn < FRAMES; gfn += 512) p2m.insert(gfn, 0x1000 + gfn, 9, P2mType.RAM_RW)
}

/** One random change, after which every frame is in one of its states, and at every moment of which it is. */
export function change(p2m: P2m, random: (bound: number) => number): void {
  const region = random(4) * 512
  const kind = random(16)
  if (kind === 0) return void p2m.coalesce(0, FRAMES)
  if (kind === 1) return p2m.shatter(region + random(512))
  const large = kind < 6
  const gfn = large ? region : region + random(512)
  const order = large ? 9 : 0
  const count = 2 ** order
  const [first, second] = statesOf(gfn) as readonly [State, State]
  if (region === 3 * 512) return void p2m.setType(gfn, count, random(2) === 0 ? first.type : second.type)
  if (region < 2 * 512 || random(2) === 0) {
    const { mfn, type } = region < 2 * 512 && random(2) === 0 ? second : first
    p2m.insert(gfn, mfn, order, type)
  } else p2m.insert(gfn, INVALID_MFN, order, P2mType.MMIO_DM)
}
