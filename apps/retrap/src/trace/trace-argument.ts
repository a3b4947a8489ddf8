import { parseTrace, TraceError, type TraceSpec } from '@retrap/trace'
import { usage } from '../options/values.ts'

/** One `--trace`. */
export interface TraceArgument {
  readonly spec: TraceSpec
  /** The file of `--trace ioreq:FILE`. */
  readonly path: string | null
}

/**
 * What a `--trace` says.
 *
 * @throws CliError `ERR_USAGE` where that is no trace
 */
export function parseTraceArgument(text: string): TraceArgument {
  const [, path] = /^ioreq:(.+)$/.exec(text) ?? []
  if (path !== undefined) return { spec: { kind: 'ioreq' }, path }
  try {
    return { spec: parseTrace(text), path: null }
  } catch (error) {
    if (error instanceof TraceError) throw usage(`--trace ${text}: ${error.message}`)
    throw error
  }
}
