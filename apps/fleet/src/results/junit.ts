import type { JobResult } from '../plan/job.ts'

/**
 * Results as JUnit has them: a suite with a case for each job. A machine that could not be made is an error, any other end but
 * the expected one a failure.
 *
 * Source: JUnit 4's ant task, as Jenkins and GitLab read it (testsuites, testsuite, testcase, failure, error, system-out).
 */
export function junitOf(results: readonly JobResult[], seconds: number): string {
  const last = results.map(({ attempts }) => attempts.at(-1))
  const errors = last.filter((attempt) => attempt === undefined || attempt.outcome === 'error').length
  const failures = results.filter(({ passed }) => !passed).length - errors
  const counts = `tests="${results.length}" failures="${failures}" errors="${errors}" time="${seconds.toFixed(3)}"`
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="retrap-fleet" ${counts}>`,
  ]
  for (const result of results) lines.push(...caseOf(result))
  return `${[...lines, '  </testsuite>', '</testsuites>'].join('\n')}\n`
}

function caseOf({ job, attempts, passed }: JobResult): string[] {
  const time = attempts.reduce((sum, attempt) => sum + attempt.seconds, 0)
  const head = `    <testcase classname="retrap.${job.system}" name="${escaped(job.name)}" time="${time.toFixed(3)}"`
  if (passed) return [`${head}/>`]
  const last = attempts.at(-1)
  const kind = last === undefined || last.outcome === 'error' ? 'error' : 'failure'
  const message = last === undefined ? 'it was not run' : last.detail
  return [
    `${head}>`,
    `      <${kind} type="${last?.outcome ?? 'not-run'}" message="${escaped(message)}"/>`,
    ...(last === undefined ? [] : [`      <system-out>${escaped(last.tail)}</system-out>`]),
    '    </testcase>',
  ]
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
}

/** Text as XML and HTML have it. Characters that XML 1.0 does not allow become U+FFFD. */
export function escaped(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the characters that XML does not have
  const allowed = text.toWellFormed().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
  return allowed.replaceAll(/[&<>"\n]/g, (c) => ESCAPES[c] ?? c)
}
