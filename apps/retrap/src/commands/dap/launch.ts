import { recordingIn } from '@retrap/linux-guest/host/files'
import { usage } from '../../options/values.ts'

/** The arguments of `launch` and `attach`. */
export interface LaunchArguments {
  /** A recording, or a folder with one, to go through in both directions. */
  readonly recording?: string
  /** The recording's instant that is shown first: `begin`, `end` (the default), a mark or an instruction's number. */
  readonly at?: string | number
  /** A machine.json for `retrap run`. */
  readonly machine?: string
  /** A command line of retrap's, such as `["linux", "--memory", "512M"]`; behind a recording or machine, further options. */
  readonly args?: readonly string[]
  /** The kernel's vmlinux or another ELF file with symbols, and with debug information for source lines. */
  readonly program?: string
  /** Folder of the sources, if they have moved since compilation. */
  readonly sourceFolder?: string
  /** Whether an unrecorded machine stops before its first instruction. */
  readonly stopOnEntry?: boolean
}

const isText = (value: unknown): boolean => typeof value === 'string'
const PATH = [isText, 'a path'] as const

/** A check of each argument, and the expected value. */
const ARGUMENTS: Readonly<Record<keyof LaunchArguments, readonly [is: (value: unknown) => boolean, kind: string]>> = {
  recording: PATH,
  at: [(value) => isText(value) || Number.isSafeInteger(value), 'begin, end, a mark or a number'],
  machine: PATH,
  args: [(value) => Array.isArray(value) && value.every(isText), 'a list of texts'],
  program: PATH,
  sourceFolder: PATH,
  stopOnEntry: [(value) => typeof value === 'boolean', 'true or false'],
}

/** Checks a client's arguments. @throws CliError `ERR_USAGE` */
export function launchArguments(given: object): LaunchArguments {
  for (const [name, [is, kind]] of Object.entries(ARGUMENTS)) {
    const value: unknown = (given as Record<string, unknown>)[name]
    if (value !== undefined && !is(value)) throw usage(`${name}: expected ${kind}`)
  }
  const launch = given as LaunchArguments
  if (launch.recording !== undefined && launch.machine !== undefined) throw usage('give recording or machine, not both')
  if (launch.recording === undefined && launch.machine === undefined && (launch.args ?? []).length === 0)
    throw usage('expected recording, machine or args, such as { "recording": "boot.recording", "program": "vmlinux" }')
  return launch
}

/** The command line that runs the machine. */
export async function commandLineOf({ recording, machine, args = [] }: LaunchArguments): Promise<readonly string[]> {
  if (recording !== undefined)
    return ['replay', await recordingIn(recording), ...(args.length > 0 ? ['--', ...args] : [])]
  return machine === undefined ? args : ['run', machine, ...args]
}
