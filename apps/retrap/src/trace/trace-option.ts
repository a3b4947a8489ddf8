import { type Command, Option } from 'commander'
import { parseTrace, TraceError, type TraceSpec } from '@retrap/trace'
import type { SessionOutput } from '../host.ts'
import { usage } from '../values.ts'
import { SessionTrace } from './session-trace.ts'

/** Options of traces. */
export interface TraceFlags {
  readonly trace?: readonly TraceArgument[]
  readonly traceTo?: string
}

/** One `--trace`. */
export interface TraceArgument {
  readonly spec: TraceSpec
  /** The file of `--trace ioreq:FILE`. */
  readonly path: string | null
}

/** Gives a command the options of traces. */
export function traceOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--trace <what,filter=value>',
        'print what the guest does: insn, block, irq, exceptions, pagewalk or ioreq, with filters such as vcpu=0, address=0x7c00-0x7dff, vector=14, device=ide, limit=1000 (repeatable)',
      ).argParser((text: string, before: readonly TraceArgument[] | undefined) => [
        ...(before ?? []),
        parseArgument(text),
      ]),
    )
    .option('--trace-to <file>', 'write the trace to a file; one named .json is for chrome://tracing and Perfetto')
}

function parseArgument(text: string): TraceArgument {
  const [, path] = /^ioreq:(.+)$/.exec(text) ?? []
  if (path !== undefined) return { spec: { kind: 'ioreq' }, path }
  try {
    return { spec: parseTrace(text), path: null }
  } catch (error) {
    if (error instanceof TraceError) throw usage(`--trace ${text}: ${error.message}`)
    throw error
  }
}

/** The trace that options ask for, if any. */
export function traceOf({ trace, traceTo }: TraceFlags, stderr: SessionOutput): SessionTrace | undefined {
  if (trace === undefined) {
    if (traceTo !== undefined) throw usage('--trace-to needs --trace, which says what is traced')
    return undefined
  }
  const paths = trace.flatMap(({ path }) => path ?? [])
  if (paths.length > 1 || (paths.length > 0 && traceTo !== undefined))
    throw usage('a trace goes to one file: write --trace ioreq --trace-to FILE')
  const specs = trace.map(({ spec }) => spec)
  return new SessionTrace(specs, traceTo ?? paths[0] ?? null, stderr)
}
