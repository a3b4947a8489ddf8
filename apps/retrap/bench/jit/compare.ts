// Runs emulators in turn on one guest, and prints how fast each program is on retrap, relative to each of the others.
import { BOOT, checkResults, medians, type Run, type Times } from '../marked-guest.ts'
import type { Program } from './programs.ts'

const TITLES = { tcg: 'TCG', v86: 'v86' } as const

/** An emulator that retrap is compared with. */
export interface Comparison {
  readonly title: string
  /** The geometric mean of retrap's speed, relative to the emulator's. */
  readonly meanOf: (programs: readonly Program[]) => string
}

/**
 * Measures retrap and its peers, one after another in each round; the median of the rounds counts.
 *
 * @param bench - what the printed lines begin with
 * @throws Error if a program prints different results on two emulators
 */
export async function compareEmulators<Peer extends keyof typeof TITLES>(
  bench: string,
  programs: readonly Program[],
  peers: readonly Peer[],
  rounds: number,
  measure: (emulator: Peer | 'retrap') => Promise<Run>,
): Promise<readonly Comparison[]> {
  const runs = new Map<Peer | 'retrap', Run[]>()
  for (let round = 0; round < rounds; round++) {
    for (const peer of ['retrap' as const, ...peers]) {
      runs.set(peer, [...(runs.get(peer) ?? []), await measure(peer)])
    }
  }
  checkResults(runs)
  const ours = medians(runs.get('retrap') ?? [])
  const comparisons: Comparison[] = []
  for (const peer of peers) {
    const theirs = medians(runs.get(peer) ?? [])
    const title = TITLES[peer]
    for (const name of [BOOT, ...programs.map((program) => program.name)]) {
      const [own, other] = [ours.get(name), theirs.get(name)]
      if (own === undefined || other === undefined) continue
      const against = (key: keyof Times): string => `${own[key].toFixed(2)} s against ${other[key].toFixed(2)} s`
      console.log(
        `${bench}-${name}: ${(other.processor / own.processor).toFixed(2)} x ${title} ` +
          `(${against('processor')} of processor time; by the clock ${against('wall')}` +
          `${Number.isNaN(own.guest) ? '' : `; in the guest ${against('guest')}`})`,
      )
    }
    const meanOf = (chosen: readonly Program[]): string =>
      geometricMean(chosen.map(({ name }) => (theirs.get(name)?.processor ?? NaN) / (ours.get(name)?.processor ?? NaN)))
    const [system, others] = [true, false].map((is) => programs.filter(({ isSystem = false }) => isSystem === is))
    for (const [name, chosen = []] of [
      ['', programs] as const,
      [' computing', others] as const,
      [' system', system] as const,
    ]) {
      if (chosen.length === 0 || (name !== '' && chosen.length === programs.length)) continue
      console.log(`${bench}${name}: ${meanOf(chosen)} x ${title} (geometric mean of ${chosen.length} programs)`)
    }
    comparisons.push({ title, meanOf })
  }
  return comparisons
}

const geometricMean = (ratios: readonly number[]): string =>
  Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length).toFixed(2)
