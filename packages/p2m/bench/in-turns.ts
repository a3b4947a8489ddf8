/** Something to measure: it does `count` things, and says something about them that is not 0. */
export interface Contender {
  readonly name: string
  readonly count: number
  action(): number
  /** Takes back what `action` did; not counted. */
  undo?(): void
}

/**
 * Nanoseconds for each of the things that contenders do, by name: the best of many short rounds, in which they take turns,
 * so that other load on the machine falls on all of them or does not count.
 */
export function inTurns(rounds: number, contenders: readonly Contender[]): Map<string, number> {
  const best = new Map(contenders.map(({ name }) => [name, Infinity]))
  for (let round = 0; round < rounds; round++) {
    for (const each of contenders) {
      const start = performance.now()
      const said = each.action()
      const taken = ((performance.now() - start) * 1e6) / each.count
      if (said === 0) throw new Error(`${each.name}: nothing was done`)
      each.undo?.()
      best.set(each.name, Math.min(best.get(each.name) as number, taken))
    }
  }
  return best
}
