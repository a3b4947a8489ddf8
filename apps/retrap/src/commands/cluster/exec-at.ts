/** `retrap cluster replay --exec`: a cluster runs again to an instant of its recording, and a command runs in a fork of it. */
import { crc32 } from 'node:zlib'
import { Cluster, decodeFrame, RunLog, seedOfPlan, startAt, timeText } from '@retrap/cluster'
import type { ClusterRun, RunMachine } from '@retrap/cluster'
import { CliError } from '@retrap/linux-guest/errors'
import { ExitCode } from '../../exit-codes.ts'
import { usage } from '../../options/values.ts'
import { plainListed } from '../../print-lines.ts'
import { digestsOf, thisBuild } from './made-with.ts'
import { howOf } from './once.ts'
import { type ClusterOutputs, withCluster } from './run-cluster.ts'
import { hostOf, usualWorkers } from './workers.ts'

/** A command of a shell, and the cluster's time that it has, in milliseconds (a minute). */
export type ExecFlags = Readonly<{ exec?: string; timeout?: number }>

const USUAL_MS = 60_000

/**
 * Runs a command of a shell in a machine, at an instant of a run.
 *
 * @param path - of the run's file, for messages
 * @returns the command's exit code
 * @throws CliError `ERR_INPUT` for a run that does not come again; `ERR_USAGE` for a machine that is off, or has no shell
 */
export async function execAt(
  path: string,
  run: ClusterRun,
  [machine, ns]: readonly [machine: RunMachine, ns: number],
  { exec = '', timeout = USUAL_MS }: ExecFlags,
  { stdout, stderr }: ClusterOutputs,
): Promise<number> {
  const { description, file, files = {}, madeWith = 'an older release' } = run
  const wrong = (why: string): CliError => new CliError('ERR_INPUT', `${path}: ${why}`)
  const [build] = madeWith.split(',')
  if (file === undefined || build !== thisBuild())
    throw wrong(`it was made with ${build}, and this is ${thisBuild()}: --exec needs the same: record the run anew`)
  const { name, number } = machine
  const place = description.machines[number]!
  const kernel = run.machines.find((one) => one.name === (place.inside ?? name))!
  if (place.machine !== undefined)
    throw usage(`--machine ${name}: it is a machine of its own, without a shell of ours: go into it by --gdb`)
  if (ns > run.ns) throw usage(`--goto ${timeText(ns)}: the run ended at ${timeText(run.ns)}`)
  if (startAt(kernel, ns) === undefined)
    throw usage(`--machine ${name}: it is off at ${timeText(ns)}: choose another --goto`)
  const present = digestsOf(file, description, true)
  const changed = Object.keys(files).filter((one) => present[one] !== files[one])
  const changes = changed.length === 0 ? '' : `; changed since it was recorded: ${changed.join(', ')}`
  return withCluster(file, description, true, stderr, async ({ parts, signal, tell }) => {
    const host = hostOf(parts, usualWorkers(parts.machines), tell)
    const log = new RunLog()
    const opened: Cluster[] = []
    try {
      const cluster = await Cluster.start(description, seedOfPlan(run), host, { log, until: ns, signal })
      opened.push(cluster)
      const again = log.run(run.seed, run.branch, description, await cluster.finish(howOf(run)))
      if (signal.aborted) return ExitCode.signal(2)
      const other = differenceUntil(run, again, ns)
      if (other !== undefined) throw wrong(`the cluster did something else: ${other}${changes}`)
      tell(plainListed(`${name} at ${timeText(ns)}, as it was recorded${changes}`).trimEnd())
      const fork = await cluster.fork({ signal })
      opened.push(fork)
      const code = await fork.exec(name, ['sh', '-c', exec], timeout * 1e6, (stream, base64) =>
        (stream === '1' ? stdout : stderr).write(Buffer.from(base64, 'base64')),
      )
      if (code !== undefined) return code
      if (signal.aborted) return ExitCode.signal(2)
      if (!fork.guests.has(kernel.number)) throw wrong(`${name} went off before the command ended`)
      tell(`the command did not end in ${timeout / 1000} s of the cluster's time (--timeout)`)
      return ExitCode.Timeout
    } finally {
      for (const one of opened.toReversed()) one.close()
      await host.close()
    }
  })
}

/** Returns a sentence about the first thing before an instant that a run does otherwise; undefined: there is none. */
function differenceUntil(was: ClusterRun, is: ClusterRun, until: number): string | undefined {
  const [before, now] = [toldBy(was, until), toldBy(is, until)]
  const at = [...before, undefined].findIndex((one, i) => one !== now[i])
  if (at < 0 && is.ns >= until) return undefined
  const end = is.ns < until ? `its end at ${is.ns} ns: ${is.failure ?? 'ok'}` : 'nothing more'
  return `it had ${before[at] ?? 'nothing more'}, and now comes ${now[at] ?? end}`
}

/** All that a run has done before an instant: events, starts and frames. */
function toldBy({ machines, events, frames }: ClusterRun, until: number): readonly string[] {
  const nameOf = (number: number): string => machines[number]!.name
  const all = [
    ...events.map(({ ns, machine = 'the cluster', text }) => ({ ns, what: `${machine}: ${text}` })),
    ...machines.flatMap(({ name, starts }) => starts.map(({ ns }) => ({ ns, what: `${name} starts` }))),
    ...frames.map(({ from, to, sent: ns, bytes }) => {
      const { text } = decodeFrame(bytes)
      return { ns, what: `${nameOf(from)} > ${nameOf(to)}: ${text} (CRC-32 ${crc32(bytes).toString(16)})` }
    }),
  ]
  const sorted = all.filter(({ ns }) => ns < until).toSorted((one, other) => one.ns - other.ns)
  return sorted.map(({ ns, what }) => `'${what}' at ${ns} ns`)
}
