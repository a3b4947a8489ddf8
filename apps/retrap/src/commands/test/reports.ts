import { writeFile } from 'node:fs/promises'
import { printable } from '@retrap/test'
import { troubled } from '@retrap/linux-guest/errors'

/** The result of a test. */
export interface TestOutcome {
  readonly name: string
  /** Host time that the test took, in milliseconds. */
  readonly ms: number
  /** Why the test has failed, in lines for people; undefined if it has passed. */
  readonly failure?: string | undefined
  /** Nothing has tested it. */
  readonly isSkipped?: boolean
}

/** Writes an outcome as a line for people. */
export const outcomeLine = ({ name, ms, failure }: TestOutcome): string =>
  `${failure === undefined ? 'ok    ' : 'FAILED'} ${printable(name)} (${(ms / 1000).toFixed(1)} s)`

/** Writes the begin of TAP, version 14: https://testanything.org/tap-version-14-specification.html */
export const tapBegin = (count: number): readonly string[] => ['TAP version 14', `1..${count}`]

/** Writes an outcome in TAP. @param number - the test's number, from 1 */
export function tapLines({ name, ms, failure }: TestOutcome, number: number): readonly string[] {
  const escaped = printable(name).replaceAll(/[\\#]/g, '\\$&').replaceAll('\n', ' ')
  const what = `${number} - ${escaped}`
  const block = [`  ---`, `  duration_ms: ${ms.toFixed(0)}`]
  if (failure === undefined) return [`ok ${what}`, ...block, '  ...']
  return [
    `not ok ${what}`,
    ...block,
    '  message: |',
    ...printable(failure)
      .split('\n')
      .map((line) => `    ${line}`),
    '  ...',
  ]
}

/** Writes in TAP that no test can be run. */
export function tapBailOut({ failure = '' }: TestOutcome): readonly string[] {
  const [first = '', ...rest] = printable(failure).split('\n')
  return [...rest.map((line) => `# ${line}`), `Bail out! ${first}`]
}

/** The outcomes of tests, by the name of their file or of their kernel. */
export type TestSuites = ReadonlyMap<string, readonly TestOutcome[]>

/** Writes all outcomes as JUnit XML, as Jenkins, GitLab and GitHub's actions read it. */
export function junit(suites: TestSuites): string {
  const written = [...suites].map(([suite, outcomes]) => {
    const cases = outcomes.map(({ name, ms: took, failure, isSkipped }) => {
      const head = `    <testcase classname="${attribute(suite)}" name="${attribute(name)}" time="${(took / 1000).toFixed(3)}"`
      if (isSkipped === true) return `${head}><skipped/></testcase>`
      if (failure === undefined) return `${head}/>`
      const [first = ''] = failure.split('\n')
      return `${head}>\n      <failure message="${attribute(first)}">${escaped(failure)}</failure>\n    </testcase>`
    })
    return `  <testsuite name="${attribute(suite)}" ${countsOf(outcomes)}>\n${cases.join('\n')}\n  </testsuite>\n`
  })
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites ${countsOf([...suites.values()].flat())}>
${written.join('')}</testsuites>
`
}

function countsOf(outcomes: readonly TestOutcome[]): string {
  const failures = outcomes.filter(({ failure }) => failure !== undefined).length
  const ms = outcomes.reduce((sum, each) => sum + each.ms, 0)
  const skipped = outcomes.filter(({ isSkipped }) => isSkipped === true).length
  return `tests="${outcomes.length}" failures="${failures}" errors="0"${skipped > 0 ? ` skipped="${skipped}"` : ''} time="${(ms / 1000).toFixed(3)}"`
}

/** Writes the file of --junit, if there is one. @throws CliError `ERR_INPUT` */
export async function writeReport(path: string | undefined, suites: TestSuites): Promise<void> {
  if (path !== undefined) await writeFile(path, junit(suites)).catch(troubled(`--junit ${path}`, 'write'))
}

/** Returns a text for XML 1.0, which has no way to write most control characters (§2.2). */
const escaped = (text: string): string =>
  printable(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const attribute = (text: string): string =>
  escaped(text).replaceAll('"', '&quot;').replaceAll('\n', '&#10;').replaceAll('\t', '&#9;')
