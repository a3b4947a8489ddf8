import type { SessionOutput } from '../session/session-host.ts'
import type { OptionRow } from '../../options/option-table.ts'
import { usage } from '../../options/values.ts'
import type { SessionTrace } from './session-trace.ts'

export interface TraceFlags {
  /** The `--trace` arguments. */
  readonly trace?: readonly string[]
  readonly traceTo?: string
  /** vCPUs. */
  readonly cpus: number
}

export const TRACE_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--trace <what,filter=value>',
    help: 'print what the guest does: insn, block, irq, exceptions, pagewalk or ioreq, with filters such as vcpu=0, address=0x7c00-0x7dff, vector=14, device=ide, limit=1000 (repeatable)',
    each: (text) => text,
  },
  {
    flags: '--trace-to <file>',
    help: 'write the trace to a file; one named .json is for chrome://tracing and Perfetto, one named .vcd, on the guest’s time, for GTKWave and Surfer',
  },
]

/**
 * Returns the requested trace, if any. Tracing is loaded on demand, because it includes the Arm decoder.
 *
 * @throws CliError for an invalid trace, or a file that cannot be written
 */
export async function traceOf(
  { trace, traceTo, cpus }: TraceFlags,
  stderr: SessionOutput,
): Promise<SessionTrace | undefined> {
  if (trace === undefined) {
    if (traceTo !== undefined) throw usage('--trace-to needs --trace, which says what is traced')
    return undefined
  }
  const { parseTraceArgument } = await import('./session-trace.ts')
  const parsed = trace.map(parseTraceArgument)
  const paths = parsed.flatMap(({ path }) => path ?? [])
  if (paths.length > 1 || (paths.length > 0 && traceTo !== undefined))
    throw usage('a trace goes to one file: write --trace ioreq --trace-to FILE')
  const specs = parsed.map(({ spec }) => spec)
  const { SessionTrace } = await import('./session-trace.ts')
  return new SessionTrace(specs, traceTo ?? paths[0] ?? null, stderr, cpus)
}
