import type { Pc, PcSnapshot } from '@retrap/machine'
import { migrate, type MigrateOptions, type MigrationReport, receiveMigration, StoppableRun } from '../../src/index.ts'
import { STOPPED, tellToEnd, verdictOf, type Writing, writingPc } from './guest.ts'
import { pipe, type PipeOptions } from './pipe.ts'

/** What became of a machine that was moved. */
export interface Moved {
  readonly report: MigrationReport | undefined
  /** Why it was not moved. */
  readonly error: unknown
  /** Where the guest went on, each by itself. */
  readonly ran: { readonly source: boolean; readonly destination: boolean }
  /** What the guest says of its memory in the end. */
  readonly result: ReturnType<typeof verdictOf>
  /** What the destination reads of the PCI function that the source's guest has selected last: its host bridge. */
  readonly selected: number | undefined
}

/** Moves a running machine by a pipe, and lets the guest come to its end wherever it is: also where somebody has to decide. */
export async function move(cut: PipeOptions, options: MigrateOptions, writing: Writing = {}): Promise<Moved> {
  const pc = await writingPc(writing)
  pc.domain.dispatch.portWrite(0xcf8, 4, 0x8000_0000)
  const [near, far] = pipe(cut)
  const run = new StoppableRun()
  const end = new AbortController()
  const running = run.run(pc, { signal: end.signal }, STOPPED)
  const arriving = arrive(far, writing)
  let report: MigrationReport | undefined
  let error: unknown
  const source = { domain: pc.domain, stop: () => run.stop(), resume: () => run.resume(), save: pc.save.bind(pc) }
  try {
    report = await migrate(near, source, { answerMs: 10_000, ...options })
  } catch (thrown) {
    error = thrown
  }
  const ran = { source: !run.isStopped, destination: false }
  const before = pc.domain.instructions
  const other = await arriving
  let result: Moved['result'] | undefined
  let selected: number | undefined
  if (other !== undefined) {
    other.domain.dispatch.portRead(0xcfc, 4)
    selected = other.domain.dispatch.lo
    ran.destination = true
    const far = other.run()
    tellToEnd(other)
    await far
    result = verdictOf(other)
    other.close()
  }
  // A source that is stopped stays so, whatever the destination does.
  if (!ran.source && pc.domain.instructions !== before) ran.source = true
  if (other === undefined && !ran.source) run.resume()
  if (ran.destination && !ran.source) end.abort()
  else tellToEnd(pc)
  await running
  result ??= verdictOf(pc)
  pc.close()
  return { report, error, ran, result, selected }
}

/** @returns the machine at the destination, which is to run */
async function arrive(far: Parameters<typeof receiveMigration>[0], writing: Writing): Promise<Pc | undefined> {
  const machine = await receiveMigration(far).catch(() => undefined)
  if (machine === undefined) return undefined
  const made = await writingPc(writing, machine.snapshot as PcSnapshot)
  try {
    await machine.takeOver()
    return made
  } catch {
    made.close()
    return undefined
  }
}
