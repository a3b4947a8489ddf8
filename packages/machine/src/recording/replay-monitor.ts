import { type FindName, hex, type MonitorCommand, parseMemoryPlace } from '../debugger/monitor.ts'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import { type NamedPlaces, placeIn, type ReplayPlace } from './guest-time.ts'
import { describeDivergence, type ReplayExit } from './replay-hits.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import type { LastWriter } from './who-wrote.ts'

/** gdb keeps registers that it has read. */
const FLUSH = 'gdb shows it after: maintenance flush register-cache\n'

/** A recorded run's interface for the `monitor` commands. */
export interface RecordedRun extends NamedPlaces {
  /** Instructions retired at the current place. */
  readonly instructions: number
  /** Guest time at the current place, in nanoseconds. */
  readonly ns: number
  goto(place: ReplayPlace, options: MachineRunOptions): Promise<ReplayExit>
  /** Resumes without a debugger. Absent: the machine keeps its place. */
  goFree?(options: MachineRunOptions): Promise<unknown>
}

/**
 * The `monitor` commands of a recorded run.
 *
 * @param during - runs an action for which the replay is busy
 * @param note - called with a divergence. @returns the same sentence
 * @param names - symbols of the guest's memory
 */
export function replayCommands(
  replay: RecordedRun,
  debug: Pick<ReplayDebugger, 'whoWrote'>,
  during: <T>(action: (signal: AbortSignal) => Promise<T>) => Promise<T>,
  note: (sentence: string) => string,
  names: Pick<WhoWroteQuestion, 'find' | 'nameOf'>,
): readonly MonitorCommand[] {
  const divergence = (exit: ReplayExit): string =>
    exit.reason === 'diverged' ? `${note(describeDivergence(exit))}\n` : ''
  const when = (): string => `instruction ${replay.instructions} of ${replay.end}, at ${replay.ns} ns\n`
  return [
    { usage: 'when', help: 'where in the recording the machine is', run: when },
    {
      usage: 'goto PLACE',
      help: 'go to an instruction by its number, to a time such as 1500ns or 2.5ms, to a mark, to begin or end',
      run: async (_cpu, words) => {
        try {
          const there = placeIn(replay, words.join(' '))
          const exit = await during((signal) => replay.goto(there, { signal }))
          return divergence(exit) + when() + FLUSH
        } catch (error) {
          if (error instanceof MachineError && error.code === 'ERR_OPTION') return `${error.message}\n`
          throw error
        }
      },
    },
    {
      usage: 'marks',
      help: 'instants with names',
      run: () =>
        replay.marks.map(({ name, instructions }) => `${name}: instruction ${instructions}\n`).join('') ||
        'There is no mark.\n',
    },
    {
      usage: 'who-wrote PLACE [LENGTH]',
      help: 'who wrote memory last, at an address or a name; ADDRESS@p: at a guest-physical one',
      run: (cpu, given) =>
        during(async (signal) => {
          const answer = await answerWhoWrote(debug, given, { cpu, signal, ...names })
          if (answer.exit?.reason === 'diverged') note(describeDivergence(answer.exit))
          return answer.text.replace(/^(.*: )(goto \d+)$/m, '$1monitor $2')
        }),
    },
  ]
}

/** Says whose code an address is of, which a vCPU executes before an instruction is retired. */
export type NameWriter = (
  address: bigint,
  cpu: number,
  instructions: number,
) => string | undefined | Promise<string | undefined>

/** Arguments of the `who-wrote` command. */
export interface WhoWroteQuestion {
  /** The vCPU that sees a linear address. Default 0. */
  readonly cpu?: number
  /** Ends the search. */
  readonly signal?: AbortSignal | undefined
  /** Finds symbols in the guest's memory. Default none. */
  readonly find?: FindName | undefined
  /** Names the code that has written. */
  readonly nameOf?: NameWriter | undefined
}

/**
 * Answers `who-wrote`.
 *
 * @param given - the place, as {@link parseMemoryPlace} reads it, and optionally a number of bytes
 * @returns a line that ends with `goto` and an instruction if a write was found; otherwise the reason why the search ended
 */
export async function answerWhoWrote(
  debug: Pick<ReplayDebugger, 'whoWrote'>,
  [text, length = '1']: readonly string[],
  { cpu = 0, signal, find, nameOf }: WhoWroteQuestion,
): Promise<{ readonly text: string; readonly exit?: Extract<LastWriter, { by: 'unknown' }>['exit'] }> {
  const place = parseMemoryPlace(text, find)
  if (place === undefined || !/^\d{1,5}$/.test(length))
    return { text: 'write who-wrote and an address, ADDRESS@p or a name that is known, and perhaps how many bytes\n' }
  const { address, physical } = place
  try {
    const writer = await debug.whoWrote(address, { cpu, physical, length: Number(length), signal })
    return { text: await describeWriter(writer, nameOf), ...(writer.by === 'unknown' && { exit: writer.exit }) }
  } catch (error) {
    if (error instanceof MachineError && error.code === 'ERR_OPTION') return { text: `${error.message}\n` }
    throw error
  }
}

async function describeWriter(writer: LastWriter, nameOf: NameWriter | undefined): Promise<string> {
  switch (writer.by) {
    case 'instruction': {
      const { delivers, address, cpu, instructions } = writer
      const what = delivers ? 'the delivery of an event before' : 'the instruction at'
      const name = await nameOf?.(address, cpu, instructions)
      return `${what} ${hex(address)}${name === undefined ? '' : `, ${name},`} of CPU ${cpu}: goto ${instructions}\n`
    }
    case 'device':
      return `device ${writer.device}, by DMA: goto ${writer.instructions}\n`
    case 'machine':
      return `the machine itself: goto ${writer.instructions}\n`
    case 'nobody':
      return 'nobody since power-on\n'
    default:
      if (writer.exit.reason === 'begin') return 'nobody since what is left of the recording begins\n'
      if (writer.exit.reason === 'diverged') return `${describeDivergence(writer.exit)}\n`
      return `the search has ended (${writer.exit.reason})\n`
  }
}
