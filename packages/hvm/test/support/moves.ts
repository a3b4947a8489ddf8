import type { Domain } from '../../src/index.ts'

/** How a run is saved, and goes on elsewhere. */
export interface Moves<R, S> {
  /** Why it ends at last. */
  readonly end: string
  save(run: R): Promise<S>
  restore(snapshot: S): Promise<R>
  /** Puts the run that was saved back to where it was. */
  putBack(run: R, snapshot: S): Promise<void>
  /** A run that has been saved, and does not go on. */
  close(run: R): void
}

/** After some turns of the event loop, whatever the guest is doing then. */
async function pauseSoon(domain: Domain): Promise<void> {
  for (let i = Math.random() * 40; i > 0; i--) await new Promise((resolve) => setImmediate(resolve))
  domain.stop({ reason: 'pause' })
}

/**
 * Runs to the end, with so many moves at random instants on the way: to another domain, on in the same, or on in the same for
 * a while and then back.
 *
 * @returns the last run, and the instructions that each vCPU has retired in all of them
 */
export async function runWithMoves<R extends { readonly domain: Domain }, S>(
  first: R,
  moves: number,
  story: Moves<R, S>,
): Promise<{ run: R; retired: number[] }> {
  let run = first
  const retired = run.domain.vcpus.map(() => 0)
  const count = (): void => run.domain.vcpus.forEach(({ id, cpu }) => (retired[id]! += cpu.retired))
  try {
    for (let left = moves; ; left--) {
      if (left > 0) void pauseSoon(run.domain)
      const exit = await run.domain.run()
      if (exit.reason === story.end) break
      if (exit.reason !== 'pause') throw new Error(`the guest ended with ${JSON.stringify(exit)}`)
      const snapshot = structuredClone(await story.save(run))
      // The one that was saved can go on as well.
      if (left % 3 === 1) continue
      if (left % 3 === 2) {
        const before = run.domain.vcpus.map(({ cpu }) => cpu.retired)
        void pauseSoon(run.domain)
        await run.domain.run()
        await story.putBack(run, snapshot)
        run.domain.vcpus.forEach(({ id, cpu }) => (retired[id]! -= cpu.retired - before[id]!))
        continue
      }
      count()
      story.close(run)
      run = await story.restore(snapshot)
    }
    count()
    return { run, retired }
  } catch (error) {
    story.close(run)
    throw error
  }
}
