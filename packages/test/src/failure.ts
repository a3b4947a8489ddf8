import { plainLine } from '@retrap/basics'
import { printable } from './printed-text.ts'

/** Files that a failing test has left behind. */
export interface FailureFiles {
  readonly folder: string
  /** Paths of the saved outputs. */
  readonly serial: string
  /** A PNG file; undefined where the machine shows nothing. */
  readonly screen: string | undefined
  /** The recorded run; undefined if not recorded. */
  readonly recording: string | undefined
  /** Why a page cannot open the recording; undefined: it can. */
  readonly notBundled: string | undefined
}

/** Number of output lines shown, from the end. */
const SHOWN_LINES = 20

/** Returns a text as a word of a shell's command line. */
export const shellQuoted = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** Returns the name of a test as that of a folder. */
export function folderName(name: string): string {
  return (
    name
      .replace(/[^\p{L}\p{N}]+/gu, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 100) || 'test'
  )
}

/**
 * Describes a failed test's files for people.
 *
 * @param command - command that opens its recording in gdb, if recorded
 * @param notRecorded - why the run was not recorded
 */
export function describeFailure(
  printed: string,
  files: FailureFiles,
  command: string | undefined,
  notRecorded: string | undefined,
): string {
  const lines = printable(printed).trimEnd().split('\n')
  const left = lines.length > SHOWN_LINES ? `… ${lines.length - SHOWN_LINES} lines before, in ${files.serial}\n` : ''
  const shown =
    printed.trim() === ''
      ? 'The guest has printed nothing.'
      : `The guest has printed:\n${left}${lines.slice(-SHOWN_LINES).join('\n')}`
  return [
    shown,
    ...(files.screen === undefined ? [] : [`Its screen: ${files.screen}`]),
    ...(command === undefined
      ? [`Its run is not recorded: ${notRecorded ?? 'it has ended before'}`]
      : [
          files.notBundled === undefined
            ? `Its run is recorded. In a page, at the failure, and back from there:\n  retrap web --recording ${shellQuoted(files.folder)}`
            : `Its run is recorded. A page does not open it: ${files.notBundled}.`,
          `For gdb:\n  ${plainLine(command)}`,
        ]),
  ].join('\n')
}
