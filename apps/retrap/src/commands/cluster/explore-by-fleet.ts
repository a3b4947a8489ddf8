/** `retrap cluster explore --queue`: hands over to retrap-fleet, which knows queues and hosts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'
import { ENDING_SIGNALS } from '../../machine/session/session-host.ts'
import { usage } from '../../options/values.ts'
import { composeWords } from './compose/read-file.ts'
import type { Branches, ExploreFlags } from './explore-cluster.ts'

/** The values of the options that are the fleet's. */
export interface FleetFlags {
  readonly queue?: string
  readonly seeds?: number
}

/** Names the program of a checkout, which is on no PATH. */
const PROGRAM = 'RETRAP_FLEET'

/** A number of states, or the first and the last branch. */
const rangeOf = ({ first, count }: Branches, fromStart = false): string =>
  fromStart ? `${first}-${first + count - 1}` : `${count}`

/** Runs `retrap-fleet explore`. @returns its exit code @throws CliError `ERR_USAGE`; `ERR_INPUT` where it is missing */
export async function exploreByFleet(file: string, flags: ExploreFlags & FleetFlags): Promise<number> {
  const { queue, seed, seeds, branches, out, keepGoing, blind, fromStart } = flags
  for (const name of ['for', 'record', 'workers', 'jsonl', 'junit', 'stateMemory'] as const)
    if (flags[name] !== undefined)
      throw usage(`--${name === 'stateMemory' ? 'state-memory' : name}: this is for one host, and not for --queue`)
  const [option] = composeWords(flags)
  if (option !== undefined) throw usage(`${option}: this is for one host, and not for --queue`)
  const program = process.env[PROGRAM]
  const words = [
    ...['explore', file, '--seed', `${seed}`],
    ...(seeds === undefined ? [] : ['--seeds', `${seeds}`]),
    ...(branches === undefined ? [] : ['--branches', rangeOf(branches, fromStart)]),
    ...(out === undefined ? [] : ['--out', out]),
    ...(fromStart === true ? ['--from-start'] : []),
    ...(keepGoing === true ? ['--keep-going'] : []),
    ...(blind === true ? ['--blind'] : []),
  ]
  const [name, ...before] = program === undefined ? ['retrap-fleet'] : [process.execPath, program]
  // The address may have a password, which the list of processes would show.
  const env = { ...process.env, RETRAP_FLEET_QUEUE: queue }
  const child = spawn(name!, [...before, ...words], { stdio: 'inherit', env })
  // A terminal sends SIGINT and SIGHUP to both processes.
  const pass = (signal: NodeJS.Signals): void => void (signal === 'SIGTERM' && child.kill(signal))
  for (const signal of ENDING_SIGNALS) process.on(signal, pass)
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals]
    if (code !== null) return code
    throw new CliError('ERR_INPUT', `--queue: retrap-fleet was ended by ${signal}: what it has found is not known`)
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError(
      'ERR_INPUT',
      `--queue: retrap-fleet cannot be started (${troubleWith(error)}): it is in the repository of retrap, as \`npm run -s fleet -- explore ${file}\``,
    )
  } finally {
    for (const signal of ENDING_SIGNALS) process.off(signal, pass)
  }
}
