import { openSync, writeSync } from 'node:fs'
import { describeThrown } from '@retrap/machine'
import { formatTrace, type DeviceFailure, type IoTraceRecord } from '@retrap/ioreq'
import { CliError } from './cli-error.ts'
import type { SessionOutput } from './host.ts'
import type { TraceTarget } from './values.ts'

/** What there is to say of a device that was taken out. */
export function formatDeviceFailure({ serverName, device, request, cause }: DeviceFailure): string {
  return `retrap: device ${device} of server ${serverName} failed at ${request} and was taken out: ${describeThrown(cause)}\n`
}

/** Lines that go out in one piece. */
const BATCH_LINES = 256

/**
 * Prints each access on a line.
 *
 * @throws CliError `ERR_INPUT` where the file cannot be written
 */
export function openTrace(
  { path }: TraceTarget,
  { stderr }: { readonly stderr: SessionOutput },
): (record: IoTraceRecord) => void {
  if (path === null) return (record) => void stderr.write(`${formatTrace(record)}\n`)
  let file: number
  try {
    file = openSync(path, 'w')
  } catch (error) {
    throw new CliError('ERR_INPUT', `cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  let lines: string[] = []
  const flush = (): void => {
    if (lines.length > 0) writeSync(file, lines.join(''))
    lines = []
  }
  process.on('exit', flush)
  return (record) => {
    lines.push(`${formatTrace(record)}\n`)
    if (lines.length >= BATCH_LINES) flush()
  }
}
