import { hex, type MonitorCommand, parseAddress } from '../debugger/monitor.ts'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../life/machine-life.ts'
import { parsePlace, type ReplayPlace } from './guest-time.ts'
import { describeDivergence, type ReplayExit } from './replay-exit.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import type { LastWriter } from './who-wrote.ts'

/** gdb keeps registers that it has read. */
const FLUSH = 'gdb shows it after: maintenance flush register-cache\n'

/** A recorded run, as the `monitor` commands see it. */
export interface RecordedRun {
  /** Instructions that have been retired where it is. */
  readonly instructions: number
  /** Time of the guest where it is. */
  readonly ns: number
  /** Where the recording ends, in instructions. */
  readonly end: number
  /** Instants with names. */
  readonly marks: readonly { readonly name: string; readonly instructions: number }[]
  goto(place: ReplayPlace, options: MachineRunOptions): Promise<ReplayExit>
  /** Goes on by itself when nobody debugs it. Absent: it stays where it is. */
  goFree?(options: MachineRunOptions): Promise<unknown>
}

/**
 * The `monitor` commands of a recorded run.
 *
 * @param during - does something for which the replay is busy
 * @param note - tells the program of a divergence. @returns the same sentence
 */
export function replayCommands(
  replay: RecordedRun,
  debug: ReplayDebugger,
  during: <T>(action: (signal: AbortSignal) => Promise<T>) => Promise<T>,
  note: (sentence: string) => string,
): readonly MonitorCommand[] {
  const divergence = (exit: ReplayExit): string =>
    exit.reason === 'diverged' ? `${note(describeDivergence(exit))}\n` : ''
  const when = (): string => `instruction ${replay.instructions} of ${replay.end}, at ${replay.ns} ns\n`
  return [
    { usage: 'when', help: 'where in the recording the machine is', run: when },
    {
      usage: 'goto PLACE',
      help: 'go to an instruction by its number, to a time such as 1500ns or 2.5ms, to a mark, or to the end',
      run: async (_cpu, [place]) => {
        const mark = replay.marks.find(({ name }) => name === place)
        const there = mark?.instructions ?? (place === 'end' ? replay.end : parsePlace(place ?? ''))
        if (there === undefined || (typeof there === 'number' && there > replay.end))
          return `write goto and an instruction from 0 to ${replay.end}, a time such as 1500ns, a mark, or end\n`
        const exit = await during((signal) => replay.goto(there, { signal }))
        return divergence(exit) + when() + FLUSH
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
      usage: 'who-wrote ADDRESS [LENGTH]',
      help: 'who wrote memory at a linear address last; ADDRESS@p: at a guest-physical one',
      run: async (cpu, [text, length = '1']) => {
        const physical = text?.endsWith('@p') === true
        const address = parseAddress(physical ? text.slice(0, -2) : text)
        if (address === undefined || !/^\d{1,5}$/.test(length))
          return 'write who-wrote ADDRESS or ADDRESS@p, and a length\n'
        try {
          const options = { cpu, physical, length: Number(length) }
          const writer = await during((signal) => debug.whoWrote(address, { ...options, signal }))
          return (
            (writer.by === 'unknown' && writer.exit.reason !== 'begin' ? divergence(writer.exit) : '') +
            describeWriter(writer)
          )
        } catch (error) {
          if (error instanceof MachineError && error.code === 'ERR_OPTION') return `${error.message}\n`
          throw error
        }
      },
    },
  ]
}

function describeWriter(writer: LastWriter): string {
  switch (writer.by) {
    case 'instruction': {
      const { delivers, address, cpu, instructions } = writer
      const what = delivers ? 'the delivery of an event before' : 'the instruction at'
      return `${what} ${hex(address)} of CPU ${cpu}: monitor goto ${instructions}\n`
    }
    case 'device':
      return `device ${writer.device}, by DMA: monitor goto ${writer.instructions}\n`
    case 'machine':
      return `the machine itself: monitor goto ${writer.instructions}\n`
    case 'nobody':
      return 'nobody since power-on\n'
    default:
      if (writer.exit.reason === 'begin') return 'nobody since what is left of the recording begins\n'
      return `the search has ended (${writer.exit.reason})\n`
  }
}
