/**
 * The fetch race in the machine (test/arm/fetch-race.ts): `npm run -s soak -- arm-fetch-race --count N`. A step is a round: one
 * instruction of one vCPU, and one recycled frame by the other.
 */
import type { Soak } from '@retrap/tooling/soak'
import { FetchRace, POINTS } from '../arm/fetch-race.ts'

let race: FetchRace | undefined
/** Rounds by when the other vCPU has acted, and by how the instruction has ended. */
const acted = new Map<string, number>()
const ends = new Map<string, number>()

const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1)

/** What the last run has shown. */
export const shown = (): { readonly race: FetchRace; readonly acted: typeof acted; readonly ends: typeof ends } => ({
  race: race!,
  acted,
  ends,
})

/** See the file's comment. */
export const soak: Soak = {
  name: 'arm-fetch-race',
  count: 100_000,
  setup() {
    race ??= new FetchRace()
    acted.clear()
    ends.clear()
  },
  async step(rng) {
    const { problem, acted: when, end } = await race!.round(rng)
    if (when !== undefined) count(acted, when)
    count(ends, end.split(' ')[0]!)
    return problem
  },
  summary() {
    const list = (map: ReadonlyMap<string, number>): string => [...map].map(([key, n]) => `${key} ${n}`).join(', ')
    return `the other acted ${POINTS.length} ways: ${list(acted)}; ends: ${list(ends)}`
  },
}
